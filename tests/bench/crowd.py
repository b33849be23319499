"""Callers that start tasks and wait for their ends, on a clock that runs faster than KIE's."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.bench.sandbox import BenchSandbox
from tests.hosting import base_url, free_port, hosted

from kie_runway.app import App
from kie_runway.hooks_app import HOOKS_ROUTE, HooksEndpoint
from kie_runway.ledger.records import Entry
from kie_runway.models import GenerateRequest, TaskState
from kie_runway.opening import open_app
from kie_runway.pace import Pace
from kie_runway.webhooks import Webhooks

SPEED = 20.0  # KIE's seconds in one of ours: all of the server's pauses shrink as tasks do
AT_ONCE = 40  # tasks under way; KIE starts no more than 20 in 10 s
WAIT_S = 45.0  # the longest wait of one `get_task`
TURN_S = 5.0  # what an agent takes to call again


@dataclass(frozen=True)
class Crowd:
    """
    What the callers do.

    Attributes:
        apps: Servers on one ledger; every task is waited for in each of them.
        watched: Whether anybody waits at all.
        called_back: Whether KIE is asked to call back.
        lost_every: Of so many callbacks one is never let in; None loses none.
    """

    apps: int = 1
    watched: bool = True
    called_back: bool = False
    lost_every: int | None = None


@dataclass(frozen=True)
class Followed:
    """What one finished task cost and how late its end was seen, in KIE's seconds."""

    look_ups: int
    took_s: float
    late_s: float


async def follow(sandbox: BenchSandbox, home: Path, crowd: Crowd, count: int) -> list[Followed]:
    """
    Start `count` tasks, `AT_ONCE` at a time, and follow each to its end.

    Args:
        sandbox: Time must move its tasks.
        home: Where the ledger is, which may have learned from earlier tasks.
        crowd: Who waits, and how.
        count: Of tasks.
    """
    async with AsyncExitStack() as stack:
        listener = free_port()
        stack.callback(listener.close)
        settings = sandbox.settings(home, base_url(listener) if crowd.called_back else None)
        apps = [
            await stack.enter_async_context(open_app(settings, Pace(scale=1 / SPEED)))
            for _ in range(crowd.apps)
        ]
        if crowd.called_back:
            hooks = _hooks(apps[0].webhooks, crowd.lost_every)
            await stack.enter_async_context(hosted(hooks, listener))
        callers = _Callers(apps, watched=crowd.watched)
        numbers = iter(range(count))
        async with asyncio.TaskGroup() as group:
            for caller in range(AT_ONCE):
                group.create_task(callers.call(f"caller {caller}", numbers))
        seen = {entry.task_id: await _seen_at(apps[0], entry) for entry in callers.entries}
    followed: list[Followed] = []
    for task in sandbox.tasks():
        assert task.finished_at is not None
        took, late = task.finished_at - task.created_at, seen[task.task_id] - task.finished_at
        followed.append(
            Followed(task.lookups, took.total_seconds() * SPEED, late.total_seconds() * SPEED)
        )
    assert len(followed) == count
    return followed


class _Callers:
    """Agents, as far as the tracker can tell."""

    def __init__(self, apps: list[App], *, watched: bool) -> None:
        self.entries: list[Entry] = []
        self._apps = apps
        self._watched = watched
        self._ended: dict[int, asyncio.Event] = {}
        for app in apps:
            app.ledger.subscribe(self._note)

    async def call(self, account: str, numbers: Iterator[int]) -> None:
        """
        Make one video after the other.

        Each caller is an account of its own to the ledger, whose rate limit is not measured.
        """
        for number in numbers:
            request = GenerateRequest(prompt=f"boat {number}", aspect_ratio="16:9")
            # An id of its own: the same ledger may have seen the same request lately.
            opened = await self._apps[0].submitter.start(account, request, uuid.uuid4().hex)
            assert opened.entry.state.is_at_kie
            self.entries.append(opened.entry)
            if self._watched:
                await asyncio.gather(*(self._wait(app, opened.entry) for app in self._apps))
            else:
                await self._ended.setdefault(opened.entry.id, asyncio.Event()).wait()

    async def _wait(self, app: App, entry: Entry) -> None:
        """Call `get_task` until the task has ended."""
        while True:
            found = await app.finder.find(entry.account, entry.request_id)
            sight = await app.tracker.wait(found, WAIT_S / SPEED)
            assert sight.trouble is None
            if sight.entry.state.is_terminal:
                return
            await asyncio.sleep(TURN_S / SPEED)

    def _note(self, entry: Entry) -> None:
        if entry.state.is_terminal:
            self._ended.setdefault(entry.id, asyncio.Event()).set()


async def _seen_at(app: App, entry: Entry) -> datetime:
    """When the row became a success."""
    events = await app.ledger.history(entry.id)
    return next(event.at for event in events if event.after is TaskState.SUCCESS)


def _hooks(webhooks: Webhooks, lost_every: int | None) -> Starlette:
    """The server's own endpoint, behind a line that loses callbacks for good."""

    async def opened() -> Webhooks:
        return webhooks

    endpoint = HooksEndpoint(opened)
    receive = _losing(endpoint.receive, lost_every) if lost_every else endpoint.receive
    return Starlette(routes=[Route(HOOKS_ROUTE, receive, methods=["POST"])])


def _losing(
    receive: Callable[[Request], Awaitable[Response]], every: int
) -> Callable[[Request], Awaitable[Response]]:
    arrivals = itertools.count(1)
    numbers: dict[str, int] = {}

    async def lose_some(request: Request) -> Response:
        token = request.path_params["token"]
        if token not in numbers:
            numbers[token] = next(arrivals)
        return Response(status_code=503) if numbers[token] % every == 0 else await receive(request)

    return lose_some
