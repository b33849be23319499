"""The parts of the pages that are written from the program itself."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp.types import Prompt, Resource, ResourceTemplate, ToolAnnotations

from kie_runway.errors import KieError, KieRunwayError
from kie_runway.settings import MAX_WAIT_S, Settings
from kie_runway.setup.entry import cursor_links, vscode_links
from kie_runway_tools.catalog import build_tools

_CITATION = re.compile(r" \([^)]*contract §[^)]*\)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def settings() -> str:
    """Every variable with its meaning and default."""
    rows: list[list[str]] = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        rows.append([f"`KIE_{name.upper()}`", str(field.description), default])
    return table(("variable", "meaning", "default"), rows)


def buttons() -> str:
    """Links that put the server into a client by a click."""
    cursor = "https://cursor.com/deeplink/mcp-install-dark.svg"
    vscode = "https://img.shields.io/badge/VS_Code-Install_Server-0098FF"
    return "\n".join(
        (
            f"[![Add to Cursor]({cursor})]({cursor_links().web})",
            f"[![Install in VS Code]({vscode})]({vscode_links().web})",
        )
    )


def tools() -> str:
    """Every tool: what it does, what it takes, what it returns."""
    return "\n\n".join(_tool(tool) for tool in build_tools(MAX_WAIT_S))


def error_codes() -> dict[str, list[type[KieRunwayError]]]:
    """Every `error.code`, with the errors that have it."""
    by_code: dict[str, list[type[KieRunwayError]]] = {}
    for kind in _subclasses(KieRunwayError):
        if kind is not KieError:
            by_code.setdefault(kind.code, []).append(kind)
    return by_code


def errors() -> str:
    """Every `error.code`, what it means and what repeating the call takes."""
    rows: list[list[str]] = []
    for code, kinds in error_codes().items():
        # Of several with one code, those that say something else of the money.
        told = {kind.charged: _first_words(kind) for kind in reversed(kinds)}
        charged = dict.fromkeys(kind.charged for kind in kinds)
        meaning = " ".join(told[each] for each in charged)
        rows.append([f"`{code}`", meaning, f"`{kinds[0].retry}`", " or ".join(charged)])
    return table(("code", "means", "retry", "the failed call was charged"), rows)


def resources(fixed: Sequence[Resource], templates: Sequence[ResourceTemplate]) -> str:
    """Everything that can be read."""
    offered = [
        *((each.uri, each.mime_type, each.description) for each in fixed),
        *((each.uri_template, each.mime_type, each.description) for each in templates),
    ]
    rows = [[f"`{uri}`", mime_type or "", meaning or ""] for uri, mime_type, meaning in offered]
    return table(("resource", "type", "holds"), rows)


def prompts(offered: Sequence[Prompt]) -> str:
    """Every prompt with its arguments; the required ones stand out."""
    rows: list[list[str]] = []
    for prompt in offered:
        names = (
            f"**`{each.name}`**" if each.required else f"`{each.name}`"
            for each in prompt.arguments or ()
        )
        rows.append([f"`{prompt.name}`", ", ".join(names), prompt.description or ""])
    return table(("prompt", "arguments", "leads to"), rows)


def _tool(tool: Tool) -> str:
    assert tool.annotations is not None
    required = tool.parameters.get("required", [])
    rows = [
        [
            f"**`{name}`**" if name in required else f"`{name}`",
            _values(schema),
            f"`{schema['default']}`".replace("False", "false") if "default" in schema else "",
            schema.get("description", ""),
        ]
        for name, schema in tool.parameters["properties"].items()
    ]
    head = ("argument", "type and bounds", "default", "meaning")
    takes = table(head, rows) if rows else "Takes no arguments."
    does = " ".join(tool.description.split())
    returns = _returns(tool.output_schema or {})
    hints = _hints(tool.annotations)
    return f"### `{tool.name}`\n\n{does}\n\n{takes}\n\nReturns {returns}. Hints: {hints}."


def _returns(schema: Mapping[str, Any]) -> str:
    properties: Mapping[str, Any] = schema["properties"]
    if "request_id" in properties:
        return "a [task](#a-task)"
    names = (
        f"`{name}` ([tasks](#a-task))" if name == "tasks" else f"`{name}`" for name in properties
    )
    return ", ".join(names)


def _values(schema: Mapping[str, Any]) -> str:
    """What a value may be, for people."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    least, most = schema.get("minLength"), schema.get("maxLength")
    bounds = ""
    if high is not None:
        bounds = f", {low:,} to {high:,}"
    elif most is not None:
        bounds = f", {least} to {most:,} characters" if least else f", up to {most:,} characters"
    return f"{schema['type']}{bounds}"


def _hints(hints: ToolAnnotations) -> str:
    words = {
        "read-only": hints.read_only_hint,
        "destructive": hints.destructive_hint,
        "idempotent": hints.idempotent_hint,
        "open world": hints.open_world_hint,
    }
    return ", ".join(
        word if is_so else f"not {word}" for word, is_so in words.items() if is_so is not None
    )


def _first_words(kind: type[KieRunwayError]) -> str:
    words = " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())
    return _CITATION.sub("", words)


def _subclasses(kind: type[KieRunwayError]) -> Iterator[type[KieRunwayError]]:
    for each in kind.__subclasses__():
        if each.__module__ == KieRunwayError.__module__:  # tests have some of their own
            yield each
            yield from _subclasses(each)
