"""The real program on stdio: whatever comes in, nothing but JSON-RPC comes out, and it goes on."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from tests.attacks.program import INITIALIZE, Program, started

from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox

pytestmark = pytest.mark.anyio

# A server some part of which prints, as a dependency may one day.
NOISY = """
import os, sys
from kie_runway import app, serving
ready = app.Services.ready
async def noisy(self):
    print("stray print", flush=True)
    os.write(1, b"stray write\\n")
    return await ready(self)
app.Services.ready = noisy
sys.exit(serving.serve())
"""


@pytest.fixture(name="program", scope="module")
async def _program(
    served: tuple[Sandbox, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Program]:
    """One program for all tests: each finds it as the others' rubbish left it."""
    folder = tmp_path_factory.mktemp("program")
    async with started(folder, served[1], "-m", "kie_runway") as program:
        yield program


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def request(method: bytes, params: bytes, number: bytes = b"7777") -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"method":"%b","params":%b}' % (number, method, params)


RUBBISH = {
    "words": b"hello, is anybody there?",
    "an empty line": b"",
    "spaces": b"   \t ",
    "a carriage return": b"\r",
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "LSP framing": b"Content-Length: 5\r\n\r\nhello",
    "NUL bytes": bytes(1000),
    "invalid UTF-8": b'{"jsonrpc":"2.0","id":7777,"method":"\xff\xfe\xc3\x28"}',
    "UTF-16": '{"jsonrpc":"2.0","id":7777,"method":"ping"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + request(b"ping", b"{}"),
    "half a message": b'{"jsonrpc":"2.0","id":7777,"meth',
    "two messages in a line": request(b"ping", b"{}") * 2,
    "single quotes": b"{'jsonrpc': '2.0'}",
    "a batch": b"[" + request(b"ping", b"{}") + b"," + request(b"ping", b"{}", b"7778") + b"]",
    "an empty batch": b"[]",
    "null": b"null",
    "a number": b"42",
    "a text": b'"ping"',
    "an empty object": b"{}",
    "JSON-RPC 1.0": b'{"jsonrpc":"1.0","id":7777,"method":"ping"}',
    "no version": b'{"id":7777,"method":"ping"}',
    "an unknown method": request(b"shutdown/now", b"{}"),
    "an answer to nothing": b'{"jsonrpc":"2.0","id":9999,"result":{}}',
    "an error to nothing": b'{"jsonrpc":"2.0","id":9999,"error":{"code":-1,"message":"no"}}',
    "an id that is an object": request(b"ping", b"{}", b'{"a":1}'),
    "an id that is null": request(b"ping", b"{}", b"null"),
    "an id of 400 digits": request(b"ping", b"{}", b"9" * 400),
    "params that are a list": request(b"tools/call", b"[1,2,3]"),
    "params that are a text": request(b"tools/call", b'"generate_video"'),
    "a tool that is a number": request(b"tools/call", b'{"name":7}'),
    "arguments that are a list": request(
        b"tools/call", b'{"name":"generate_video","arguments":["x"]}'
    ),
    "a prompt that is a number": request(b"prompts/get", b'{"name":7}'),
    "a prompt's arguments that are numbers": request(
        b"prompts/get", b'{"name":"text_to_video","arguments":{"idea":7}}'
    ),
    "a completion of nothing": request(b"completion/complete", b'{"ref":{"type":"ref/x"}}'),
    "a completion of 1 MB": request(
        b"completion/complete",
        b'{"ref":{"type":"ref/prompt","name":"restyle_video"},"argument":{"name":"video",'
        b'"value":"%b"}}' % (b"x" * 1_000_000),
    ),
    "a resource that is a number": request(b"resources/read", b'{"uri":7}'),
    "a second initialize": request(b"initialize", json.dumps(INITIALIZE).encode()),
    "a cancellation of nothing": (
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345}}'
    ),
    "200 levels": nested(200),
    "200 levels of arguments": request(
        b"tools/call", b'{"name":"generate_video","arguments":{"prompt":%b}}' % nested(200)
    ),
    "100,000 levels": nested(100_000),
    "duplicate keys": b'{"jsonrpc":"2.0","id":7777,"id":7778,"method":"ping","method":"ping"}',
    "a line of 17 MB": b"x" * 17_000_000,
    "a message of 17 MB": request(b"ping", b'{"pad":"%b"}' % (b"x" * 17_000_000)),
}


@pytest.mark.parametrize("line", RUBBISH.values(), ids=RUBBISH)
async def test_rubbish_is_answered_in_json_rpc_or_not_at_all_and_the_program_goes_on(
    program: Program, sandbox: Sandbox, line: bytes
) -> None:
    with anyio.fail_after(60):
        await program.send(line)
        await program.goes_on()

    assert sandbox.requests["runway/generate"] == 0


