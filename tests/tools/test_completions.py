"""What is offered while a user types, on both eras."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mcp import MCPError
from mcp.types import PromptReference, ResourceTemplateReference
from tests.support import Agent, Era, connect

from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskKind, TaskState
from kie_runway.settings import Settings

pytestmark = pytest.mark.anyio

INVALID_PARAMS = -32602
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TASK = "kie://tasks/{id}"


async def offered(agent: Agent, where: str, argument: str, value: str = "") -> list[str]:
    """The values offered for an argument of a prompt, or of a resource's address."""
    is_address = "://" in where
    ref = ResourceTemplateReference(uri=where) if is_address else PromptReference(name=where)
    result = await agent.client.complete(ref, {"name": argument, "value": value})
    return result.completion.values


async def keep(rows: Sequence[Entry]) -> Settings:
    """Settings of a server whose ledger has these rows."""
    settings = Settings()
    ledger = SqliteLedger(settings.ledger_path)
    await ledger.open()
    for row in rows:
        await ledger.adopt(row)
    await ledger.aclose()
    return settings


def row(number: int, state: TaskState = TaskState.SUCCESS, account: str = LOCAL_ACCOUNT) -> Entry:
    return Entry(
        id=0,
        account=account,
        request_id=f"boat-{number}",
        kind=TaskKind.GENERATE,
        state=state,
        arguments={"prompt": "a boat"},
        created_at=NOW + timedelta(seconds=number),
        task_id=f"{number:08x}",
    )


@pytest.mark.parametrize(
    ("argument", "value", "values"),
    [
        ("aspect_ratio", "", ["16:9", "4:3", "1:1", "3:4", "9:16"]),
        ("aspect_ratio", "1", ["16:9", "1:1"]),
        ("aspect_ratio", "21", []),
        ("duration", "", ["5", "10"]),
        ("quality", "10", ["1080p"]),
        ("idea", "", []),
        ("nonsense", "", []),
    ],
)
async def test_choices_are_offered_by_their_beginning(
    era: Era, argument: str, value: str, values: list[str]
) -> None:
    async with connect(Settings(), era) as agent:
        assert await offered(agent, "text_to_video", argument, value) == values


async def test_recent_tasks_are_offered_newest_first_by_either_id(era: Era) -> None:
    settings = await keep([row(1), row(2, TaskState.FAIL), row(3, account="somebody else")])
    async with connect(settings, era) as agent:
        assert await offered(agent, TASK, "id") == ["00000002", "00000001"]
        assert await offered(agent, TASK, "id", "boat-1") == ["boat-1"]
        assert await offered(agent, TASK, "id", "x") == []


@pytest.mark.parametrize(
    ("where", "argument"), [(f"{TASK}/frames", "id"), ("restyle_video", "video")]
)
async def test_where_a_video_is_needed_only_tasks_that_have_one_are_offered(
    era: Era, where: str, argument: str
) -> None:
    settings = await keep([row(1), row(2, TaskState.FAIL)])
    async with connect(settings, era) as agent:
        assert await offered(agent, where, argument) == ["00000001"]


async def test_never_more_than_a_hundred_are_offered(era: Era) -> None:
    settings = await keep([row(number) for number in range(120)])
    async with connect(settings, era) as agent:
        values = await offered(agent, TASK, "id")

    assert len(values) == 100
    assert values[0] == f"{119:08x}"


async def test_a_ledger_that_cannot_be_opened_offers_nothing(era: Era, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    async with connect(Settings(home=tmp_path / "file"), era) as agent:
        assert await offered(agent, TASK, "id") == []


async def test_an_unknown_prompt_is_refused(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        with pytest.raises(MCPError) as caught:
            await offered(agent, "storyboard", "idea")

    assert caught.value.code == INVALID_PARAMS
    assert caught.value.message == "Unknown prompt; prompts/list names them."
