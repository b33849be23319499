"""What is in the bundle, and what is not."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from PIL import Image
from tests.bundle.desktop import BUNDLE, ROOT, Installed
from tests.journeys.conftest import BIN

MAX_BYTES = 500_000
GRID = 24  # units of the icon's drawing


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def build(clone: Path) -> bytes:
    """A bundle of a clone's sources."""
    tools = clone / "tests" / "node" / "node_modules"
    tools.parent.mkdir(parents=True, exist_ok=True)
    if not tools.exists():
        tools.symlink_to(BIN.parent)
    roots = os.pathsep.join(str(clone / root) for root in ("server", "tools", "sandbox"))
    subprocess.run(
        [sys.executable, str(clone / "packaging" / "build_bundle.py")],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": roots},
    )
    return (clone / "dist" / BUNDLE.name).read_bytes()


@pytest.mark.usefixtures("unpacked")
def test_it_holds_the_program_and_what_installs_it() -> None:
    packages = project(ROOT)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    with ZipFile(BUNDLE) as bundle:
        names = bundle.namelist()
    loose = {name for name in names if "/" not in name}
    folders = {"/".join(name.split("/")[:2]) for name in names if "/" in name}

    assert loose == {"LICENSE", "README.md", "icon.png", "manifest.json", "pyproject.toml"}
    assert folders == set(packages)
    assert not [name for name in names if "__pycache__" in name]
    assert BUNDLE.stat().st_size < MAX_BYTES


def test_no_tool_of_developers_is_installed_with_it(unpacked: Installed) -> None:
    ours, theirs = project(ROOT), project(unpacked.folder)

    assert theirs["project"] == ours["project"]
    assert theirs["build-system"] == ours["build-system"]
    assert theirs["tool"] == {"hatch": ours["tool"]["hatch"]}
    assert "dependency-groups" not in theirs


def test_it_is_started_by_a_file_that_is_there(unpacked: Installed) -> None:
    manifest = unpacked.manifest

    assert (unpacked.folder / manifest["server"]["entry_point"]).is_file()
    assert manifest["server"]["mcp_config"]["args"][-1] in project(ROOT)["project"]["scripts"]


def test_the_icon_is_the_clip_with_its_play_button_cut_out(unpacked: Installed) -> None:
    icon = Image.open(unpacked.folder / unpacked.manifest["icon"])
    assert (icon.format, icon.mode, icon.size) == ("PNG", "RGBA", (512, 512))

    for row in range(GRID):
        for column in range(GRID):
            x, y = column + 0.5, row + 0.5
            to_the_right_edge = 4 * (16 - x) / 6 - abs(y - 12)  # of the button, downwards
            if x > 10 and abs(to_the_right_edge) < 0.3:
                continue  # on the edge
            in_button = x > 10 and to_the_right_edge > 0
            in_clip = 3 < x < 21 and 4 < y < 20 and not in_button
            pixel = icon.getpixel((int(x * 512 / GRID), int(y * 512 / GRID)))
            assert pixel == (0x7C, 0x5C, 0xFF, 255 if in_clip else 0), (x, y)


def test_the_same_sources_give_the_same_bytes(clone: Path) -> None:
    first = build(clone)
    for path in clone.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)

    assert build(clone) == first
