"""The command that clients are told to start."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kie_runway.setup import launch as launching
from kie_runway.setup.launch import Environment, Launch


def test_it_is_the_command_of_this_environment_by_its_whole_path(tmp_path: Path) -> None:
    script = tmp_path / "kie-runway-mcp"
    script.touch()
    environment = Environment(str(tmp_path), str(tmp_path), "/usr/bin/python3")

    assert environment.launch(sandbox=False) == Launch(str(script), ["serve"])
    assert environment.launch(sandbox=True) == Launch(str(script), ["serve", "--sandbox"])


def test_without_it_the_interpreter_runs_the_package(tmp_path: Path) -> None:
    environment = Environment(str(tmp_path), str(tmp_path), "/usr/bin/python3")

    assert environment.launch(sandbox=False) == Launch(
        "/usr/bin/python3", ["-m", "kie_runway", "serve"]
    )


@pytest.mark.parametrize(
    "prefix",
    [
        "/home/ana/.cache/uv/archive-v0/Zk3_9",
        "/home/ana/.cache/uv/environments-v2/kie-runway-mcp-1a2b",
        "/home/ana/.cache/uv/builds-v0/.tmpX1",
        r"C:\Users\ana\AppData\Local\uv\cache\archive-v0\Zk3_9",
        "/home/ana/.local/pipx/.cache/2f1c",
        "/home/ana/.cache/pipx/2f1c",
    ],
)
def test_an_environment_that_will_be_gone_is_known(prefix: str) -> None:
    environment = Environment(prefix, f"{prefix}/bin", f"{prefix}/bin/python")

    assert environment.is_throw_away


@pytest.mark.parametrize(
    "prefix",
    [
        "/home/ana/work/.venv",
        "/home/ana/.local/share/uv/tools/kie-runway-mcp",
        "/home/ana/.local/share/pipx/venvs/kie-runway-mcp",
        r"C:\Users\ana\AppData\Roaming\uv\tools\kie-runway-mcp",
    ],
)
def test_an_environment_that_stays_is_known(prefix: str) -> None:
    assert not Environment(prefix, prefix, prefix).is_throw_away


def test_here_it_is_the_command_that_is_installed() -> None:
    launch = Environment.here().launch(sandbox=False)

    assert Path(launch.command) == Path(sys.executable).with_name("kie-runway-mcp")
    assert launch.args == ["serve"]


def test_a_command_is_shown_by_its_name_only_where_that_starts_the_same(tmp_path: Path) -> None:
    scripts, path = tmp_path / "its own", tmp_path / "path"
    for folder in (scripts, path):
        folder.mkdir()
    script, link = scripts / "kie-runway-mcp", path / "kie-runway-mcp"
    script.touch()
    whole = f"{shlex.quote(str(script))} uninstall cursor"

    def typed(found: Path | None) -> str:
        found_by_name = None if found is None else str(found)
        environment = Environment("/x", str(scripts), "/x/python", lambda _: found_by_name)
        return environment.typed("uninstall", "cursor")

    assert typed(None) == whole
    link.touch()
    assert typed(link) == whole
    link.unlink()
    link.symlink_to(script)
    assert typed(link) == typed(script) == "kie-runway-mcp uninstall cursor"


def test_without_a_command_the_interpreter_is_shown(tmp_path: Path) -> None:
    environment = Environment("/x", str(tmp_path), "/x/python", lambda _: "/bin/kie-runway-mcp")

    assert environment.typed("doctor") == "/x/python -m kie_runway doctor"


def test_what_is_shown_can_be_run() -> None:
    environment = Environment.here()
    nowhere = Environment(environment.prefix, environment.scripts, environment.python, _nothing)
    done = subprocess.run(
        ["sh", "-c", nowhere.typed("--version")], capture_output=True, text=True, check=True
    )

    assert "kie-runway-mcp" in done.stdout


@pytest.mark.parametrize("extra", ["media", "sandbox"])
def test_an_extra_is_added_by_its_packages_for_ours_is_on_no_index(
    monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    here = Environment.here()
    program, *words = shlex.split(here.way_to_add(extra))
    wanted = words[words.index("install") + 1 :]

    assert (program, words[:3]) == (sys.executable, ["-m", "pip", "install"])
    assert [it.split("<")[0] for it in wanted][:2] == ["av", "pillow"]
    assert any("python-multipart" in it for it in wanted) is (extra == "sandbox")
    assert "kie-runway-mcp" not in "".join(wanted)
    asked = subprocess.run(
        [program, *words, "--dry-run", "--no-deps", "--no-index", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert asked.returncode == 0, asked.stderr  # all of it is installed here

    monkeypatch.setattr(launching, "find_spec", _nothing)
    assert here.way_to_add(extra).startswith(f"uv pip install --python {sys.executable} ")


def _nothing(_: str) -> None:
    return None
