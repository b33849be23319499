"""Answers to a paid request that break on their way: no second one is ever sent."""

import gzip
import zlib
from dataclasses import replace

import anyio
import pytest
from tests.attacks.kie import (
    START,
    Hurry,
    Reply,
    assert_honest,
    assert_never_sent_again,
    counting_from,
    paid,
    raw_kie,
    sent,
)
from tests.sockets import envelope, http, sends
from tests.support import connect, settings_for

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint

pytestmark = pytest.mark.anyio

TOOL, ARGUMENTS = START["runway/generate"]
OK = envelope({"taskId": "t-1"})
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BROKEN = (
    Fault("lost_answer"),
    Fault("reset_before"),
    Fault("cut_body"),
    Fault("truncated_json"),
    Fault("not_json", processed=True),
    Fault("html_502", processed=True),
    Fault("html_502", processed=False),
    Fault("endless_body"),
    Fault("gzip_bomb", size_bytes=20_000_000),
    Fault("huge_headers", size_bytes=1_000_000),
    Fault("slow_head", seconds=60),
    Fault("slow_body", seconds=1),
    Fault("redirect", processed=True),
    *(
        Fault("edit", merge={"taskId": task_id})
        for task_id in ("", "  ", None, "x" * 10_000, "a\x00b", "a\x1b[31mb", "é", 0, -7, 1.5)
    ),
    *(Fault("edit", merge={"taskId": task_id}) for task_id in (True, ["t-1"], {"id": "t-1"})),
    Fault("edit", drop=("taskId",)),
)


def name(value: Fault | str) -> str:
    if isinstance(value, str):
        return value
    fault = value
    return f"{fault.kind} {str(fault.merge or fault.drop or fault.processed or '')[:24]}"


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        *(("runway/generate", fault) for fault in BROKEN),
        *(("aleph/generate", fault) for fault in BROKEN if fault.kind != "edit"),
    ],
    ids=name,
)
async def test_an_answer_that_proves_nothing_is_unknown_and_is_never_sent_again(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, fault: Fault, endpoint: Endpoint
) -> None:
    tool, arguments = START[endpoint]
    if fault.kind.startswith("slow"):
        hurry.deadline_s = 0.3
    sandbox.inject(replace(fault, endpoint=endpoint))
    async with connect(settings) as agent:
        with anyio.fail_after(60), counting_from(lambda: sent(sandbox, endpoint) > 0):
            task = await agent.refuse(tool, arguments)
        assert_honest(task, sandbox)
        await assert_never_sent_again(agent, tool, arguments)
    async with connect(settings) as agent:
        await assert_never_sent_again(agent, tool, arguments)
        seen = await agent.fail("get_task", task_id="one")

    assert (task["state"], task["error"]["code"]) == ("unknown", "outcome_unknown")
    assert seen["state"] == "unknown"
    assert sent(sandbox, endpoint) == 1


async def test_the_cdn_turning_us_away_costs_nothing_and_says_what_to_change(
    sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.inject(Fault("cdn_403", "runway/generate"))
    async with connect(settings) as agent:
        task = await agent.refuse(TOOL, ARGUMENTS)
        assert_honest(task, sandbox)
        mended = await agent.call(TOOL, **ARGUMENTS)

    assert (task["state"], task["error"]["code"]) == ("rejected", "blocked")
    assert "KIE_USER_AGENT" in task["error"]["reason"]
    assert (mended["charged"], paid(sandbox)) == ("yes", 1)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("gzip_bomb", size_bytes=500_000),
        Fault("huge_headers", size_bytes=8_000),
        Fault("slow_body", seconds=0.001),
        Fault("edit", merge={"extra": "x" * 10_000}),
    ],
    ids=lambda fault: fault.kind,
)
async def test_an_answer_that_is_only_odd_is_taken(
    sandbox: Sandbox, settings: Settings, fault: Fault
) -> None:
    sandbox.inject(replace(fault, endpoint="runway/generate"))
    async with connect(settings) as agent:
        task = await agent.call(TOOL, **ARGUMENTS)

    assert task["state"] == "wait"
    assert_honest(task, sandbox)


def bomb() -> bytes:
    """A megabyte that unpacks to a gigabyte."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    head = packer.compress(b" ") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * 1024**2) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * 1024  # after a full flush a block stands for itself


GZIP = "Content-Encoding: gzip"
RAW: dict[str, Reply] = {
    "an empty body": sends(http(b"")),
    "half of a gzip body": sends(http(gzip.compress(OK)[:-9], GZIP)),
    "gzip that is none": sends(http(b"\x1f\x8bnonsense", GZIP)),
    "a gigabyte in a megabyte": sends(http(bomb(), GZIP)),
    "a chunk of wrong length": sends(CHUNKED, b"ffffff\r\n", OK),
    "endless chunks": sends(CHUNKED, forever=b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "one byte after the other": sends(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", forever=b" "
    ),
    "endless headers": sends(b"HTTP/1.1 200 OK\r\n", forever=b"X-Pad: " + b"a" * 99 + b"\r\n"),
    "interim answers for ever": sends(forever=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "no HTTP": sends(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing at all": sends(),
    "nesting without end": sends(http(b"[" * 900_000)),
    "a list": sends(http(b"[200]")),
    "no code": sends(http(b'{"data":{"taskId":"t-1"}}')),
    "a true code": sends(http(b'{"code":true,"data":{"taskId":"t-1"}}')),
    "data null": sends(http(envelope(None))),
    "data a list": sends(http(envelope(["t-1"]))),
    "data a text": sends(http(envelope("t-1"))),
    "data a number": sends(http(envelope(7))),
    "not UTF-8": sends(http(b'{"code":200,"data":{"taskId":"\xff\xfe\xfd"}}')),
}


@pytest.mark.parametrize("reply", RAW.values(), ids=RAW)
async def test_a_peer_that_speaks_no_kie_leaves_the_outcome_unknown(
    hurry: Hurry, reply: Reply
) -> None:
    hurry.deadline_s = 2
    async with raw_kie(reply) as kie:
        settings = settings_for(kie.url)
        async with connect(settings) as agent:
            with anyio.fail_after(60), counting_from(lambda: bool(kie.requests)):
                task = await agent.refuse(TOOL, ARGUMENTS)
            await assert_never_sent_again(agent, TOOL, ARGUMENTS)
        async with connect(settings) as agent:
            await assert_never_sent_again(agent, TOOL, ARGUMENTS)

    assert task["state"] == "unknown"
    assert [request.split(b" ", 1)[0] for request in kie.requests] == [b"POST"]
