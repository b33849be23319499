"""What clients asked, and what they were shown."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kie_runway_sandbox.log import LogEntry

PAID_TOOLS = frozenset({"generate_video", "extend_video", "aleph_generate"})


@dataclass(frozen=True)
class Call:
    """
    One call of a tool.

    Attributes:
        tool: Its name.
        arguments: As the client gave them.
        began: How long KIE's log was then, at most.
        answer: The structured content; None: the client was never told.
    """

    tool: str
    arguments: Mapping[str, Any]
    began: int
    answer: Mapping[str, Any] | None = None

    @property
    def is_paid(self) -> bool:
        """Whether it may spend."""
        return self.tool in PAID_TOOLS

    @property
    def error_code(self) -> str | None:
        """Of an answer that is an error."""
        error = (self.answer or {}).get("error")
        return error["code"] if error else None

    def tasks(self) -> Iterator[Mapping[str, Any]]:
        """Every task that the answer shows."""
        answer = self.answer or {}
        if "state" in answer:
            yield answer
        yield from answer.get("tasks", ())


@dataclass
class Transcript:
    """
    Written down by the harness while it plays the clients.

    `log` is KIE's, the list itself: its length is the time by which calls are ordered.
    """

    log: Sequence[LogEntry]
    calls: list[Call] = field(default_factory=list[Call])
    kills: list[int] = field(default_factory=list[int])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, tool: str, arguments: Mapping[str, Any]) -> int:
        """Note a question before it is asked; returns the call's number."""
        with self._lock:  # of two agents in two threads each needs its own number
            self.calls.append(Call(tool, dict(arguments), len(self.log)))
            return len(self.calls) - 1

    def end(self, number: int, answer: Mapping[str, Any]) -> None:
        """Note what a client was shown."""
        self.calls[number] = replace(self.calls[number], answer=dict(answer))

    def note_kill(self) -> None:
        """Note that a process was killed just now."""
        self.kills.append(len(self.log))
