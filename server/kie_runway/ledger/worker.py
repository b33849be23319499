"""A thread that does, one after the other, what coroutines ask it to."""

import atexit
from asyncio import Future, get_running_loop
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from kie_runway.errors import LedgerClosedError

T = TypeVar("T")


class Worker:
    """
    One thread, started when it is first needed.

    An executor does the same, but takes longer to hand over a result, and each step of a paid
    request waits for one.
    """

    def __init__(self, name: str) -> None:
        # A daemon, or a process that forgot to end it would hang. When it exits, it is ended all
        # the same, so that nothing that was asked for is lost.
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._has_ended = False

    def run(self, work: Callable[[], T]) -> Future[T]:
        """
        What some work returns or raises; it is done even when nobody waits for it any more.

        Raises:
            LedgerClosedError: The worker has ended.
        """
        if self._has_ended:  # a callback may come while the server ends
            raise LedgerClosedError("The ledger is closed.")
        if not self._thread.is_alive():
            self._thread.start()
            atexit.register(self.end)
        loop = get_running_loop()
        result: Future[T] = loop.create_future()

        def job() -> None:
            try:
                settle = partial(result.set_result, work())
            except StopIteration as exc:  # which no future takes
                settle = partial(result.set_exception, RuntimeError(repr(exc)))
            except BaseException as exc:  # whoever asked shall know
                settle = partial(result.set_exception, exc)
            with suppress(RuntimeError):  # the loop has ended, and who waited with it
                loop.call_soon_threadsafe(_settle_unless_cancelled, result, settle)

        self._jobs.put(job)
        return result

    def end(self) -> None:
        """Do what was asked for, and no more."""
        self._has_ended = True
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
            atexit.unregister(self.end)

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # or it would keep alive what it holds until the next one


def _settle_unless_cancelled(result: "Future[T]", settle: Callable[[], None]) -> None:
    if not result.cancelled():
        settle()
