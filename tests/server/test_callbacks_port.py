"""Callbacks beside stdio: the port, who has it, and how it ends."""

import asyncio
import json
import logging
import re
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest
from tests.server.hooks import SUCCESS, Hooks, open_hooks
from tests.wire import COMMAND, RAW_ERAS, WITHIN_S, RawEra, Wire

from kie_runway import callbacks_port
from kie_runway.callbacks_port import serve_callbacks
from kie_runway.hosting import HEAD_DEADLINE_S
from kie_runway.sdk import StrictServer
from kie_runway.webhooks import HOOKS_PATH, new_token

pytestmark = pytest.mark.anyio


@pytest.fixture(name="hooks")
async def _hooks(tmp_path: Path) -> AsyncGenerator[Hooks]:
    async with open_hooks(tmp_path) as hooks:
        yield hooks


@pytest.fixture(name="said")
def _said(monkeypatch: pytest.MonkeyPatch) -> "Iterator[asyncio.Queue[logging.LogRecord]]":
    """What the port logs, as it comes."""
    queue: asyncio.Queue[logging.LogRecord] = asyncio.Queue()
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", queue.put_nowait)
    log = logging.getLogger("kie_runway.callbacks_port")
    monkeypatch.setattr(log, "handlers", [handler])
    log.setLevel(logging.INFO)  # a mere attribute would leave what the logger has cached
    yield queue
    log.setLevel(logging.NOTSET)


@asynccontextmanager
async def listening(
    hooks: Hooks, port: int = 0, head_deadline_s: float = HEAD_DEADLINE_S
) -> AsyncGenerator[None]:
    serving = asyncio.create_task(
        serve_callbacks(
            StrictServer("port"),
            hooks.opened,
            port,
            bind_again_s=0.001,
            head_deadline_s=head_deadline_s,
        )
    )
    try:
        yield
    finally:
        serving.cancel()
        with anyio.fail_after(WITHIN_S):
            await asyncio.wait([serving])
        assert serving.cancelled()


async def address(said: "asyncio.Queue[logging.LogRecord]") -> httpx.URL:
    with anyio.fail_after(WITHIN_S):
        record = await said.get()
    return httpx.URL(vars(record)["url"])


async def test_the_port_serves_callbacks_and_health_and_nothing_else(
    hooks: Hooks, said: "asyncio.Queue[logging.LogRecord]"
) -> None:
    async with listening(hooks), httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as http:
        base = await address(said)
        hook = base.join(f"{HOOKS_PATH}/{hooks.token}")
        spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        stored = await http.post(hook, content=SUCCESS, headers=spoofed)
        health = await http.get(base.join("/health"))
        other = await http.post(base.join("/mcp"), json={})

    assert base.host == "127.0.0.1"
    assert stored.status_code == 200
    assert health.json()["status"] == "ok"
    assert other.status_code == 404
    assert len(await hooks.stored()) == 1


async def test_a_second_process_warns_once_and_takes_over_when_the_first_ends(
    hooks: Hooks, said: "asyncio.Queue[logging.LogRecord]"
) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(listening(hooks))
        port = (await address(said)).port
        assert port is not None
        async with listening(hooks, port):
            with anyio.fail_after(WITHIN_S):
                warning = await said.get()
            await first.aclose()
            taken_over = (await address(said)).port

    assert warning.levelno == logging.WARNING
    assert vars(warning)["port"] == port
    assert taken_over == port
    assert said.empty()


