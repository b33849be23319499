"""Who sends half a request loses the connection; nobody else does, whatever uvicorn renames."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.hosting import base_url, free_port
from tests.wire import WITHIN_S

from kie_runway import hosting
from kie_runway.hosting import HEAD_DEADLINE_S, Host
from kie_runway.http_app import serve_http
from kie_runway.sdk import StrictServer

pytestmark = pytest.mark.anyio

AT_ONCE_S = 0.0
WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"GET /health HTTP/1.1\r\nHost: a\r\n"

Look = Callable[[], Awaitable[object]]
"""Has the server look at its connections; who is found waiting by two looks was too slow."""


@pytest.fixture(autouse=True)
def _look_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "TICKS_PER_LOOK", sys.maxsize)


class App:
    """One answer at once; one that begins, and goes on when it may."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asgi = Starlette(routes=[Route("/", self._at_once), Route("/slow", self._slow)])

    async def _at_once(self, _: Request) -> Response:
        return PlainTextResponse("here")

    async def _slow(self, _: Request) -> Response:
        async def parts() -> AsyncGenerator[str]:
            yield "begun"
            await self.go_on.wait()
            yield "ended"

        return StreamingResponse(parts())


@asynccontextmanager
async def hosted(app: App) -> AsyncGenerator[tuple[httpx.URL, Look]]:
    listener = free_port()
    listener.listen()
    config = uvicorn.Config(
        app.asgi,
        lifespan="off",
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=int(WITHIN_S),
    )
    host = Host(config, head_deadline_s=AT_ONCE_S)
    serving = asyncio.create_task(host.serve(sockets=[listener]))
    try:
        yield httpx.URL(base_url(listener)), partial(host.on_tick, 0)
    finally:
        host.should_exit = True
        with anyio.fail_after(WITHIN_S):
            await serving
        listener.close()


async def is_cut_off(base: httpx.URL, look: Look, *pieces: bytes) -> bool:
    """Whether looking ends the connection; each piece but the last gets an answer before."""
    reader, writer = await asyncio.open_connection(base.host, base.port)
    *whole, last = pieces
    try:
        with anyio.fail_after(WITHIN_S), suppress(ConnectionResetError):
            for piece in whole:
                writer.write(piece)
                await reader.readuntil(b"here")
            writer.write(last)
            end = asyncio.create_task(reader.read())
            while not end.done():
                await look()
                await anyio.lowlevel.checkpoint()
            return not end.result()
    finally:
        writer.close()
    return True


@pytest.mark.parametrize(
    "pieces",
    [(b"",), (HALF,), (WHOLE, HALF)],
    ids=["nothing", "half a head", "half a head after an answer"],
)
async def test_who_sends_no_whole_head_is_cut_off(pieces: tuple[bytes, ...]) -> None:
    async with hosted(App()) as (base, look):
        assert await is_cut_off(base, look, *pieces)


async def test_an_answer_that_takes_long_is_not_cut_off() -> None:
    app = App()
    async with (
        hosted(app) as (base, look),
        httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as http,
        http.stream("GET", base.join("/slow")) as answer,
    ):
        parts = answer.aiter_text()
        begun = await anext(parts)
        assert await is_cut_off(base, look, HALF)  # the same looks have seen the other
        app.go_on.set()
        ended = await anext(parts)

    assert (begun, ended) == ("begun", "ended")


async def test_a_connection_that_is_used_again_and_again_is_not_cut_off() -> None:
    async with hosted(App()) as (base, look):
        reader, writer = await asyncio.open_connection(base.host, base.port)
        try:
            with anyio.fail_after(WITHIN_S):
                for _ in range(3):
                    writer.write(WHOLE)
                    await reader.readuntil(b"here")
                    await look()
        finally:
            writer.close()


async def test_idle_connections_are_left_to_uvicorn() -> None:
    assert uvicorn.Config(App().asgi).timeout_keep_alive < HEAD_DEADLINE_S


async def test_the_http_server_cuts_off_who_sends_half_a_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosting, "TICKS_PER_LOOK", 1)
    said: asyncio.Queue[logging.LogRecord] = asyncio.Queue()
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", said.put_nowait)
    log = logging.getLogger("kie_runway.http_app")
    monkeypatch.setattr(log, "handlers", [handler])
    log.setLevel(logging.INFO)  # a mere attribute would leave what the logger has cached
    serving = asyncio.create_task(
        serve_http(StrictServer("http"), "127.0.0.1", 0, head_deadline_s=AT_ONCE_S)
    )
    with anyio.fail_after(WITHIN_S):
        base = httpx.URL(vars(await said.get())["url"])
        is_cut = await is_cut_off(base, anyio.lowlevel.checkpoint, HALF)
        signal.raise_signal(signal.SIGTERM)
        await serving
    log.setLevel(logging.NOTSET)

    assert is_cut


@pytest.mark.parametrize("steps", range(4))
async def test_a_connection_that_comes_at_the_very_end_is_closed(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    strangers: asyncio.Queue[socket.socket] = asyncio.Queue()

    async def run(host: uvicorn.Server) -> None:
        (listener,) = host.servers[0].sockets
        strangers.put_nowait(socket.create_connection(listener.getsockname(), WITHIN_S))
        for _ in range(steps):
            await asyncio.sleep(0)

    monkeypatch.setattr(uvicorn.Server, "main_loop", run)
    async with hosted(App()):
        stranger = await strangers.get()
    with stranger, suppress(ConnectionResetError):
        assert not await asyncio.to_thread(stranger.recv, 1)