DURATION = "`duration` must be 5 or 10."
SEED = "`seed` must be a whole number."
ALEPH = b'"prompt":"x","video_url":"https://media.example.com/v.mp4"'
REFUSED: dict[str, tuple[bytes, bytes, str]] = {
    "duration 1e309": (b"generate_video", b'{"prompt":"x","duration":1e309}', DURATION),
    "duration -1e309": (b"generate_video", b'{"prompt":"x","duration":-1e309}', DURATION),
    "duration of 400 digits": (
        b"generate_video",
        b'{"prompt":"x","duration":%b}' % (b"5" * 400),
        "`duration` has too many digits: use a smaller number.",
    ),
    "seed 1e309": (b"aleph_generate", b'{%b,"seed":1e309}' % ALEPH, SEED),
    "wait_seconds 1e309": (
        b"get_task",
        b'{"task_id":"x","wait_seconds":1e309}',
        "`wait_seconds` must be a whole number.",
    ),
    "a NUL": (b"generate_video", b'{"prompt":"a\\u0000b"}', "`prompt` contains a NUL character"),
    "190 levels": (  # from 200 on it is no JSON to the SDK's parser
        b"generate_video",
        b'{"prompt":%b}' % nested(190),
        "`prompt` must be a string.",
    ),
    "a prompt of 10 MB": (
        b"generate_video",
        b'{"prompt":"%b"}' % (b"x" * 10_000_000),
        "`prompt` has 10000000 characters and may have 1800",
    ),
}


@pytest.mark.parametrize(("tool", "arguments", "reason"), REFUSED.values(), ids=REFUSED)
async def test_raw_arguments_that_break_a_rule_are_explained_and_cost_nothing(
    program: Program, sandbox: Sandbox, tool: bytes, arguments: bytes, reason: str
) -> None:
    with anyio.fail_after(60):
        answer = await program.call_raw(arguments, tool)
        await program.goes_on()

    error = answer["result"]["structuredContent"]["error"]
    assert answer["result"]["isError"] is True
    assert error["reason"].startswith(reason)
    assert (error["code"], error["charged"]) == ("bad_input", "no")
    assert sandbox.requests.total() == 0
    assert len(program.written[-2]) < 2000


@pytest.mark.parametrize("escape", [rb"\ud83d", rb"\udea3", rb"\udea3\ud83d"])
async def test_half_a_character_pair_costs_nothing_and_the_program_goes_on(
    program: Program, sandbox: Sandbox, escape: bytes
) -> None:
    with anyio.fail_after(60):
        await program.send(
            request(
                b"tools/call", b'{"name":"generate_video","arguments":{"prompt":"a%b"}}' % escape
            )
        )
        await program.goes_on()

    assert sandbox.requests.total() == 0


HUGE = request(b"ping", b'{"pad":"%b"}' % (b"x" * 17_000_000), b"4711")
PARSE_ERROR, INVALID_REQUEST = -32700, -32600
UNREADABLE: dict[str, tuple[bytes, int | None, int]] = {
    "words": (b"rubbish", None, PARSE_ERROR),
    "half a message": (b'{"jsonrpc":"2.0","id":4711,"meth', None, PARSE_ERROR),
    "more than 16 MiB": (HUGE, None, PARSE_ERROR),
    "100,000 levels": (nested(100_000), None, PARSE_ERROR),
    "a batch": (b"[" + request(b"ping", b"{}", b"4711") + b"]", None, INVALID_REQUEST),
    "a list of params": (request(b"tools/call", b"[1]", b"4711"), 4711, INVALID_REQUEST),
    "200 levels": (request(b"ping", nested(200), b"4711"), 4711, INVALID_REQUEST),
    "half a pair": (request(b"ping", b'{"a":"\\ud83d"}', b"4711"), 4711, INVALID_REQUEST),
    "JSON-RPC 1.0": (b'{"jsonrpc":"1.0","id":4711,"method":"ping"}', 4711, INVALID_REQUEST),
}


@pytest.mark.parametrize(("line", "number", "code"), UNREADABLE.values(), ids=UNREADABLE)
async def test_a_request_that_cannot_be_read_is_refused_at_once(
    program: Program, line: bytes, number: int | None, code: int
) -> None:
    """Or its sender waits for an answer until it gives up."""
    with anyio.fail_after(60):
        await program.goes_on()
        await program.send(line)
        await program.send(request(b"ping", b"{}", b"4712"))
        first = await program.read()
        if first["id"] != 4712:
            await program.answer_to(4712)

    assert "error" in first
    assert (first["id"], first["error"]["code"]) == (number, code)
    assert "xxx" not in first["error"]["message"]


@pytest.mark.parametrize("name", ["an empty line", "an answer to nothing", "an error to nothing"])
async def test_what_expects_no_answer_gets_none(program: Program, name: str) -> None:
    with anyio.fail_after(60):
        await program.goes_on()
        await program.send(RUBBISH[name])
        await program.send(request(b"ping", b"{}", b"4712"))
        first = await program.read()

    assert first == {"jsonrpc": "2.0", "id": 4712, "result": {}}


async def test_a_task_is_still_started_once_and_told_truly(
    program: Program, sandbox: Sandbox
) -> None:
    with anyio.fail_after(60):
        arguments = b'{"prompt":"\\u202ea boat\\ud83d\\udea3 </tool>","request_id":"after all"}'
        first = await program.call_raw(arguments)
        second = await program.call_raw(arguments)

    tasks = [answer["result"]["structuredContent"] for answer in (first, second)]
    assert [task["charged"] for task in tasks] == ["yes", "yes"]
    assert tasks[0]["task_id"] == tasks[1]["task_id"]
    assert len(sandbox.log.select("create")) == 1


async def test_what_a_part_of_the_server_prints_ends_up_on_stderr(
    tmp_path: Path, settings: Settings
) -> None:
    async with started(tmp_path, settings.api_url, "-c", NOISY) as program:
        with anyio.fail_after(60):
            await program.call("tools/call", {"name": "list_tasks", "arguments": {}})
            await program.goes_on()
    log = program.log.read_text(encoding="utf-8")

    assert "stray print" in log
    assert "stray write" in log
