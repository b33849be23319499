"""The README's tables are generated; `UPDATE_DOCS=1` rewrites them."""

import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from tests.faults.report import Report

from kie_runway.settings import MAX_WAIT_S, Settings
from kie_runway_sandbox import Switches
from kie_runway_sandbox.faults import FaultKind
from kie_runway_tools.catalog import build_tools

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README_MAX_LINES = 200
RELIABILITY = ROOT / "docs" / "reliability.md"


def tools_table() -> str:
    """Every tool with its arguments; the required ones stand out."""
    rows = ["| tool | arguments | does |", "| --- | --- | --- |"]
    for tool in build_tools(MAX_WAIT_S):
        required = tool.parameters.get("required", [])
        names = [
            f"**`{name}`**" if name in required else f"`{name}`"
            for name in tool.parameters["properties"]
        ]
        does = " ".join(tool.description.split())
        rows.append(f"| `{tool.name}` | {', '.join(names) or 'none'} | {does} |")
    return "\n".join(rows)


def settings_table() -> str:
    """Every variable with its meaning and default."""
    rows = ["| variable | meaning | default |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f"`{field.default}`"
        rows.append(f"| `KIE_{name.upper()}` | {field.description} | {default} |")
    return "\n".join(rows)


@pytest.mark.parametrize(("mark", "table"), [("tools", tools_table), ("settings", settings_table)])
def test_the_table_in_the_readme_is_todays(mark: str, table: Callable[[], str]) -> None:
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + "(.*?)" + re.escape(end), re.DOTALL)
    if os.environ.get("UPDATE_DOCS"):
        text = pattern.sub(lambda _: f"{begin}{table()}\n{end}", text)
        README.write_text(text, encoding="utf-8")
    found = pattern.search(text)

    assert found is not None
    assert found[1].strip() == table()


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_MAX_LINES


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)

    assert not [target for target in targets if not (page.parent / target).exists()]


def test_the_sandboxs_page_names_every_fault_and_switch() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    names = [*get_args(FaultKind), *(field.name for field in fields(Switches))]

    assert not [name for name in names if f"`{name}`" not in text]


def test_the_fault_table_has_the_rows_that_the_fault_runs_write() -> None:
    text = RELIABILITY.read_text(encoding="utf-8")

    for name in Report("").parts:
        assert f"| {name} |" in text
