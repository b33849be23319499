"""The parts of the pages that are generated are today's; `UPDATE_DOCS=1` rewrites them."""

import os
import re
from pathlib import Path

import pytest
from tests.docs import generated
from tests.docs.pages import DOCS, README
from tests.support import connect

from kie_runway.settings import Settings

TOOLS = DOCS / "tools.md"
SETTINGS = DOCS / "settings.md"


def check(path: Path, mark: str, text: str) -> None:
    """Compare what stands between a page's marks with what should, or put it there."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    page = path.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(begin) + "(.*?)" + re.escape(end), re.DOTALL)
    if os.environ.get("UPDATE_DOCS"):
        page = pattern.sub(lambda _: f"{begin}\n{text}\n\n{end}", page)
        path.write_text(page, encoding="utf-8")
    found = pattern.search(page)

    assert found is not None
    assert found[1].strip() == text


def test_the_buttons_are_todays() -> None:
    check(README, "buttons", generated.buttons())


def test_the_tools_are_todays() -> None:
    check(TOOLS, "tools", generated.tools())


def test_the_errors_are_todays() -> None:
    check(TOOLS, "errors", generated.errors())


def test_the_settings_are_todays() -> None:
    check(SETTINGS, "settings", generated.settings())


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.anyio
async def test_the_resources_are_todays() -> None:
    async with connect(Settings()) as agent:
        fixed = (await agent.client.list_resources()).resources
        templates = (await agent.client.list_resource_templates()).resource_templates

    check(TOOLS, "resources", generated.resources(fixed, templates))


@pytest.mark.anyio
async def test_the_prompts_are_todays() -> None:
    async with connect(Settings()) as agent:
        offered = (await agent.client.list_prompts()).prompts

    check(TOOLS, "prompts", generated.prompts(offered))
