"""This repository as an Agent Plugin: `plugin.json`, `mcp.json` and `skills/`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.packaging.told import BUNDLE_MANIFEST, ROOT, SCHEMAS, check_generated, project, read

LINT = (str(Path(sys.executable).with_name("skillsaw")), "lint", "--strict", "--no-plugins")


def plugin_json() -> dict[str, Any]:
    """All of it; skills and servers are found at their places."""
    told = project()
    return {
        "$schema": "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json",
        **{key: told[key] for key in ("name", "version", "description")},
        "author": read(BUNDLE_MANIFEST)["author"],
        **{key: told[key] for key in ("license", "keywords")},
    }


@pytest.fixture(name="copied")
def _copied(tmp_path: Path) -> Path:
    """What registries and plugin hosts read, alone."""
    for name in ("plugin.json", "mcp.json", "server.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "skills", tmp_path / "skills")
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """The linter of agents' files, which knows all their formats."""
    types = ("agent-plugin", "agentskills", "mcp-registry")
    chosen = [word for one in types for word in ("--type", one)]
    command = [*LINT, *chosen, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_it_is_todays() -> None:
    check_generated(ROOT / "plugin.json", plugin_json())


@pytest.mark.parametrize("name", ["plugin", "mcp"])
def test_it_keeps_the_rules_of_agent_plugins(name: str) -> None:
    jsonschema.validate(read(ROOT / f"{name}.json"), read(SCHEMAS / f"{name}.schema.json"))


def test_both_files_are_of_one_version_of_the_rules() -> None:
    plugin, mcp = (read(ROOT / name)["$schema"] for name in ("plugin.json", "mcp.json"))

    assert plugin.rpartition("/")[0] == mcp.rpartition("/")[0]


def test_a_linter_finds_nothing(copied: Path) -> None:
    done = lint(copied)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("plugin.json", {"skills": "./skills"}),
        ("mcp.json", {"mcpServers": {"kie-runway": {"type": "stdio"}}}),
        ("server.json", {"version": "latest", "packages": [{"registryType": "pypi"}]}),
    ],
)
def test_the_linter_would_find_a_mistake(copied: Path, name: str, change: dict[str, Any]) -> None:
    path = copied / name
    path.write_text(json.dumps(read(path) | change), encoding="utf-8")

    assert lint(copied).returncode != 0
