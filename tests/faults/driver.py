"""
`kie-runway-mcp serve` that ends itself with SIGKILL at a named place.

    python driver.py '{"at": "accepted", "passage": 1, "later_s": 0}' [arguments of serve]

Nothing of this is in the product: its methods are wrapped from here, and then it runs as always.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx

from kie_runway import cli, leases, serving
from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.fetch import Fetcher
from kie_runway.folder import Folder
from kie_runway.ledger import database
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.ledger.sqlite_inbox import SqliteInbox
from kie_runway.pace import Pace

QUICK = Pace(scale=0.002)


class Fuse:
    """Burns down by one with each passage; at the last one the process is gone."""

    def __init__(self, passages: int) -> None:
        self._left = passages
        self._lock = threading.Lock()

    def burn(self, *_: object) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


Judge = Callable[..., bool]
"""Whether a call is one of those meant: of its arguments before it, of its result after it."""


def always(*_: object, **__: object) -> bool:
    return True


def before(owner: type, name: str, meant: Judge = always) -> Callable[[Fuse], None]:
    """Die instead of calling a method."""

    def light(fuse: Fuse) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def dying(*args: Any, **kwargs: Any) -> Any:
            if meant(*args, **kwargs):
                fuse.burn()
            return original(*args, **kwargs)

        setattr(owner, name, dying)

    return light


def after(owner: type, name: str, meant: Judge = always) -> Callable[[Fuse], None]:
    """Die when a method has done its work, before its caller learns of it."""

    def light(fuse: Fuse) -> None:
        original: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def dying(*args: Any, **kwargs: Any) -> Any:
            result = await original(*args, **kwargs)
            if meant(result):
                fuse.burn()
            return result

        setattr(owner, name, dying)

    return light


def traced(event: str) -> Callable[[Fuse], None]:
    """Die at a moment of a POST, as the HTTP library names it."""

    def light(fuse: Fuse) -> None:
        original = httpx.AsyncClient.stream

        async def trace(name: str, _: object) -> None:
            if name == f"http11.{event}":
                fuse.burn()

        def stream(self: httpx.AsyncClient, method: str, url: str, **kwargs: Any) -> Any:
            if method == "POST":
                kwargs["extensions"] = {"trace": trace}
            return original(self, method, url, **kwargs)

        setattr(httpx.AsyncClient, "stream", stream)  # noqa: B010

    return light


def downloading(fuse: Fuse) -> None:
    """Die when the first piece of a download has been written."""
    original = Fetcher.fetch_to

    async def fetch_to(self: Fetcher, url: str, write: Any, **kwargs: Any) -> Any:
        async def dying(chunk: bytes) -> None:
            await write(chunk)
            fuse.burn()

        return await original(self, url, dying, **kwargs)

    setattr(Fetcher, "fetch_to", fetch_to)  # noqa: B010


def statement(fuse: Fuse) -> None:
    """Die before a statement of the ledger's, the steps of a migration among them."""

    class Connection(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            fuse.burn()
            return super().execute(*args)

    substitute = SimpleNamespace(**vars(sqlite3))
    substitute.connect = partial(sqlite3.connect, factory=Connection)
    setattr(database, "sqlite3", substitute)  # noqa: B010


def step(fuse: Fuse) -> None:
    """Die at a step of the event loop: a moment that nobody chose."""
    original = asyncio.Handle._run  # pyright: ignore[reportPrivateUsage]

    def run(self: asyncio.Handle) -> None:
        fuse.burn()
        original(self)

    setattr(asyncio.Handle, "_run", run)  # noqa: B010


def moves_to(*states: str) -> Judge:
    def meant(_: object, transition: Any) -> bool:
        return transition.to in states

    return meant


def moved_to(*states: str) -> Judge:
    def meant(entry: Any) -> bool:
        return entry is not None and entry.state in states

    return meant


ENDS = ("success", "fail", "expired")


def is_granted(turn: Any) -> bool:
    return turn.entry is not None


def is_end(update: Any) -> bool:
    return update is not None and update.state in ENDS


POINTS: dict[str, Callable[[Fuse], None]] = {
    "before the queued commit": before(SqliteLedger, "open_intent"),
    "after the queued commit": after(SqliteLedger, "open_intent"),
    "after the submitting commit": after(SqliteLedger, "take_turn", is_granted),
    "connected": traced("send_request_headers.started"),
    "headers sent": traced("send_request_body.started"),
    "sent": traced("receive_response_headers.started"),
    "answer arriving": traced("receive_response_body.started"),
    "answered": after(KieClient, "create"),
    "before the accepted commit": before(SqliteLedger, "transition", moves_to("wait")),
    "after the accepted commit": after(SqliteLedger, "transition", moved_to("wait")),
    "before the unknown commit": before(SqliteLedger, "transition", moves_to("unknown")),
    "looked up": after(KieClient, "look_up", is_end),
    "before the terminal commit": before(SqliteLedger, "transition", moves_to(*ENDS)),
    "after the terminal commit": after(SqliteLedger, "transition", moved_to(*ENDS)),
    "before the callback is stored": before(SqliteInbox, "receive"),
    "after the callback is stored": after(SqliteInbox, "receive", bool),
    "callback taken up": after(SqliteInbox, "take", bool),
    "before the callback is settled": before(SqliteInbox, "settle"),
    "after the callback is settled": after(SqliteInbox, "settle"),
    "downloading": downloading,
    "before the file has its name": before(Folder, "rename"),
    "before the file is noted": before(SqliteLedger, "set_file"),
    "after the file is noted": after(SqliteLedger, "set_file"),
    "statement": statement,
    "step": step,
}


def main() -> None:
    """Light the fuse, move the clock, serve."""
    order = json.loads(sys.argv.pop(1))
    moved = timedelta(seconds=order.get("later_s", 0))
    now = Clock.now

    def later(self: Clock) -> datetime:
        return now(self) + moved

    setattr(Clock, "now", later)  # noqa: B010
    setattr(serving, "Pace", lambda: QUICK)  # noqa: B010
    if "lease_s" in order:
        setattr(leases, "LEASE", timedelta(seconds=order["lease_s"]))  # noqa: B010
        setattr(leases, "HEARTBEAT_S", order["lease_s"] / 6)  # noqa: B010
    if "at" in order:
        POINTS[order["at"]](Fuse(order["passage"]))
    cli.main()


if __name__ == "__main__":
    main()
