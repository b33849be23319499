"""The form that Claude Desktop shows to whoever installs the bundle."""

from tests.packaging.forms import variable
from tests.packaging.told import BUNDLE_MANIFEST, project, read

from kie_runway.settings import Settings

TYPES = {"number": "number", "boolean": "boolean", "filepath": "directory"}
SINGLE = {"upload_roots": "directory"}  # one of the several that the variable may hold


def test_each_field_is_a_setting_and_reaches_the_server() -> None:
    manifest = read(BUNDLE_MANIFEST)

    assert manifest["server"]["mcp_config"]["env"] == {
        f"KIE_{name.upper()}": f"${{user_config.{name}}}" for name in manifest["user_config"]
    }
    assert set(manifest["user_config"]) <= set(Settings.model_fields)


def test_each_field_asks_for_what_its_setting_takes() -> None:
    for name, field in read(BUNDLE_MANIFEST)["user_config"].items():
        setting = variable(name, Settings.model_fields[name])
        kind = TYPES.get(setting.get("format", ""), "string")
        assert field["type"] == SINGLE.get(name, kind), name
        assert field.get("sensitive", False) == setting.get("isSecret", False), name
        assert field.get("required", False) == setting.get("isRequired", False), name


def test_nothing_is_written_that_the_project_tells() -> None:
    assert not {"name", "version", "description", "keywords", "tools"} & set(read(BUNDLE_MANIFEST))
    assert {"name", "version", "description", "keywords"} <= set(project())
