"""The bundle as `make bundle` left it, unpacked, or why a test cannot run."""

import shutil
import subprocess
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bundle.desktop import BUNDLE, PACKAGES, ROOT, Installed
from tests.journeys.conftest import BIN, MISSING
from tests.journeys.processes import Standalone, standalone_sandbox

SPEED = 60


@pytest.fixture(name="unpacked", scope="session")
def _unpacked(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """In a folder as people have them."""
    if not BUNDLE.exists():
        pytest.fail("needs the bundle: make bundle")
    if not (BIN / "mcpb").exists():
        pytest.fail(MISSING)
    node = str(BIN / "node")
    machine = tmp_path_factory.mktemp("Zoë's machine 映画 ")
    folder = machine / "Claude Extensions" / "KIE Runway (1)"
    subprocess.run(
        [node, str(BIN / "mcpb"), "unpack", str(BUNDLE), str(folder)],
        capture_output=True,
        check=True,
    )
    return Installed(folder, machine / "home", node)


@pytest.fixture(name="installed")
def _installed(unpacked: Installed, request: pytest.FixtureRequest) -> Installed:
    """For a user of this test's own, with an empty home directory."""
    home = unpacked.home / request.node.name
    home.mkdir(parents=True)
    return replace(unpacked, home=home)


@pytest.fixture(name="kie", scope="session")
def _kie() -> Generator[Standalone]:
    with standalone_sandbox(SPEED) as sandbox:
        yield sandbox


@pytest.fixture(name="clone")
def _clone(tmp_path: Path) -> Path:
    """The sources as they are now, alone."""
    clone = tmp_path / "clone"
    for folder in (*PACKAGES, "packaging"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, clone / folder, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "plugin.json", "mcp.json"):
        shutil.copy(ROOT / name, clone)
    return clone
