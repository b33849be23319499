"""The last place for a task id: a file beside a ledger that cannot be written."""

import logging
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync
from pydantic import TypeAdapter

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.models import TaskKind, TaskState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rescued:
    """A paid task whose id may have missed the ledger."""

    entry_id: int
    account: str
    request_id: str
    kind: TaskKind
    task_id: str
    accepted_at: datetime


_RESCUED: Final = TypeAdapter(Rescued)


class Rescue:
    """
    Keeps task ids in a file, one a line, until a ledger takes them.

    Keeping one that the ledger has after all does no harm.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def keep(self, entry: Entry, task_id: str, accepted_at: datetime) -> None:
        """Write down what KIE made of a row; nothing is raised, for this is the last resort."""
        rescued = Rescued(
            entry.id, entry.account, entry.request_id, entry.kind, task_id, accepted_at
        )
        try:
            await run_sync(self._append, _RESCUED.dump_json(rescued) + b"\n")
        except OSError:
            log.exception("could not keep a task id", extra={"task_id": task_id})

    async def give_back(self, ledger: Ledger) -> None:
        """
        Put what was kept into a ledger that works again.

        Raises:
            LedgerError: It does not work; everything is still kept.
        """
        for path in await run_sync(self._set_aside):
            try:
                kept = await run_sync(_read, path)
            except OSError:  # another process may be giving it back
                log.exception("could not read the kept task ids")
                continue
            for rescued in kept:
                await _enter(ledger, rescued)
            await run_sync(path.unlink, True)

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        fd = os.open(self._path, flags, 0o600)
        try:
            os.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _set_aside(self) -> list[Path]:
        """The files to read, out of the way of whoever appends meanwhile."""
        aside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            pass
        except OSError:
            log.exception("could not read the kept task ids")
        return sorted(self._path.parent.glob(f"{self._path.name}.*"))


def _read(path: Path) -> list[Rescued]:
    rescued: list[Rescued] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rescued.append(_RESCUED.validate_json(line))
        except ValueError:
            log.error("a line of kept task ids is unreadable", extra={"line": line})
    return rescued


async def _enter(ledger: Ledger, rescued: Rescued) -> None:
    known = await ledger.find(rescued.account, rescued.task_id)
    if known is not None and known.task_id == rescued.task_id:
        return
    accepted_at = rescued.accepted_at
    row = await ledger.get(rescued.entry_id)
    if row is not None and (row.account, row.request_id) == (rescued.account, rescued.request_id):
        kept = "kept while the ledger could not be written"
        accepted = Transition.accepted(
            row.id, rescued.task_id, accepted_at=accepted_at, at=accepted_at, detail=kept
        )
        if await ledger.transition(accepted) is not None:
            return
    namesake = await ledger.find(rescued.account, rescued.request_id)
    await ledger.adopt(
        Entry(
            id=0,
            account=rescued.account,
            request_id=rescued.task_id if namesake else rescued.request_id,
            kind=rescued.kind,
            state=TaskState.WAIT,
            arguments={},
            created_at=accepted_at,
            accepted_at=accepted_at,
            task_id=rescued.task_id,
        )
    )
