"""A KIE that misbehaves, a server whose pauses take no time, and what may be believed of them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import anyio.lowlevel
import pytest
from tests.sockets import envelope, http, listening, read_request
from tests.support import Agent

from kie_runway import exchange, opening
from kie_runway.client import Deadlines, KieClient
from kie_runway.clock import Clock
from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.faults import Endpoint

OTHER_KEY = "somebody-elses-account"
VIDEO_URL = "https://media.example.com/in.mp4"
START: Mapping[Endpoint, tuple[str, dict[str, Any]]] = {
    "runway/generate": ("generate_video", {"prompt": "a paper boat", "request_id": "one"}),
    "aleph/generate": (
        "aleph_generate",
        {"prompt": "as a watercolour", "video_url": VIDEO_URL, "request_id": "one"},
    ),
}

Reply = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Hurry:
    """
    Makes servers hurry: pauses between tries are noted and skipped.

    `deadline_s` is for the servers opened from then on; `moved` moves the clock of all.
    """

    deadline_s: float = 60.0
    moved: timedelta = timedelta()
    pauses: list[float] = field(default_factory=list[float])

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every server opened from now on uses this clock and these deadlines."""
        clock = _Clock(self)

        async def skip(seconds: float) -> None:
            self.pauses.append(seconds)

        def client(*args: Any, **kwargs: Any) -> KieClient:
            longest = self.deadline_s
            deadlines = Deadlines(create_s=longest, read_s=longest, upload_s=longest)
            return KieClient(*args, **kwargs, deadlines=deadlines, sleep=skip)

        monkeypatch.setattr(opening, "Clock", lambda: clock)
        monkeypatch.setattr(opening, "KieClient", client)


class _Clock(Clock):
    def __init__(self, hurry: Hurry) -> None:
        self._hurry = hurry

    def now(self) -> datetime:
        return super().now() + self._hurry.moved

    def steady_s(self) -> float:
        return super().steady_s() + self._hurry.moved.total_seconds()

    async def sleep(self, seconds: float) -> None:
        self._hurry.pauses.append(seconds)
        await asyncio.sleep(0)

    async def tick(self, every_s: float) -> None:
        await asyncio.Event().wait()  # skipping the pauses of a loop without end would spin


@contextmanager
def counting_from(heard: Callable[[], bool]) -> Generator[None]:
    """The deadline of a request begins to count when that is so: on its way it has all time."""

    @asynccontextmanager
    async def patience(seconds: float) -> AsyncGenerator[None]:
        async def count_down() -> None:
            while not heard():
                await anyio.lowlevel.checkpoint()
            deadline.reschedule(asyncio.get_running_loop().time() + seconds)

        async with asyncio.timeout(None) as deadline:
            counting = asyncio.create_task(count_down())
            try:
                yield
            finally:
                counting.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "patience", patience)
        yield


def paid(sandbox: Sandbox) -> int:
    """How many tasks KIE really made."""
    return len(sandbox.log.select("create"))


def sent(sandbox: Sandbox, endpoint: Endpoint = "runway/generate") -> int:
    """How many paid requests reached KIE, whatever became of them."""
    return sandbox.requests[endpoint]


def assert_honest(task: Mapping[str, Any], sandbox: Sandbox) -> None:
    """What an agent is told of money is what the sandbox booked, or an admitted doubt."""
    made = paid(sandbox)
    assert made <= 1
    match task["charged"]:
        case "no":
            assert made == 0
        case "yes":
            assert made == 1
        case doubt:
            assert doubt == "unknown"
    if "error" in task:
        assert task["error"]["charged"] == task["charged"]


async def assert_never_sent_again(agent: Agent, tool: str, arguments: Mapping[str, Any]) -> None:
    """Repeating the call, as it is or without its request_id, finds the unclear task."""
    unnamed = {name: value for name, value in arguments.items() if name != "request_id"}
    for repeat in (arguments, unnamed):
        task = await agent.refuse(tool, repeat)
        assert (task["state"], task["charged"]) == ("unknown", "unknown")
        assert task["request_id"] == arguments["request_id"]
        assert "Do not start it again" in task["next"]
        assert "try again" not in json.dumps(task).lower()


@dataclass
class RawKie:
    """A listening socket in KIE's place; what it got, it keeps, but for questions of credits."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list[bytes])


@asynccontextmanager
async def raw_kie(reply: Reply, *, tells_credits: bool = True) -> AsyncGenerator[RawKie]:
    """Read one whole request per connection, then let `reply` do its worst."""
    kie = RawKie()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if (
            tells_credits and b"GET /api/v1/chat/credit" in request
        ):  # asked around each paid request
            writer.write(http(envelope(1000)))
            return
        kie.requests.append(request)
        await reply(request, writer)

    async with listening(handle) as port:
        kie.url = f"http://127.0.0.1:{port}"
        yield kie


def posts_and_looks(post: bytes, look: bytes) -> Reply:
    """One answer for paid requests, another for look-ups."""

    async def reply(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(post if request.startswith(b"POST") else look)
        await writer.drain()

    return reply
