"""A web host on loopback that answers what a test tells it to, byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def ok(body: bytes, *headers: str) -> bytes:
    """A complete answer 200."""
    return answer("200 OK", *headers, body=body)


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """A complete answer; `headers` are whole lines."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def moved(location: str) -> bytes:
    """A redirect."""
    return answer("302 Found", f"Location: {location}")


@dataclass
class FileHost:
    """What it answers by path, and what it was asked: the raw requests."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    requests: list[str] = field(default_factory=list[str])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    def header(self, name: str) -> str | None:
        """A header of the last request."""
        for line in self.requests[-1].split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return value
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(request)
            path = request.split(" ")[1].partition("?")[0]
            reply = self.answers.get(path, answer("404 Not Found"))
            if callable(reply):
                await reply(writer)
            else:
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has heard enough
        finally:
            writer.close()


@asynccontextmanager
async def open_file_host(ssl_context: ssl.SSLContext | None = None) -> AsyncGenerator[FileHost]:
    """A host that listens until the context ends."""
    host = FileHost()
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(host.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=ssl_context)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
