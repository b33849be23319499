"""The guide, the icon, and what every list says of itself."""

from importlib.resources import files
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from mcp.types import TextResourceContents
from tests.support import ERAS, Era, connect

from kie_runway.settings import Settings
from kie_runway_tools.icons import ICONS

pytestmark = pytest.mark.anyio

ICON_MAX_BYTES = 400


@pytest.mark.parametrize("era", ERAS)
async def test_the_guide_is_listed_and_reads_as_it_was_written(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        listed = {str(one.uri): one for one in (await agent.client.list_resources()).resources}
        (content,) = (await agent.client.read_resource("kie://guide")).contents

    assert listed["kie://guide"].mime_type == "text/markdown"
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "text/markdown"
    written = files("kie_runway_tools").joinpath("guide.md").read_text(encoding="utf-8")
    assert content.text == written
    assert "](" not in written  # no links or pictures: it shows the same everywhere


@pytest.mark.parametrize("era", ERAS)
async def test_everything_that_is_listed_has_a_title(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        client = agent.client
        tools = (await client.list_tools()).tools
        prompts = (await client.list_prompts()).prompts
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    listed = [
        *((tool.name, tool.title, tool.description) for tool in tools),
        *((prompt.name, prompt.title, prompt.description) for prompt in prompts),
        *((resource.name, resource.title, resource.description) for resource in resources),
        *((template.name, template.title, template.description) for template in templates),
    ]

    assert len(listed) == 18
    assert [name for name, title, description in listed if not (title and description)] == []


def test_the_icon_is_small_and_drawn_without_scripts_or_addresses() -> None:
    (icon,) = ICONS
    kind, _, data = icon.src.partition(",")
    drawing = ElementTree.fromstring(unquote(data))

    assert kind == f"data:{icon.mime_type}" == "data:image/svg+xml"
    assert len(icon.model_dump_json(by_alias=True, exclude_none=True)) <= ICON_MAX_BYTES
    assert {element.tag.partition("}")[2] for element in drawing.iter()} == {"svg", "path"}
    assert " " not in icon.src
