"""Never twice, also where a call names a file: the content counts, not the address it got."""

import asyncio
from pathlib import Path

import pytest
from tests.server.desk import Desk, creates, open_desk
from tests.support import serve_sandbox

from kie_runway.clock import Clock
from kie_runway.errors import RequestConflictError
from kie_runway.ledger.records import LOCAL_ACCOUNT, Opened
from kie_runway.models import GenerateRequest, TaskState
from kie_runway_sandbox import Fault, Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

CAT, DOG = {"image_url": "sha256:cat"}, {"image_url": "sha256:dog"}


async def start(
    desk: Desk, upload: int, stands_for: dict[str, str] = CAT, request_id: str | None = None
) -> Opened:
    request = GenerateRequest(prompt="a", image_url=f"https://files.example/{upload}")
    return await desk.submitter.start(LOCAL_ACCOUNT, request, request_id, stands_for=stands_for)


def sent(sandbox: Sandbox) -> list[str]:
    return [entry.details["body"]["imageUrl"] for entry in sandbox.log.select("create")]


@pytest.mark.parametrize("request_id", [None, "one"])
async def test_the_same_content_at_another_address_is_the_same_call(
    tmp_path: Path, request_id: str | None
) -> None:
    async with serve_sandbox() as (sandbox, settings):
        async with open_desk(settings, tmp_path / "ledger.db") as desk:
            first = await start(desk, 1, request_id=request_id)
            again = await start(desk, 2, request_id=request_id)
        async with open_desk(settings, tmp_path / "ledger.db") as restarted:
            later = await start(restarted, 3, request_id=request_id)

    assert first.entry.task_id == again.entry.task_id == later.entry.task_id
    assert (again.deduplicated, later.deduplicated) == (True, True)
    assert sent(sandbox) == ["https://files.example/1"]


async def test_another_content_is_another_call_and_a_conflict_under_the_same_name(
    tmp_path: Path,
) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        await start(desk, 1, CAT, "one")
        with pytest.raises(RequestConflictError):
            await start(desk, 2, DOG, "one")
        with pytest.raises(RequestConflictError):
            await start(desk, 1, {}, "one")

    assert creates(sandbox) == 1


async def test_a_row_that_waited_is_sent_with_the_address_that_lives(tmp_path: Path) -> None:
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("refuse", "runway/generate", status=429, code=429))
        async with open_desk(settings, tmp_path / "ledger.db", Clock()) as dead:
            starting = asyncio.create_task(start(dead, 1, request_id="one"))
            await sandbox.log.wait_for("fault")
            starting.cancel()
        async with open_desk(settings, tmp_path / "ledger.db") as desk:
            before = await desk.ledger.find(LOCAL_ACCOUNT, "one")
            after = (await start(desk, 2, request_id="one")).entry

    assert before is not None
    assert before.state is TaskState.QUEUED
    assert after.state is TaskState.WAIT
    assert after.arguments["image_url"] == "https://files.example/2"
    assert sent(sandbox) == ["https://files.example/2"]


async def test_a_refused_row_is_sent_again_with_the_address_that_lives(tmp_path: Path) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        sandbox.inject(Fault("refuse", "runway/generate", status=451, code=451))
        refused = await start(desk, 1, request_id="one")
        entry = (await start(desk, 2, request_id="one")).entry

    assert refused.entry.state is TaskState.REJECTED
    assert entry.arguments["image_url"] == "https://files.example/2"
    assert sent(sandbox) == ["https://files.example/2"]


async def test_a_request_with_a_local_file_is_never_sent(tmp_path: Path) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        request = GenerateRequest(prompt="a", image_url="file:///a.png")
        with pytest.raises(AssertionError):
            await desk.submitter.start(LOCAL_ACCOUNT, request, "one")

        assert await desk.ledger.find(LOCAL_ACCOUNT, "one") is None
    assert creates(sandbox) == 0
