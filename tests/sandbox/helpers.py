"""A sandbox on a real socket, a client for it, and a receiver for its callbacks."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.sockets import listening, read_request

from kie_runway_sandbox import Sandbox, SandboxOptions, serve
from kie_runway_sandbox.clips import ClipSpec, Renderer

FROZEN_AT = datetime(2026, 6, 27, 16, 26, 7, tzinfo=UTC)
KEY = "sandbox-key"
WITHIN_S = 60.0  # a busy machine; nothing waits this long unless it is broken
TEXT: dict[str, Any] = {
    "prompt": "A paper boat drifting down a rainy street",
    "duration": 5,
    "quality": "720p",
    "aspectRatio": "16:9",
}
ALEPH: dict[str, Any] = {
    "prompt": "Turn the clip into a watercolour",
    "videoUrl": "https://media.example.com/jump.mp4",
}
PNG = b"\x89PNG\r\n\x1a\n and so on"

GENERATE = "/api/v1/runway/generate"
EXTEND = "/api/v1/runway/extend"
RECORD = "/api/v1/runway/record-detail"
ALEPH_GENERATE = "/api/v1/aleph/generate"
ALEPH_RECORD = "/api/v1/aleph/record-info"
CREDIT = "/api/v1/chat/credit"
DOWNLOAD_URL = "/api/v1/common/download-url"
STREAM_UPLOAD = "/api/file-stream-upload"
BASE64_UPLOAD = "/api/file-base64-upload"
URL_UPLOAD = "/api/file-url-upload"


def draw(spec: ClipSpec, video: Path, thumbnail: Path) -> None:
    """A renderer that writes down what it was asked for."""
    source = spec.source.read_text("utf-8", "replace") if spec.source else "none"
    video.write_text(f"{spec.kind} {spec.prompt!r} {spec.aspect_ratio} from ({source})", "utf-8")
    thumbnail.write_bytes(PNG)


@dataclass(frozen=True)
class Kie:
    """A client of one sandbox, with one key."""

    http: httpx.AsyncClient

    async def post(self, path: str, body: object) -> Any:
        """A POST's JSON, whatever the HTTP status."""
        return (await self.http.post(path, json=body)).json()

    async def create(self, path: str = GENERATE, body: dict[str, Any] = TEXT, **more: Any) -> str:
        """Start a task that must be accepted; its id."""
        answer = await self.post(path, {**body, **more})
        assert answer["code"] == 200, answer
        return str(answer["data"]["taskId"])

    async def extend(self, task_id: str, **more: Any) -> str:
        """Start an extension that must be accepted; its id."""
        body = {"taskId": task_id, "prompt": "On it goes", "quality": "720p"}
        return await self.create(EXTEND, body, **more)

    async def record(self, task_id: str, path: str = RECORD) -> Any:
        """One look-up's `data`."""
        return (await self.http.get(path, params={"taskId": task_id})).json()["data"]

    async def credits(self) -> float:
        """The balance."""
        return float((await self.http.get(CREDIT)).json()["data"])


@asynccontextmanager
async def started(
    *, renderer: Renderer = draw, key: str = KEY, **options: Any
) -> AsyncGenerator[tuple[Sandbox, Kie]]:
    """A served sandbox whose clock stands still, with a client."""
    chosen: dict[str, Any] = {"frozen_at": FROZEN_AT, **options}
    with Sandbox(SandboxOptions(**chosen), renderer=renderer) as sandbox:
        async with serve(sandbox) as running, client(running.url, key) as kie:
            yield sandbox, kie


@asynccontextmanager
async def client(url: str, key: str = KEY) -> AsyncGenerator[Kie]:
    """A client of a sandbox, with one key."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=WITHIN_S
    ) as http:
        yield Kie(http)


@dataclass
class Receiver:
    """Takes callbacks and answers with the planned statuses, then with 200."""

    statuses: list[int] = field(default_factory=list[int])
    received: list[tuple[httpx.Headers, Any]] = field(
        default_factory=list[tuple[httpx.Headers, Any]]
    )
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; status 0 is silence."""
        head, _, body = (await read_request(reader)).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")[1:]
        headers = httpx.Headers(dict(line.split(": ", 1) for line in lines))
        self.received.append((headers, json.loads(body)))
        status = self.statuses.pop(0) if self.statuses else 200
        if status:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        else:
            await reader.read()


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncGenerator[Receiver]:
    """A callback receiver on loopback."""
    receiver = Receiver(list(statuses))
    async with listening(receiver.answer) as port:
        receiver.url = f"http://127.0.0.1:{port}/hook"
        yield receiver
