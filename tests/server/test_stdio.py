"""How the real process ends, whatever its stdin and stdout are."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE

import anyio
import pytest
from mcp.types import JSONRPCRequest
from tests.wire import META

from kie_runway.lines import is_answer, read_message

pytestmark = pytest.mark.anyio

SERVE = (sys.executable, "-m", "kie_runway")
WITHIN_S = 60
GREETING: dict[str, object] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def lines(*messages: dict[str, object]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def listing(number: int) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/list"}


async def test_what_was_asked_before_stdin_ended_is_answered() -> None:
    process = await asyncio.create_subprocess_exec(*SERVE, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    with anyio.fail_after(WITHIN_S):
        out, _ = await process.communicate(
            lines(GREETING, {"jsonrpc": "2.0", "method": "notifications/initialized"}, listing(2))
        )

    assert [json.loads(line)["id"] for line in out.splitlines()] == [1, 2]
    assert process.returncode == 0


async def test_a_client_that_gave_up_probing_while_the_process_started_can_shake_hands() -> None:
    """The AI SDK waits for one second, and never probes again."""
    probe: dict[str, object] = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "server/discover",
        "params": {"_meta": META},
    }
    initialized: dict[str, object] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    process = await asyncio.create_subprocess_exec(*SERVE, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    with anyio.fail_after(WITHIN_S):
        out, _ = await process.communicate(lines(probe, GREETING, initialized, listing(2)))

    answers = {json.loads(line)["id"]: json.loads(line) for line in out.splitlines()}
    assert answers[1]["result"]["protocolVersion"] == "2025-11-25"
    assert len(answers[2]["result"]["tools"]) > 1
    assert "error" in answers[0]


async def test_a_number_of_thousands_of_digits_is_refused_and_does_not_end_it() -> None:
    """No JSON reader of ours takes more than 4,300 digits."""
    number = b'{"jsonrpc":"2.0","id":2,"method":"ping","params":{"n":%b}}\n' % (b"9" * 5000)
    process = await asyncio.create_subprocess_exec(*SERVE, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    with anyio.fail_after(WITHIN_S):
        out, _ = await process.communicate(lines(GREETING) + number + lines(listing(3)))

    answers = {json.loads(line)["id"]: json.loads(line) for line in out.splitlines()}
    assert set(answers) == {None, 1, 3}
    assert answers[None]["error"]["code"] == -32700
    assert process.returncode == 0


async def test_without_any_stdin_it_ends_at_once() -> None:
    process = await asyncio.create_subprocess_exec(*SERVE, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    with anyio.fail_after(WITHIN_S):
        out, _ = await process.communicate()

    assert (out, process.returncode) == (b"", 0)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
async def test_a_client_that_left_without_reading_cannot_hold_it_up() -> None:
    process = await asyncio.create_subprocess_exec(*SERVE, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(lines(GREETING, *(listing(number) for number in range(2, 400))))
    with anyio.fail_after(WITHIN_S):
        await process.stdout.readuntil(b"\n")
        process.stdin.close()  # some megabytes of answers lie before a pipe that nobody empties
        await process.stderr.read()  # ends with the process
        await process.communicate()

    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
async def test_a_signal_ends_it_at_once(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(*SERVE, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines(GREETING))
    with anyio.fail_after(WITHIN_S):
        await process.stdout.readuntil(b"\n")
        process.send_signal(number)
        await process.communicate()

    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
async def test_a_signal_ends_it_even_if_nobody_reads_what_it_refuses(
    number: signal.Signals,
) -> None:
    process = await asyncio.create_subprocess_exec(*SERVE, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(lines(GREETING) + b"no json\n" * 20_000)
    with anyio.fail_after(WITHIN_S):
        await process.stdout.readuntil(b"\n")
        process.send_signal(number)
        assert await process.stderr.read() == b""  # ends with the process
        await process.communicate()

    assert process.returncode == 0


@pytest.mark.parametrize(
    ("line", "request_", "answer"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"ping"}', True, False),
        ('{"jsonrpc":"2.0","method":"notifications/initialized"}', False, False),
        ('{"jsonrpc":"2.0","id":1,"result":{"method":"x"}}', False, True),
        ('{"jsonrpc":"2.0","id":"a\\"b","error":{"code":1,"message":"x"}}', False, True),
        ('{"jsonrpc":"2.0","id":"x","method":"elicitation/create","params":{}}', True, False),
    ],
)
def test_requests_and_answers_are_told_apart(line: str, request_: bool, answer: bool) -> None:
    assert isinstance(read_message(line), JSONRPCRequest) is request_
    assert is_answer(line) is answer
