"""Tools whose argument schemas use what Python signatures seldom say."""

from typing import Annotated

from mcp.server.mcpserver.tools import Tool
from pydantic import Field

from kie_runway.sdk import strict_tool

JSON_SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def region_header(
    region: Annotated[
        str,
        Field(
            description="Mirrored in a header of the request.",
            json_schema_extra={"x-mcp-header": "Region"},
        ),
    ] = "none",
) -> str:
    """The region that was named."""
    return f"region={region}"


def json_schema_2020_12_tool() -> str:
    """A tool that is listed for its schema alone."""
    return "The schema is what counts."


def _with_schema(tool: Tool) -> Tool:
    # A signature cannot say this schema, and the SDK takes no other source of one.
    tool.parameters = JSON_SCHEMA_2020_12
    return tool


SCHEMA_TOOLS = (
    strict_tool(region_header, name="test_region_header"),
    _with_schema(strict_tool(json_schema_2020_12_tool)),
)
