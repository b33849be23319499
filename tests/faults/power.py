"""What makes an app die like a process: from one await to the next, without its clean-up."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

WAITS = ("sleep", "tick")  # of a clock: all that an idle app does

T = TypeVar("T")


@dataclass
class Hold:
    """A place where work waits."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Power:
    """
    What an app runs on.

    Once it is off, nothing of the app reaches the file, KIE or a caller any more, as after a
    kill; work that the ledger's thread has begun still ends, as a system call would.
    """

    def __init__(self) -> None:
        self._off = asyncio.Event()
        self._fuse: str | None = None
        self._holds: dict[str, Hold] = {}
        self.busy = 0
        """How much is under way in the ledger or at KIE."""

    @property
    def is_on(self) -> bool:
        return not self._off.is_set()

    def cut(self) -> None:
        """Off, at once."""
        self._off.set()

    def cut_at(self, point: str) -> None:
        """Off `before` or `after` a call of this name, for example at `after take_turn`."""
        self._fuse = point

    def hold_after(self, name: str) -> Hold:
        """Hold up whoever has made a call of this name, until it is released."""
        return self._holds.setdefault(name, Hold())

    async def drive(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do something that leaves the app's memory; CancelledError when the power is off."""
        self._pass(f"before {name}")
        working, off = asyncio.ensure_future(work()), asyncio.ensure_future(self._off.wait())
        self.busy += name not in WAITS
        try:
            await asyncio.wait({working, off}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.busy -= name not in WAITS
            off.cancel()
            if not working.done():
                working.cancel()
            elif not working.cancelled():
                working.exception()  # seen, whoever is left to hear of it
        hold = self._holds.get(name)
        if hold is not None:
            hold.reached.set()
            await hold.released.wait()
        self._pass(f"after {name}")
        return await working

    def _pass(self, point: str) -> None:
        if point == self._fuse:
            self.cut()
        if not self.is_on:
            raise asyncio.CancelledError


class Wired:
    """A part of the product whose coroutines run on an app's power."""

    def __init__(self, part: object, power: Power) -> None:
        self._part = part
        self._power = power

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        if name == "inbox":
            return Wired(value, self._power)
        if name == "aclose" or not inspect.iscoroutinefunction(value):
            return value

        async def wired(*args: Any, **kwargs: Any) -> Any:
            return await self._power.drive(name, lambda: value(*args, **kwargs))

        return wired
