"""What the pages may name: everything that the program has, and little else."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast, get_args, get_type_hints

from mcp.types import Prompt, Resource, ResourceTemplate
from tests.docs.generated import error_codes
from tests.docs.pages import ROOT, Page, read

from kie_runway.settings import MAX_WAIT_S, Settings
from kie_runway_sandbox import Fault, SandboxOptions, Switches
from kie_runway_sandbox.faults import FaultKind
from kie_runway_tools.catalog import build_tools

FOREIGN = {"wait_for_task"}  # felores' tool, in the comparison
OTHERS_CODE = ("examples",)  # pages in there name what other libraries have

_VARIABLE = re.compile(r"\bKIE_[A-Z0-9_]*[A-Z0-9]\b")
_RESOURCE = re.compile(r"\b(?:kie|ui)://[\w/{}.-]*[\w}]")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_WEB = ("https://", "http://", "mailto:", "cursor:", "vscode:")


@dataclass(frozen=True)
class Names:
    """Every name of the program's that a page may write as code."""

    words: frozenset[str]
    resources: frozenset[str]
    variables: frozenset[str]


def names_of(
    resources: list[Resource], templates: list[ResourceTemplate], prompts: list[Prompt]
) -> Names:
    """All names: what a server offers, and what can be read off the code."""
    uris = {each.uri for each in resources} | {each.uri_template for each in templates}
    words = FOREIGN | set(error_codes()) | set(get_args(FaultKind))
    for tool in build_tools(MAX_WAIT_S):
        words |= {tool.name, *_words(tool.parameters), *_words(tool.output_schema or {})}
    for prompt in prompts:
        words |= {prompt.name, *(each.name for each in prompt.arguments or ())}
    for kind in (Fault, SandboxOptions, Switches):
        words |= {field.name for field in fields(kind)}
    for choice in get_type_hints(Switches).values():
        words |= {value for value in get_args(choice) if isinstance(value, str)}
    variables = frozenset(f"KIE_{name.upper()}" for name in Settings.model_fields)
    return Names(frozenset(words), frozenset(uris), variables)


def complaints(page: Page, names: Names) -> list[str]:
    """What the page names and nobody has, and what it points to and is not there."""
    wrong = [*_unknown_names(page, names), *_dead_links(page), *_bad_json(page)]
    return [f"{page.name}: {each}" for each in wrong]


def _unknown_names(page: Page, names: Names) -> Iterator[str]:
    for name in _VARIABLE.findall(page.text):
        if name not in names.variables:
            yield f"{name} is no setting"
    for uri in _RESOURCE.findall(page.text):
        if uri not in names.resources:
            yield f"{uri} is no resource"
    if page.path.parent.name not in OTHERS_CODE:
        for word in page.codes:
            if _SNAKE.fullmatch(word) and word not in names.words:
                yield f"`{word}` is no name of the program's"


def _dead_links(page: Page) -> Iterator[str]:
    for link in page.links:
        if link.startswith(_WEB):
            continue
        name, _, anchor = link.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        if not path.exists():
            yield f"{link} leads nowhere"
        elif not path.is_relative_to(ROOT):
            yield f"{link} leads out of the repository"
        elif anchor and anchor not in (page if path == page.path else read(path)).anchors:
            yield f"{link}: no such heading"


def _bad_json(page: Page) -> Iterator[str]:
    for block in page.blocks:
        if block.language == "json":
            try:
                json.loads(block.code)
            except ValueError as exc:
                yield f"a JSON block cannot be read: {exc}"


def _words(schema: Mapping[str, Any]) -> Iterator[str]:
    """Names of properties and what they may be, however deep."""
    for name, inner in cast(
        "Mapping[str, Mapping[str, Any]]", schema.get("properties", {})
    ).items():
        yield name
        yield from _words(inner)
    if "items" in schema:
        yield from _words(schema["items"])
    yield from (value for value in schema.get("enum", ()) if isinstance(value, str))
