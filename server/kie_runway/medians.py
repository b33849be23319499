"""How long tasks usually take, learned from the ledger."""

from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskKind, TaskState

SAMPLES_MIN = 20  # fewer say too little

_Sort = tuple[TaskKind, Any, Any]  # kind, duration, quality
_SORTS: Final[tuple[_Sort, ...]] = (
    (TaskKind.GENERATE, 5, "720p"),
    (TaskKind.GENERATE, 10, "720p"),
    (TaskKind.GENERATE, 5, "1080p"),
    (TaskKind.EXTEND, None, "720p"),
    (TaskKind.EXTEND, None, "1080p"),
    (TaskKind.ALEPH, None, None),
)


class Medians:
    """The median duration of each sort of task, for as many as the ledger has enough of."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[_Sort, float] = {}
        self._stale = set(_SORTS)

    def of(self, entry: Entry) -> float | None:
        """Seconds that tasks like this one take, or None while nobody knows."""
        return self._known.get(_sort(entry.kind, entry.arguments))

    def note(self, entry: Entry) -> None:
        """A row changed: if it ended well, there is something to learn."""
        if entry.state is TaskState.SUCCESS:
            self._stale.add(_sort(entry.kind, entry.arguments))

    async def refresh(self) -> None:
        """
        Learn what is new.

        Raises:
            LedgerError: The ledger cannot be read; what was known stays.
        """
        while self._stale:
            kind, duration, quality = sort = next(iter(self._stale))
            durations = await self._ledger.durations(kind, duration=duration, quality=quality)
            if len(durations) >= SAMPLES_MIN:
                self._known[sort] = median(durations)
            self._stale.discard(sort)


def _sort(kind: TaskKind, arguments: Mapping[str, Any]) -> _Sort:
    return kind, arguments.get("duration"), arguments.get("quality")
