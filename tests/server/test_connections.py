"""Connections to KIE end when they should, also if whoever uses them is cancelled meanwhile."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.server.kie_stub import client
from tests.sockets import envelope, listening, read_request

from kie_runway import exchange
from kie_runway.fetch import Fetcher

pytestmark = pytest.mark.anyio

WITHIN_S = 60.0
BALANCE = envelope(5)
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BALANCE), BALANCE)


class Peer:
    """Answers when it is told to, and keeps its connections until the other side ends them."""

    def __init__(self) -> None:
        self.port = 0
        self.may_answer = asyncio.Event()
        self._asked = asyncio.Semaphore(0)
        self._left = asyncio.Semaphore(0)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def asked(self, times: int = 1) -> None:
        """Wait for so many requests, or first bytes of handshakes."""
        await _take(self._asked, times)

    async def left(self, times: int = 1) -> None:
        """Wait until so many connections are gone."""
        await _take(self._left, times)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            self._asked.release()
            await self.may_answer.wait()
            writer.write(KEPT)
            await reader.read()
        finally:
            self._left.release()

    async def say_nothing(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(1)
            self._asked.release()
            await reader.read()
        finally:
            self._left.release()


async def _take(counted: asyncio.Semaphore, times: int) -> None:
    with anyio.fail_after(WITHIN_S):
        for _ in range(times):
            await counted.acquire()


@asynccontextmanager
async def answering() -> AsyncGenerator[Peer]:
    peer = Peer()
    async with listening(peer.answer) as peer.port:
        yield peer


@asynccontextmanager
async def silent() -> AsyncGenerator[Peer]:
    """One that takes connections and never says a word of TLS."""
    peer = Peer()
    async with listening(peer.say_nothing) as peer.port:
        yield peer


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_close_that_is_cancelled_leaves_no_connection_open(steps: int) -> None:
    async with answering() as peer, client(f"http://{peer.address}") as kie:
        asking = [asyncio.create_task(kie.credits()) for _ in range(3)]
        await peer.asked(3)
        peer.may_answer.set()
        await asyncio.gather(*asking)
        closing = asyncio.create_task(kie.aclose())
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

        await peer.left(3)


async def test_connections_that_were_not_used_for_long_are_closed_by_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with answering() as peer, client(f"http://{peer.address}") as kie:
        asking = [asyncio.create_task(kie.credits()) for _ in range(3)]
        await peer.asked(3)
        peer.may_answer.set()
        await asyncio.gather(*asking)
        monkeypatch.setattr(exchange, "KEPT_S", 0.0)
        await kie.credits()

        await peer.left(3)


@pytest.mark.parametrize("steps", range(1, 12))
async def test_a_request_cancelled_about_its_end_leaves_no_connection_open(steps: int) -> None:
    async with answering() as peer, client(f"http://{peer.address}") as kie:
        asking = asyncio.create_task(kie.credits())
        await peer.asked()
        peer.may_answer.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await kie.aclose()

        await peer.left()


async def test_a_request_that_outlives_the_close_is_answered_and_its_connection_ended() -> None:
    async with answering() as peer:
        kie = client(f"http://{peer.address}")
        asking = asyncio.create_task(kie.credits())
        await peer.asked()
        await kie.aclose()
        peer.may_answer.set()

        assert await asking == 5
        await peer.left()


async def test_a_look_up_cancelled_within_the_handshake_leaves_no_connection_open() -> None:
    async with silent() as peer, client(f"https://{peer.address}") as kie:
        asking = asyncio.create_task(kie.credits())
        await peer.asked()
        asking.cancel()
        await asyncio.wait([asking])

        await peer.left()


async def test_a_download_cancelled_within_the_handshake_leaves_no_connection_open() -> None:
    fetcher = Fetcher(trusted_hosts=["127.0.0.1"], user_agent="agent/1.0")
    async with silent() as peer:
        url = f"https://{peer.address}/clip.mp4"
        fetching = asyncio.create_task(fetcher.fetch_bytes(url, max_bytes=9, timeout_s=WITHIN_S))
        await peer.asked()
        fetching.cancel()
        await asyncio.wait([fetching])

        await peer.left()
