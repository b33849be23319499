"""The last place for a task id: a directory beside a ledger that cannot be written."""

import hashlib
import logging
import os
import secrets
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync
from pydantic import TypeAdapter

from kie_runway.errors import LedgerError
from kie_runway.folder import Folder
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.models import TaskKind, TaskState

log = logging.getLogger(__name__)

SPARES = 16
SPARE_B = 4096  # a block of most disks; an id with what belongs to it takes some 300 bytes
KEPT, SPARE, PART = ".json", ".spare", ".part"
_WRITE = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


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
    Keeps task ids in `<ledger>.rescue`, each in a file of its own, until the ledger takes them.

    Keeping one that the ledger has after all does no harm, nor does giving one back twice. A
    `.json` file is whole from the moment it has that name, and is deleted only once the ledger
    has what it says; one that cannot be understood stays where it is.

    For a full disk there are `.spare` files, whose space is taken before it is needed. All
    processes of a ledger share them; one is overwritten in place and renamed for each id, and
    `stock` replaces it. So `SPARES` ids can be kept while nothing can grow. Not so on file systems
    that never overwrite, such as Btrfs and ZFS; there, and beyond that number, an id is in memory
    and in the log alone until there is space. Who dies while writing leaves a `.part`, which
    nobody reads.
    """

    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(f"{ledger.name}.rescue")
        self._told: set[tuple[str, str]] = set()

    async def stock(self) -> None:
        """Take the space that a full disk would refuse; nothing is raised."""
        try:
            await run_sync(self._stock)
        except OSError:
            self._tell_once("could not set space aside for task ids")

    async def keep(self, entry: Entry, task_id: str, accepted_at: datetime) -> bool:
        """
        Write down what KIE made of a row; nothing is raised, for this is the last resort.

        Returns:
            Whether it will outlive this process and a power cut. If not, ask again.
        """
        about = (entry.id, entry.account, entry.request_id, entry.kind)
        try:
            await run_sync(self._keep, Rescued(*about, task_id, accepted_at))
        except Exception:
            log.exception("could not keep a task id", extra={"task_id": task_id})
            return False
        return True

    async def give_back(self, ledger: Ledger) -> None:
        """
        Put what was kept into a ledger that works again.

        Raises:
            LedgerError: It does not work; what it did not take is still kept.
        """
        try:
            names = await run_sync(self._kept)
        except OSError:
            self._tell_once("could not read the kept task ids")
            return
        for name in names:
            try:
                await _enter(ledger, await run_sync(self._read, name))
                await run_sync(self._remove, name)
            except LedgerError:
                raise
            except FileNotFoundError:  # another process gave it back
                continue
            except Exception:  # whatever is wrong with one file, the others are given back
                self._tell_once("could not give back a kept task id; its file stays", name)

    def _stock(self) -> None:
        with closing(Folder(self._path)) as folder:
            for _ in range(SPARES - len(_ending(folder, SPARE))):
                name = secrets.token_hex(8)
                part = name + PART
                _finish(folder, folder.create(part), part, b" " * SPARE_B, name + SPARE)

    def _keep(self, rescued: Rescued) -> None:
        record = _RESCUED.dump_json(rescued)
        # The same name each time, so that asking again makes no second file.
        name = hashlib.sha256(f"{rescued.account} {rescued.task_id}".encode()).hexdigest()[:32]
        part = secrets.token_hex(8) + PART
        with closing(Folder(self._path)) as folder:
            fd = _take_spare(folder, part)
            if fd is None:
                fd = folder.create(part)
            _finish(folder, fd, part, record, name + KEPT)

    def _kept(self) -> list[str]:
        with closing(Folder(self._path)) as folder:
            return _ending(folder, KEPT)

    def _read(self, name: str) -> Rescued:
        with closing(Folder(self._path)) as folder:
            fd = folder.open_existing(name)
        with os.fdopen(fd, "rb") as file:
            return _RESCUED.validate_json(file.read())  # spaces may follow, if it was a spare

    def _remove(self, name: str) -> None:
        with closing(Folder(self._path)) as folder:
            folder.remove(name)

    def _tell_once(self, what: str, name: str = "") -> None:
        if (what, name) not in self._told:
            self._told.add((what, name))
            log.warning(what, exc_info=True, extra={"path": str(self._path / name)})


def _ending(folder: Folder, suffix: str) -> list[str]:
    return sorted(name for name in folder.names() if name.endswith(suffix))


def _take_spare(folder: Folder, part: str) -> int | None:
    """A descriptor to write over a spare, which is this process's alone under its new name."""
    for name in _ending(folder, SPARE):
        with suppress(FileNotFoundError):  # another process was faster
            os.rename(folder.path / name, folder.path / part)
            return os.open(folder.path / part, _WRITE)
    return None


def _finish(folder: Folder, fd: int, part: str, content: bytes, name: str) -> None:
    """Write a file and put it on the disk, and only then give it the name under which it counts."""
    try:
        try:
            while content:
                content = content[os.write(fd, content) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        folder.rename(part, name)
    except OSError:
        with suppress(OSError):
            folder.remove(part)
        raise


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
