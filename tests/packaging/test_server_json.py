"""`server.json`, by which the MCP registry tells clients how to start this server."""

from typing import Any

import jsonschema
from tests.packaging.forms import variable
from tests.packaging.told import ROOT, SCHEMAS, check_generated, project, read

from kie_runway.server import create_server
from kie_runway.settings import Settings

NAME = "io.github.kie-runway-mcp/kie-runway-mcp"
EXTRA = "media"


def server_json() -> dict[str, Any]:
    """All of it; lists of the settings and of the project's words come from there."""
    told = project()
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": NAME,
        "title": create_server(Settings()).title,
        "description": told["description"],
        "version": told["version"],
        "packages": [
            {
                "registryType": "pypi",
                "registryBaseUrl": "https://pypi.org",
                "identifier": told["name"],
                "version": told["version"],
                "runtimeHint": "uvx",
                "runtimeArguments": [
                    {"type": "named", "name": "--with", "value": f"{told['name']}[{EXTRA}]"}
                ],
                "transport": {"type": "stdio"},
                "environmentVariables": [
                    variable(name, field) for name, field in Settings.model_fields.items()
                ],
            }
        ],
    }


def test_it_is_todays() -> None:
    check_generated(ROOT / "server.json", server_json())


def test_it_keeps_the_registrys_rules() -> None:
    jsonschema.validate(read(ROOT / "server.json"), read(SCHEMAS / "server.schema.json"))


def test_secrets_and_only_secrets_are_hidden_in_forms() -> None:
    (package,) = read(ROOT / "server.json")["packages"]
    variables = {one["name"]: one for one in package["environmentVariables"]}

    assert {name for name, one in variables.items() if one.get("isSecret")} == {
        "KIE_API_KEY",
        "KIE_WEBHOOK_HMAC_KEY",
    }
    assert [name for name, one in variables.items() if one.get("isRequired")] == ["KIE_API_KEY"]
    assert variables["KIE_DAILY_CREDITS"]["format"] == "number"
    assert variables["KIE_OUTPUT_DIR"]["format"] == "filepath"
    assert variables["KIE_AUTOSAVE"]["format"] == "boolean"
    assert "INFO" in variables["KIE_LOG_LEVEL"]["choices"]


def test_the_extra_that_is_installed_with_it_exists() -> None:
    assert EXTRA in project()["optional-dependencies"]


def test_the_readme_proves_to_the_registry_whose_package_it_is() -> None:
    assert f"<!-- mcp-name: {NAME} -->" in (ROOT / "README.md").read_text(encoding="utf-8")
