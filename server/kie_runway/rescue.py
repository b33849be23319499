"""The last place for a task id: a directory beside a ledger that cannot be written."""

import hashlib
import logging
import os
import secrets
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync
from pydantic import TypeAdapter

from kie_runway.acceptance import Acceptance
from kie_runway.errors import LedgerError, TaskIdTakenError
from kie_runway.folder import Folder
from kie_runway.ledger.base import Ledger

log = logging.getLogger(__name__)

SPARES = 16
SPARE_B = 4096  # a block of most disks; what is kept of a task takes less
KEPT, SPARE, PART = ".json", ".spare", ".part"
_KEPT: Final = "kept while the ledger could not be written"
_WRITE = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


_ACCEPTANCE: Final = TypeAdapter(Acceptance)


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
        ledger = ledger.resolve()  # by whatever links it is reached
        self._path = ledger.with_name(f"{ledger.name}.rescue")
        self._told: set[tuple[str, str]] = set()

    async def stock(self) -> None:
        """Take the space that a full disk would refuse; nothing is raised."""
        try:
            await run_sync(self._stock)
        except OSError:
            self._tell_once("could not set space aside for task ids")

    async def keep(self, accepted: Acceptance) -> bool:
        """
        Write a task id down; nothing is raised, for this is the last resort.

        Returns:
            Whether it will outlive this process and a power cut. If not, ask again.
        """
        try:
            await run_sync(self._keep, accepted)
        except Exception:
            log.exception("could not keep a task id", extra={"task_id": accepted.task_id})
            return False
        return True

    async def give_back(self, ledger: Ledger) -> bool:
        """
        Put what was kept into a ledger that works again.

        Returns:
            Whether nothing is kept any more. What cannot be read stays, and is told in the log.

        Raises:
            LedgerError: It does not work; what it did not take is still kept.
        """
        try:
            names = await run_sync(self._kept)
        except OSError:
            self._tell_once("could not read the kept task ids")
            return False
        stay = 0
        for name in names:
            try:
                accepted = await run_sync(self._read, name)
                with suppress(TaskIdTakenError):  # the ledger has it, of another request
                    await accepted.enter_once_lost(ledger, detail=_KEPT)
                await run_sync(self._remove, name)
            except LedgerError:
                raise
            except FileNotFoundError:  # another process gave it back
                continue
            except Exception:  # whatever is wrong with one file, the others are given back
                self._tell_once("could not give back a kept task id; its file stays", name)
                stay += 1
        return not stay

    async def give_all_back(self, ledger: Ledger) -> None:
        """
        The same for whom it is not enough that the others are given back.

        Raises:
            LedgerError: Something is still kept.
        """
        if not await self.give_back(ledger):
            raise LedgerError(
                f"Task ids that were kept in {self._path} cannot be read, and the one in question "
                "may be among them. Make that directory and its files readable for the server."
            )

    def _stock(self) -> None:
        if not self._path.parent.exists():  # moved away; whoever puts it back finds the place free
            return
        with closing(Folder(self._path)) as folder:
            for _ in range(SPARES - len(_ending(folder, SPARE))):
                name = secrets.token_hex(8)
                part = name + PART
                _finish(folder, folder.create(part), part, b" " * SPARE_B, name + SPARE)

    def _keep(self, accepted: Acceptance) -> None:
        record = _ACCEPTANCE.dump_json(accepted)
        if len(record) > SPARE_B:
            record = _ACCEPTANCE.dump_json(replace(accepted, arguments={}))
        # The same name each time, so that asking again makes no second file.
        name = hashlib.sha256(f"{accepted.account} {accepted.task_id}".encode()).hexdigest()[:32]
        part = secrets.token_hex(8) + PART
        with closing(Folder(self._path)) as folder:
            fd = _take_spare(folder, part)
            if fd is None:
                fd = folder.create(part)
            _finish(folder, fd, part, record, name + KEPT)

    def _kept(self) -> list[str]:
        if not os.path.lexists(self._path):
            return []
        with closing(Folder(self._path)) as folder:
            return _ending(folder, KEPT)

    def _read(self, name: str) -> Acceptance:
        with closing(Folder(self._path)) as folder:
            fd = folder.open_existing(name)
        with os.fdopen(fd, "rb") as file:
            return _ACCEPTANCE.validate_json(file.read())  # spaces may follow, if it was a spare

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
