"""The pages name what exists, lead somewhere, and leave nothing out that they promise to tell."""

import re
from dataclasses import fields
from typing import get_args

import pytest
from tests.docs import commands, names
from tests.docs.names import Names
from tests.docs.pages import DOCS, README, ROOT, Page, all_pages, read
from tests.faults.kinds import KINDS
from tests.faults.report import PARTS
from tests.support import connect

from kie_runway.models import Task, TaskState
from kie_runway.settings import MAX_WAIT_S, Settings
from kie_runway_sandbox import Switches
from kie_runway_sandbox.faults import FaultKind
from kie_runway_tools.catalog import build_tools

README_MAX_LINES = 200
PAGES = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)


@pytest.fixture(name="known")
async def _known() -> Names:
    async with connect(Settings()) as agent:
        client = agent.client
        return names.names_of(
            (await client.list_resources()).resources,
            (await client.list_resource_templates()).resource_templates,
            (await client.list_prompts()).prompts,
        )


@PAGES
@pytest.mark.anyio
async def test_names_and_links_lead_to_something(page: Page, known: Names) -> None:
    assert names.complaints(page, known) == []


@PAGES
def test_commands_exist_and_somebody_runs_them(page: Page) -> None:
    assert commands.complaints(page) == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < README_MAX_LINES


def test_the_readme_names_every_tool() -> None:
    named = read(README).codes

    assert not [tool.name for tool in build_tools(MAX_WAIT_S) if tool.name not in named]


def test_the_figures_in_the_readme_are_those_that_were_measured() -> None:
    text = read(README).text
    requests = re.search(r"Of over ([\d,]+) requests in fault runs none was paid twice", text)
    journey = re.search(r"takes (\d+) calls and some (\d+) tokens of\s+results", text)
    assert requests is not None
    assert journey is not None
    runs = re.findall(
        r"^\| (?!run)[^|]+ \| ([\d,]+) \| [\d,]+ \| ([\d,]+) \|", fault_table(), re.MULTILINE
    )
    comparison = (DOCS / "comparison.md").read_text(encoding="utf-8")
    calls, tokens = (
        int(found[1])
        for name in ("calls", "tokens of all results")
        if (found := re.search(rf"^\| {name} \| (\d+) \|", comparison, re.MULTILINE))
    )

    assert sum(number(intents) for intents, _ in runs) > number(requests[1])
    assert {twice for _, twice in runs} == {"0"}
    assert int(journey[1]) == calls
    assert abs(int(journey[2]) - tokens) < 50


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[str] = set()
    ahead = [README]
    while ahead:
        page = read(ahead.pop())
        for link in page.links:
            path = (page.path.parent / link.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.exists() and str(path) not in reached:
                reached.add(str(path))
                ahead.append(path)

    assert not [
        str(page.path) for page in all_pages() if str(page.path) not in reached | {str(README)}
    ]


def test_every_state_and_what_it_cost_is_told() -> None:
    rows = re.findall(r"^\| (.+?) \| .+? \| (\w+) \|$", section("States"), re.MULTILINE)
    told = {name: charged for names, charged in rows for name in re.findall(r"`(\w+)`", names)}

    assert told == {state.value: state.charged for state in TaskState}


def test_every_field_of_a_task_is_told() -> None:
    rows = re.findall(r"^\| (`.+?) \|", section("A task"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert told == set(Task.model_fields)


def test_the_sandboxs_page_names_every_fault_and_switch() -> None:
    text = (DOCS / "sandbox.md").read_text(encoding="utf-8")
    named = [*get_args(FaultKind), *(field.name for field in fields(Switches))]

    assert not [name for name in named if f"`{name}`" not in text]


def test_the_fault_table_has_the_rows_that_the_fault_runs_write() -> None:
    for name in (*PARTS.values(), *(kind.name for kind in KINDS)):
        assert f"| {name} |" in fault_table()


def test_tests_that_a_page_names_are_there() -> None:
    """docs/security.md says which test holds what it promises."""
    named = [code for page in all_pages() for code in page.codes if code.startswith("tests/")]

    assert named
    assert not [name for name in named if not (ROOT / name).exists()]


def fault_table() -> str:
    return (DOCS / "reliability.md").read_text(encoding="utf-8")


def number(text: str) -> int:
    return int(text.replace(",", ""))


def section(title: str) -> str:
    """What stands under a heading of docs/tools.md, up to the next one."""
    text = (DOCS / "tools.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]
