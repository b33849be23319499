"""The callback address of a paid request, and the hints that its balance gives."""

import asyncio
import hashlib
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from tests.server.desk import QuickClock, creates, open_desk
from tests.sockets import http, listening, read_request
from tests.support import serve_sandbox

from kie_runway.ledger.records import LOCAL_ACCOUNT
from kie_runway.models import TaskState
from kie_runway_sandbox import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

BASE = "https://hooks.example/base"
WITHIN_S = 60


def token_of(address: str) -> str:
    return urlsplit(address).path.rsplit("/", 1)[1]


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_kie_is_given_an_address_of_which_only_a_hash_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db", callback_base_url=BASE) as desk,
    ):
        entry = await desk.start()
        address = sandbox.task(entry.task_id or "").callback_url or ""
        files = contents(tmp_path)
        found = await desk.ledger.inbox.entry_of(
            hashlib.sha256(token_of(address).encode()).hexdigest()
        )

    assert address.startswith(f"{BASE}/hooks/kie/")
    assert found == entry
    assert entry.callback_hash is not None
    assert entry.callback_hash.encode() in files
    assert token_of(address).encode() not in files
    assert token_of(address) not in caplog.text
    assert token_of(address) not in repr(entry)


async def test_without_a_public_address_kie_is_asked_for_no_callback(tmp_path: Path) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        entry = await desk.start()
        body = sandbox.task(entry.task_id or "").body

    assert "callBackUrl" not in body
    assert entry.callback_hash is None


async def test_each_request_and_each_try_has_an_address_of_its_own(tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if request.startswith(b"POST"):
            bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            code = 429 if len(bodies) < 3 else 200
            answer = {"code": code, "msg": "", "data": {"taskId": f"t-{len(bodies)}"}}
            writer.write(http(json.dumps(answer).encode()))
        else:
            writer.write(http(b'{"code": 200, "msg": "", "data": 100}'))
        await writer.drain()

    async with listening(handle) as port, serve_sandbox() as (_, settings):
        kie = settings.model_copy(update={"api_url": f"http://127.0.0.1:{port}"})
        path = tmp_path / "ledger.db"
        async with open_desk(kie, path, callback_base_url=BASE) as desk:
            await desk.start("a boat")
            last = await desk.start("a river")
    tokens = [token_of(body["callBackUrl"]) for body in bodies]

    assert len(set(tokens)) == len(tokens) == 4
    assert last.callback_hash == hashlib.sha256(tokens[-1].encode()).hexdigest()


async def test_the_balance_before_and_after_an_unclear_end_is_kept(tmp_path: Path) -> None:
    clock = QuickClock()
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db", clock) as desk,
    ):
        sandbox.set_credits(100)
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        charged = await desk.start("a boat")
        clock.at += timedelta(minutes=1)
        sandbox.inject(Fault("lost_answer", "runway/generate", processed=False))
        uncharged = await desk.start("a river")
        history = await desk.ledger.history(charged.id)

    assert charged.state is uncharged.state is TaskState.UNKNOWN
    assert (charged.credits_before, charged.credits_after) == (100, 88)
    assert (uncharged.credits_before, uncharged.credits_after) == (88, 88)
    assert history[-1].detail == "balance 88"


async def test_the_balance_hints_at_nothing_when_others_were_sent_at_the_same_time(
    tmp_path: Path,
) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        await desk.start("a boat")
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        unclear = await desk.start("a river")

    assert unclear.state is TaskState.UNKNOWN
    assert unclear.credits_after is None


async def test_a_clear_end_asks_for_no_second_balance(tmp_path: Path) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        entry = await desk.start()

    assert entry.credits_after is None
    assert sandbox.requests["chat/credit"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("html_502", "chat/credit", times=None),
        Fault("refuse", "chat/credit", status=401, code=401, times=None),
        Fault("refuse", "chat/credit", status=429, code=429, times=None),
        Fault("not_json", "chat/credit", times=None),
        Fault("slow_head", "chat/credit", seconds=3600, times=None),
    ],
    ids=lambda fault: fault.kind,
)
@pytest.mark.parametrize("lost", [False, True])
async def test_a_balance_that_cannot_be_had_holds_no_request_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, lost: bool
) -> None:
    monkeypatch.setattr("kie_runway.submit.BALANCE_S", 0.1)
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        sandbox.inject(fault)
        if lost:
            sandbox.inject(Fault("lost_answer", "runway/generate"))
        with anyio.fail_after(WITHIN_S):
            entry = await desk.start()

    assert entry.state is (TaskState.UNKNOWN if lost else TaskState.WAIT)
    assert (entry.credits_before, entry.credits_after) == (None, None)
    assert creates(sandbox) == 1


async def test_a_request_that_is_sent_anew_forgets_the_hints_of_the_first(tmp_path: Path) -> None:
    clock = QuickClock()
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db", clock, callback_base_url=BASE) as desk,
    ):
        sandbox.inject(Fault("refuse", "runway/generate", status=402, code=402))
        refused = await desk.start(request_id="one")
        sandbox.set_credits(50)
        sent = await desk.start(request_id="one")
        by_old = await desk.ledger.inbox.entry_of(refused.callback_hash or "")
        rows = await desk.ledger.list(LOCAL_ACCOUNT, limit=9)

    assert (refused.state, sent.state) == (TaskState.REJECTED, TaskState.WAIT)
    assert [row.id for row in rows] == [refused.id]
    assert sent.credits_before == 50
    assert by_old is None
    assert creates(sandbox) == 1
