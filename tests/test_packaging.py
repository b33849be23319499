"""The files that other programs read."""

import json
import tomllib
from importlib.metadata import entry_points, version
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def project() -> dict[str, Any]:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(whole["project"])


def test_mcp_json_starts_the_command_that_the_package_installs() -> None:
    config = json.loads((ROOT / "mcp.json").read_text(encoding="utf-8"))
    (server,) = config["mcpServers"].values()

    assert set(config) == {"$schema", "mcpServers"}
    assert server["type"] == "stdio"
    assert server["args"][-1] in project()["scripts"]
    assert "env" not in server  # no place for a key


def test_the_command_is_installed_and_leads_to_the_server() -> None:
    (command,) = entry_points(group="console_scripts", name="kie-runway-mcp")

    assert command.value == project()["scripts"]["kie-runway-mcp"]
    assert callable(command.load())
    assert version("kie-runway-mcp") == project()["version"]


def test_every_dependency_has_an_upper_bound() -> None:
    extras: dict[str, list[str]] = project()["optional-dependencies"]
    names = [*project()["dependencies"], *chain.from_iterable(extras.values())]

    assert not [name for name in names if ",<" not in name]


def test_every_package_says_that_it_is_typed() -> None:
    packages = [path.parent for path in ROOT.glob("*/kie_runway*/__init__.py")]

    assert len(packages) == 3
    assert all((package / "py.typed").exists() for package in packages)
