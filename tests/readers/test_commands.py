"""Every command of every page is run, as a reader would, in a clone and a home of its own."""

import ast
import asyncio
import inspect
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from tests.docs.commands import PROGRAM, is_run_elsewhere, shell_commands, unparsable
from tests.docs.pages import Page, all_pages
from tests.readers.workshop import Workshop

PAGES = all_pages()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if shell_commands(page)], ids=lambda page: page.name
)
def test_the_commands_of_a_page_run_one_after_the_other(page: Page, tmp_path: Path) -> None:
    with Workshop(tmp_path) as workshop:
        for command in shell_commands(page):
            if not is_run_elsewhere(command):
                workshop.run(command)


@pytest.mark.parametrize(
    "code", [block.code for page in PAGES for block in page.blocks if block.language == "python"]
)
def test_python_on_a_page_runs(code: str) -> None:
    """As in `python -m asyncio`, where `await` may stand alone."""
    compiled = compile(code, "a page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {}
    running = eval(compiled, names)  # noqa: S307 - our own page
    if inspect.iscoroutine(running):
        asyncio.run(cast("Coroutine[Any, Any, None]", running))


@pytest.mark.parametrize(
    "code", [block.code for page in PAGES for block in page.blocks if block.language == "json"]
)
def test_configurations_on_a_page_start_our_program(code: str) -> None:
    whole: dict[str, dict[str, dict[str, Any]]] = json.loads(code)
    for server in (whole.get("mcpServers") or whole.get("servers") or {}).values():
        words = [server["command"], *server.get("args", [])]
        (at,) = (number for number, word in enumerate(words) if Path(word).name == PROGRAM)

        assert unparsable(" ".join([PROGRAM, *words[at + 1 :]])) == []
