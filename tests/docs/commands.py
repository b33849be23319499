"""What the pages tell people to type: found, and judged without running it."""

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache

import typer
import typer.main
from tests.docs.pages import ROOT, Page
from typer.core import TyperGroup

from kie_runway.commands import build_commands

PROGRAM = "kie-runway-mcp"
SHELL = "sh"
LANGUAGES = {SHELL, "json", "python"}  # all of them are tried
# What stands for a value of the reader's choice, and a value to try it with.
PLACEHOLDERS = {"CLIENT": "cursor", "ID": "0123"}
# Run by another step, and where that can be seen: a file, and what has to stand in it.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "pip install openai-agents": (
        "tests/frameworks/requirements/openai-agents.txt",
        "openai-agents",
    ),
    "python examples/openai_agents.py .venv/bin/kie-runway-mcp serve --sandbox": (
        "tests/frameworks/test_examples.py",
        'Example("openai_agents.py", "openai-agents")',
    ),
}
# Targets that take too long here, or would run these very tests.
LONG_TARGETS = {
    *("bench", "bundle", "conformance", "docs-check", "faults", "frameworks", "journeys", "lint"),
    *("test", "tokens", "ui", "wheel"),
}

_COMMENT = re.compile(r"\s+#\s.*$")


def shell_commands(page: Page) -> list[str]:
    """What stands in the page's shell blocks, a command each, without comments."""
    found: list[str] = []
    for block in page.blocks:
        if block.language == SHELL:
            for line in block.code.replace("\\\n", " ").splitlines():
                command = "" if line.startswith("#") else _COMMENT.sub("", line).strip()
                if command:
                    found.append(" ".join(command.split()))
    return found


def complaints(page: Page) -> list[str]:
    """Commands of the page that do not exist, or that nobody runs."""
    wrong = [
        f"nobody tries a block of {block.language or 'no language'}"
        for block in page.blocks
        if block.language not in LANGUAGES
    ]
    for command in shell_commands(page):
        if is_run_elsewhere(command):
            wrong += _without_evidence(command)
    for command in inline_commands(page):
        wrong += _unknown_targets(command) if make_target(command) else unparsable(command)
    return [f"{page.name}: {each}" for each in wrong]


def is_run_elsewhere(command: str) -> bool:
    """Whether another step runs it, so that it need not be run here."""
    target = make_target(command)
    return command in ELSEWHERE or target in LONG_TARGETS


def make_target(command: str) -> str | None:
    """The target that a `make` command names."""
    return command.split()[1] if command.startswith("make ") else None


def inline_commands(page: Page) -> Iterator[str]:
    """Commands of ours in running text and tables; brackets there mean "or without it"."""
    for code in page.codes:
        if code.startswith((f"{PROGRAM} ", "make ")):
            yield re.sub(r"[\[\]]", "", code)


@cache
def makefile_targets() -> frozenset[str]:
    """Everything that `make` can be asked for."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert phony is not None
    return frozenset(phony[1].split())


@cache
def steps_of_ci() -> frozenset[str]:
    """The targets that have to hold before a change lands."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    return frozenset(re.findall(r"\bmake (?:-\S+ )*([\w-]+)", text))


def _without_evidence(command: str) -> list[str]:
    target = make_target(command)
    if target is not None:
        known = target in makefile_targets() and target in steps_of_ci()
        return [] if known else [f"`{command}` is run by no step of .ci/run"]
    name, words = ELSEWHERE[command]
    path = ROOT / name
    known = path.exists() and words in path.read_text(encoding="utf-8")
    return [] if known else [f"`{command}` is not run by {name}"]


def _unknown_targets(command: str) -> list[str]:
    target = make_target(command)
    return [] if target in makefile_targets() else [f"there is no `make {target}`"]


def unparsable(command: str) -> list[str]:
    """Why a command of ours is refused; it is parsed, not run."""
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)[1:]]
    if not words:  # serves at once
        return []
    try:
        _parser().main(words, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as exc:
        return [f"`{command}`: {exc}"]
    return []


@cache
def _parser() -> TyperGroup:
    """The program with nothing behind its commands."""
    parser = typer.main.get_command(build_commands())
    assert isinstance(parser, TyperGroup)
    _hollow(parser)
    return parser


def _hollow(group: TyperGroup) -> None:
    group.callback = None
    for command in group.commands.values():
        command.callback = None
        if isinstance(command, TyperGroup):
            _hollow(command)
