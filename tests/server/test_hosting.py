"""Who sends half a request loses the connection; nobody else does, whatever uvicorn renames."""

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

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

SOON_S = 0.05
HALF = b"GET /health HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "TICKS_PER_LOOK", 1)


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
async def hosted(app: App, head_deadline_s: float = SOON_S) -> AsyncGenerator[httpx.URL]:
    listener = free_port()
    listener.listen()
    config = uvicorn.Config(
        app.asgi, lifespan="off", http="h11", ws="none", log_config=None, access_log=False
    )
    host = Host(config, head_deadline_s=head_deadline_s)
    serving = asyncio.create_task(host.serve(sockets=[listener]))
    try:
        yield httpx.URL(base_url(listener))
    finally:
        host.should_exit = True
        with anyio.fail_after(WITHIN_S):
            await serving
        listener.close()


async def is_cut_off(base: httpx.URL, *pieces: bytes) -> bool:
    """Whether the server ends the connection by itself; each piece but the last gets an answer."""
    reader, writer = await asyncio.open_connection(base.host, base.port)
    *whole, last = pieces
    try:
        with anyio.fail_after(WITHIN_S), suppress(ConnectionResetError):
            for piece in whole:
                writer.write(piece)
                await reader.readuntil(b"here")
            writer.write(last)
            return not await reader.read()
    finally:
        writer.close()
    return True


@pytest.mark.parametrize(
    "pieces",
    [(b"",), (HALF,), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HALF)],
    ids=["nothing", "half a head", "half a head after an answer"],
)
async def test_who_sends_no_whole_head_is_cut_off(pieces: tuple[bytes, ...]) -> None:
    async with hosted(App()) as base:
        assert await is_cut_off(base, *pieces)


async def test_an_answer_that_takes_long_is_not_cut_off() -> None:
    app = App()
    async with (
        hosted(app) as base,
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("GET", base.join("/slow")) as answer,
    ):
        parts = answer.aiter_text()
        begun = await anext(parts)
        assert await is_cut_off(base, HALF)  # by then the deadline was over for the other as well
        app.go_on.set()
        ended = await anext(parts)

    assert (begun, ended) == ("begun", "ended")


async def test_a_connection_that_is_used_again_and_again_is_not_cut_off() -> None:
    async with hosted(App(), head_deadline_s=1.0) as base:
        reader, writer = await asyncio.open_connection(base.host, base.port)
        cut_off = asyncio.create_task(is_cut_off(base, HALF))
        with anyio.fail_after(WITHIN_S):
            while not cut_off.done():
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await reader.readuntil(b"here")
        writer.close()

        assert await cut_off


async def test_idle_connections_are_left_to_uvicorn() -> None:
    assert uvicorn.Config(App().asgi).timeout_keep_alive < HEAD_DEADLINE_S


async def test_the_http_server_cuts_off_who_sends_half_a_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: asyncio.Queue[logging.LogRecord] = asyncio.Queue()
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", said.put_nowait)
    log = logging.getLogger("kie_runway.http_app")
    monkeypatch.setattr(log, "handlers", [handler])
    log.setLevel(logging.INFO)  # a mere attribute would leave what the logger has cached
    serving = asyncio.create_task(
        serve_http(StrictServer("http"), "127.0.0.1", 0, head_deadline_s=SOON_S)
    )
    with anyio.fail_after(WITHIN_S):
        base = httpx.URL(vars(await said.get())["url"])
        is_cut = await is_cut_off(base, HALF)
        signal.raise_signal(signal.SIGTERM)
        await serving
    log.setLevel(logging.NOTSET)

    assert is_cut
