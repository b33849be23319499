"""A web host on loopback that answers what a test tells it to, byte by byte."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

from tests.sockets import http, listening, read_request

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def moved(location: str) -> bytes:
    """A redirect."""
    return http(b"", f"Location: {location}", status="302 Found")


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
        """Answer one request."""
        request = (await read_request(reader)).decode("latin-1")
        self.requests.append(request)
        path = request.split(" ")[1].partition("?")[0]
        reply = self.answers.get(path, http(status="404 Not Found"))
        if callable(reply):
            await reply(writer)
        else:
            writer.write(reply)
            await writer.drain()


@asynccontextmanager
async def open_file_host(ssl: SSLContext | None = None) -> AsyncGenerator[FileHost]:
    """A host that listens until the context ends."""
    host = FileHost()
    async with listening(host.serve, ssl=ssl) as host.port:
        yield host
