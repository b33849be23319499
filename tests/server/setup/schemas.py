"""What the clients accept, as JSON schemas: what each of them documents or checks itself."""

from typing import Any

_ENV: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
_STRINGS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}

# src/vs/workbench/contrib/mcp/common/mcpConfiguration.ts and
# src/vs/workbench/services/configurationResolver/common/configurationResolverSchema.ts
# in https://github.com/microsoft/vscode, without what concerns other kinds of servers and inputs.
VSCODE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "servers": {
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["command"],
                "properties": {
                    "type": {"enum": ["stdio"]},
                    "command": {"type": "string"},
                    "cwd": {"type": "string"},
                    "args": _STRINGS,
                    "envFile": {"type": "string"},
                    "env": {
                        "type": "object",
                        "additionalProperties": {"type": ["null", "string", "number"]},
                    },
                },
            }
        },
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "type", "description"],
                "properties": {
                    "id": {"type": "string"},
                    "type": {"enum": ["promptString"]},
                    "description": {"type": "string"},
                    "default": {"type": "string"},
                    "password": {"type": "boolean"},
                },
            },
        },
    },
}
# https://cursor.com/docs/context/mcp and https://code.claude.com/docs/en/mcp; Claude Desktop's
# servers, at https://modelcontextprotocol.io/docs/develop/connect-local-servers, are the same
# without a type.
MCP_SERVERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "mcpServers": {
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["command"],
                "properties": {
                    "type": {"enum": ["stdio"]},
                    "command": {"type": "string"},
                    "args": _STRINGS,
                    "env": _ENV,
                },
            }
        },
    },
}
