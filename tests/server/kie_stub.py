"""Stand-ins for KIE at the lowest level: sockets that misbehave, and answers made by hand."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr
from tests.sockets import Handle, envelope, listening, read_request, sends

from kie_runway.client import Deadlines, KieClient
from kie_runway.models import AlephRequest, ExtendRequest, GenerateRequest, PaidRequest

KEY = "5ecre7kie0key1234567890abcdef9876"
GENERATE = GenerateRequest(prompt="a red kite", aspect_ratio="16:9")
EXTEND = ExtendRequest(task_id="parent-1", prompt="it lands")
ALEPH = AlephRequest(prompt="make it snow", video_url="https://example.com/in.mp4")
PAID: tuple[PaidRequest, ...] = (GENERATE, EXTEND, ALEPH)
USER_AGENT = "kie-runway-mcp/test"

Handler = Callable[[httpx.Request], httpx.Response]
AsyncHandler = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


@dataclass
class Stub:
    """A listening socket; what it got, it keeps."""

    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list[bytes])


@dataclass
class Waits:
    """Pauses that a client asked for; none is really made."""

    seconds: list[float] = field(default_factory=list[float])

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


@asynccontextmanager
async def stub(reply: Handle, *, read: bool = True) -> AsyncGenerator[Stub]:
    """Serve every connection with `reply`, by default after reading one whole request."""
    here = Stub()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.connections += 1
        if read:
            here.requests.append(await read_request(reader))
        await reply(reader, writer)

    async with listening(handle) as port:
        here.url = f"http://127.0.0.1:{port}"
        yield here


def resets_after(*pieces: bytes) -> Handle:
    """Write these pieces, then reset the connection."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sends(*pieces)(reader, writer)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return reply


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Wait until the other side gives up."""
    await reader.read()


def answering(*answers: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """A handler for `MockTransport` that gives these in turn, the last for ever; and its log."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = answers[min(len(seen), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return handle, seen


def answer(
    code: object = 200,
    data: object = None,
    *,
    status: int = 200,
    msg: object = "provider words",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    return httpx.Response(status, headers=headers, content=envelope(data, code=code, msg=msg))


def client(
    url: str = "https://kie.test",
    *,
    key: str | None = KEY,
    handler: Handler | AsyncHandler | None = None,
    waits: Waits | None = None,
    deadline_s: float = 60.0,
) -> KieClient:
    """A client that never really waits before a retry."""
    return KieClient(
        SecretStr(key) if key is not None else None,
        api_url=url,
        upload_url=url,
        user_agent=USER_AGENT,
        transport=httpx.MockTransport(handler) if handler else None,
        deadlines=Deadlines(create_s=deadline_s, read_s=deadline_s, upload_s=deadline_s),
        sleep=(waits or Waits()).sleep,
        jitter=lambda: 0.5,
    )
