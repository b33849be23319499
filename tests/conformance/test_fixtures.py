"""The fixture server works before the suite meets it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import anyio
import mcp.types as t
import pytest
from mcp import Client
from tests.conformance.fixtures import FixtureServer
from tests.conformance.processes import FIXTURES, PRODUCT, ServerFailedError, running_server
from tests.wire import WITHIN_S

pytestmark = pytest.mark.anyio

Mode = Literal["legacy", "2026-07-28"]
BOTH_ERAS = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])


@BOTH_ERAS
async def test_it_lists_everything_with_a_description(mode: Mode) -> None:
    with anyio.fail_after(WITHIN_S):
        async with Client(FixtureServer(), mode=mode) as client:
            tools = (await client.list_tools()).tools
            prompts = (await client.list_prompts()).prompts
            resources = (await client.list_resources()).resources
            templates = (await client.list_resource_templates()).resource_templates

    assert {"test_simple_text", "json_schema_2020_12_tool"} <= {tool.name for tool in tools}
    assert "test_simple_prompt" in {prompt.name for prompt in prompts}
    assert "test://static-text" in {resource.uri for resource in resources}
    assert [template.uri_template for template in templates] == ["test://template/{id}/data"]
    assert all(tool.description for tool in tools)
    assert all(prompt.description for prompt in prompts)


@BOTH_ERAS
async def test_its_tools_have_the_products_closed_schemas(mode: Mode) -> None:
    with anyio.fail_after(WITHIN_S):
        async with Client(FixtureServer(), mode=mode) as client:
            result = await client.call_tool("test_simple_text", {"typo": 1})

    assert result.is_error
    assert isinstance(result.content[0], t.TextContent)
    assert "`typo` is not an argument of this tool" in result.content[0].text


async def test_the_words_that_fit_complete_an_argument() -> None:
    prompt = t.PromptReference(name="test_prompt_with_arguments")
    with anyio.fail_after(WITHIN_S):
        async with Client(FixtureServer()) as client:
            result = await client.complete(prompt, {"name": "arg1", "value": "par"})

    assert result.completion.values == ["paris", "park", "party"]


@pytest.mark.parametrize(
    ("command", "tool"), [(FIXTURES, "test_simple_text"), (PRODUCT, "generate_video")]
)
async def test_it_serves_on_the_address_it_logs(
    tmp_path: Path, command: Sequence[str], tool: str
) -> None:
    with anyio.fail_after(WITHIN_S):
        async with running_server(command, tmp_path) as url, Client(url) as client:
            tools = (await client.list_tools()).tools

    assert tool in {listed.name for listed in tools}


async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with anyio.fail_after(WITHIN_S), pytest.raises(ServerFailedError, match="No module named"):
        async with running_server(["tests.conformance.nonsense"], tmp_path):
            pass