async def test_it_ends_at_once_with_a_callback_half_sent(
    hooks: Hooks, said: "asyncio.Queue[logging.LogRecord]", caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(hooks):
        base = await address(said)
        reader, writer = await asyncio.open_connection(base.host, base.port)
        head = f"POST {HOOKS_PATH}/{hooks.token} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
        writer.write(head.encode())
        await writer.drain()
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as http:
            await http.get(base.join("/health"))  # what was sent before has been read by now
    with anyio.fail_after(WITHIN_S), suppress(ConnectionResetError):
        assert not await reader.read()
    writer.close()

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("steps", range(4))
async def test_who_is_half_way_through_a_request_is_cut_off_by_an_impatient_end(
    steps: int, hooks: Hooks, said: "asyncio.Queue[logging.LogRecord]"
) -> None:
    serving = asyncio.create_task(serve_callbacks(StrictServer("port"), hooks.opened, 0))
    base = await address(said)
    reader, writer = await asyncio.open_connection(base.host, base.port)
    writer.write(b"POST ")
    async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as http:
        await http.get(base.join("/health"))  # by now the other one has been accepted
    serving.cancel()
    for _ in range(steps):
        await asyncio.sleep(0)
    serving.cancel()
    await asyncio.wait([serving])
    with anyio.fail_after(WITHIN_S), suppress(ConnectionResetError):
        assert not await reader.read()
    writer.close()


@pytest.mark.parametrize("steps", range(4))
async def test_a_connection_that_comes_at_the_very_end_is_closed(
    steps: int, hooks: Hooks, said: "asyncio.Queue[logging.LogRecord]"
) -> None:
    async with listening(hooks):
        base = await address(said)
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as http:
            await http.get(base.join("/health"))  # by now it does nothing else
        stranger = socket.create_connection((base.host, base.port or 0), WITHIN_S)
        for _ in range(steps):
            await asyncio.sleep(0)
    with stranger, suppress(ConnectionResetError):
        assert not await asyncio.to_thread(stranger.recv, 1)


async def test_whoever_takes_all_connections_with_half_requests_loses_them(
    hooks: Hooks, said: "asyncio.Queue[logging.LogRecord]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks_port, "CONNECTIONS_MAX", 20)
    async with listening(hooks, head_deadline_s=0.01), AsyncExitStack() as held:
        base = await address(said)
        readers: list[asyncio.StreamReader] = []
        for _ in range(callbacks_port.CONNECTIONS_MAX):
            reader, writer = await asyncio.open_connection(base.host, base.port)
            held.callback(writer.close)
            writer.write(f"POST {HOOKS_PATH}/x HTTP/1.1\r\nHost: x\r\n".encode())
            readers.append(reader)
        with anyio.fail_after(WITHIN_S):
            for reader in readers:
                with suppress(ConnectionResetError):
                    assert not await reader.read()
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as http:
            stored = await http.post(base.join(f"{HOOKS_PATH}/{hooks.token}"), content=SUCCESS)

    assert stored.status_code == 200


def awaited(log: Path, pattern: str) -> str:
    """What a process writes to its log sooner or later."""
    deadline = time.monotonic() + WITHIN_S
    while (found := re.search(pattern, log.read_text(encoding="utf-8"))) is None:
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
    return found[1]


@pytest.mark.parametrize("era", RAW_ERAS)
def test_stdio_with_a_port_takes_callbacks_and_ends_with_its_client(
    tmp_path: Path, era: RawEra
) -> None:
    log = tmp_path / "stderr"
    command = (*COMMAND, "serve", "--callbacks-port", "0")
    with Wire(command, era=era, stderr=log) as wire:
        wire.open()
        tools = wire.call("tools/list")["tools"]
        base = awaited(log, r'"url": "(http://127\.0\.0\.1:\d+)"')
        url = f"{base}{HOOKS_PATH}/{new_token()}"
        answer = httpx.post(url, content=SUCCESS, trust_env=False, timeout=WITHIN_S)
        wire.close_stdin()
        code = wire.end()

    assert tools
    assert (answer.status_code, answer.json()) == (404, {"status": "not found"})
    assert code == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in wire.lines)


@pytest.mark.parametrize(
    ("arguments", "env", "warnings"),
    [
        ((), {}, 0),
        (("serve",), {"KIE_CALLBACK_URL": "https://hooks.example"}, 2),
        (("serve",), {"KIE_CALLBACK_URL": "https://h.example", "KIE_WEBHOOK_HMAC_KEY": "key"}, 1),
        (("serve", "--callbacks-port", "0"), {"KIE_CALLBACK_URL": "https://h.example"}, 1),
        (("serve", "--sandbox"), {"KIE_CALLBACK_URL": "https://h.example"}, 0),  # it asks for none
    ],
)
def test_what_keeps_callbacks_from_working_is_said_at_the_start(
    tmp_path: Path, arguments: tuple[str, ...], env: dict[str, str], warnings: int
) -> None:
    log = tmp_path / "stderr"
    with Wire((*COMMAND, *arguments), env=env, stderr=log) as wire:
        wire.open()
        awaited(log, rf"(?s)((?:KIE_CALLBACK_URL is set.*){{{warnings}}})")
        wire.close_stdin()
        code = wire.end()

    assert code == 0
    assert log.read_text(encoding="utf-8").count("KIE_CALLBACK_URL is set") == warnings


def test_every_webhook_key_is_masked_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    keys = {"KIE_WEBHOOK_HMAC_KEY": "another-key,listening"}  # a word that is logged
    with Wire((*COMMAND, "serve", "--callbacks-port", "0"), env=keys, stderr=log) as wire:
        wire.open()
        wire.call("tools/list")
        line = awaited(log, r"(.+ for callbacks.+)")

    assert "[redacted] for callbacks" in line


def test_what_is_no_http_gets_no_line_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    with Wire((*COMMAND, "serve", "--callbacks-port", "0"), stderr=log) as wire:
        wire.open()
        wire.call("tools/list")
        port = int(awaited(log, r'"url": "http://127\.0\.0\.1:(\d+)"'))
        with socket.create_connection(("127.0.0.1", port), WITHIN_S) as connection:
            connection.sendall(b"\x00garbage\r\n\r\n")
            answer = connection.recv(1 << 10)
        wire.close_stdin()
        wire.end()

    assert b" 400 " in answer
    assert "HTTP request" not in log.read_text(encoding="utf-8")


def test_a_port_beside_http_is_refused() -> None:
    done = subprocess.run(
        (*COMMAND, "serve", "--http", "--callbacks-port", "0"),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )

    assert done.returncode == 2
    assert "--callbacks-port is for stdio" in done.stderr
    assert not done.stdout
