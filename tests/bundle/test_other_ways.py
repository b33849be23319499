"""The ways that `server.json` and `mcp.json` name, each on a machine that has nothing but uv."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import anyio
import pytest
from mcp import Client, StdioServerParameters
from tests.bundle.desktop import PACKAGES, ROOT, machine

from kie_runway.settings import MAX_WAIT_S
from kie_runway_tools.catalog import build_tools

pytestmark = pytest.mark.anyio

WITHIN_S = 300  # the first start installs what the server needs


def read(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / name).read_text(encoding="utf-8")))


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the registry's package would be on PyPI."""
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True,
        check=True,
    )
    (wheel,) = folder.iterdir()
    return wheel


def commands_in(environment: Path) -> set[str]:
    return {path.name for path in (environment / "bin").iterdir()}


async def lists_all_tools(server: StdioServerParameters) -> bool:
    with anyio.fail_after(WITHIN_S):
        async with Client(server) as client:
            offered = (await client.list_tools()).tools
    return [tool.name for tool in offered] == [tool.name for tool in build_tools(MAX_WAIT_S)]


async def test_what_the_registry_names_starts_from_the_wheel(home: Path, wheel: Path) -> None:
    (package,) = read("server.json")["packages"]
    options = [word for one in package["runtimeArguments"] for word in (one["name"], one["value"])]
    server = StdioServerParameters(
        command=package["runtimeHint"],
        args=[*options, f"{package['identifier']}=={package['version']}"],
        env=machine(home) | {"UV_FIND_LINKS": str(wheel.parent)},
    )

    assert await lists_all_tools(server)


async def test_a_plugin_host_starts_it_without_developers_tools(home: Path, clone: Path) -> None:
    (entry,) = read("mcp.json")["mcpServers"].values()
    server = StdioServerParameters(
        command=entry["command"], args=entry["args"], env=machine(home), cwd=clone
    )

    assert await lists_all_tools(server)
    installed = commands_in(clone / ".venv")
    assert "kie-runway-mcp" in installed
    assert not {"mypy", "pytest", "ruff"} & installed


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as packed:
        folders = {name.split("/")[0] for name in packed.namelist()}

    assert {one for one in folders if not one.endswith(".dist-info")} == {
        package.split("/")[1] for package in PACKAGES
    }
