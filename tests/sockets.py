"""Servers on loopback that answer byte by byte, and the bytes they answer."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext

from kie_runway.hosting import stop_accepting

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Send = Callable[[object, asyncio.StreamWriter], Awaitable[None]]
"""Answers without a look at what came in."""


@asynccontextmanager
async def listening(handle: Handle, *, ssl: SSLContext | None = None) -> AsyncGenerator[int]:
    """A port whose connections are handled until the context ends; what is open then is cut."""
    running: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The other side has heard enough, or the test is over.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handle(reader, writer)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.create_task(serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_accepting([server])
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One whole request, its body included."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def sends(*pieces: bytes, forever: bytes = b"") -> Send:
    """Write these, and then one thing again and again until the other side has enough."""

    async def send(_: object, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        while forever:
            writer.write(forever)
            await writer.drain()
            await asyncio.sleep(0)

    return send


def http(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    """The bytes of an HTTP answer that ends its connection; `headers` are whole lines."""
    size = len(body) if length is None else length
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {size}", "Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def envelope(data: object = None, *, code: object = 200, msg: object = "success") -> bytes:
    """KIE's wrapping."""
    return json.dumps({"code": code, "msg": msg, "data": data}).encode()
