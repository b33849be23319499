"""The ground truth: what the sandbox really did, whatever its answers said."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter

from kie_runway_sandbox.clock import Clock
from kie_runway_sandbox.store import Store

EventName = Literal[
    "create",  # a task was made and paid; details: kind, body, credits, answer
    "refused",  # a create was refused, nothing paid; details: kind, code, message
    "finished",  # a task became success or fail; details: state, code, message
    "refund",  # details: credits
    "callback",  # one attempt; details: url, attempt, body, result, acknowledged
    "callback_not_delivered",  # given up, or never tried; details: url, reason
    "upload",  # details: path, size_bytes
    "download_link",
    "credits",  # a balance was set by hand; details: credits
    "fault",  # an injected fault was played; details: endpoint, fault
    "render_failed",  # details: error
]
Answer = Literal["delivered", "lost", "spoiled"]
"""
How a create was answered: as KIE would, not at all, or unusably.

`delivered` means the sandbox handed a whole, honest answer to the operating system.
"""


@dataclass
class LogEntry:
    """One thing that happened."""

    number: int
    at: datetime
    event: EventName
    account: int | None = None
    """The account's number; keys are never logged."""
    task_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])


ENTRY = TypeAdapter(LogEntry)


class Log:
    """An append-only list of entries that tests can wait on."""

    def __init__(self, clock: Clock, store: Store) -> None:
        self._clock = clock
        self._store = store
        self._waiters: list[asyncio.Future[None]] = []
        self.entries = store.load("log", ENTRY)

    def add(
        self,
        event: EventName,
        *,
        account: int | None = None,
        task_id: str | None = None,
        **details: Any,
    ) -> LogEntry:
        """Write down what happened, now."""
        entry = LogEntry(len(self.entries) + 1, self._clock.now(), event, account, task_id, details)
        self.entries.append(entry)
        self._save(entry)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        return entry

    def set_answer(self, entry: LogEntry, answer: Answer) -> None:
        """Note how a create was answered, known only after the entry was made."""
        entry.details["answer"] = answer
        self._save(entry)

    def select(self, event: EventName | None = None, task_id: str | None = None) -> list[LogEntry]:
        """The entries of one event, one task, or both."""
        return [entry for entry in self.entries if _fits(entry, event, task_id)]

    async def wait_for(
        self, event: EventName, task_id: str | None = None, count: int = 1
    ) -> LogEntry:
        """The `count`-th entry of this event and task, past or future; bound it with a timeout."""
        while len(found := self.select(event, task_id)) < count:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        return found[count - 1]

    def clear(self) -> None:
        """Forget all entries; the store is cleared by its owner."""
        self.entries.clear()

    def _save(self, entry: LogEntry) -> None:
        self._store.put("log", f"{entry.number:012}", ENTRY, entry)


def _fits(entry: LogEntry, event: EventName | None, task_id: str | None) -> bool:
    return event in (None, entry.event) and task_id in (None, entry.task_id)
