"""One SQLite file: WAL, fully synchronous, a thread that writes and one that reads."""

import os
import sqlite3
import threading
from asyncio import Future
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import ParamSpec, TypeVar

from kie_runway.errors import LedgerError, TaskIdTakenError
from kie_runway.ledger.migrations import MIGRATIONS, schema_version
from kie_runway.ledger.worker import Worker

BUSY_TIMEOUT_S = 10.0  # several server processes share one file on a desktop
LOG_PAGES = 250  # 1 MB; a commit that makes the log file longer takes 0.1 ms more than one within

P = ParamSpec("P")
T = TypeVar("T")


class _OfThread(threading.local):
    connection: sqlite3.Connection | None = None


class Database:
    """
    Runs work on the file in two threads; any number of processes may share the file.

    One thread writes, the other reads, so that nobody who only looks waits for another process
    to let go of the file. `path` names the file. Work that fails raises `LedgerError`, a task id
    that another row has `TaskIdTakenError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = Worker("ledger")
        self._reader = Worker("ledger reads")
        self._of_thread = _OfThread()
        self._identity: tuple[int, int] | None = None
        self._seen_version: int | None = None

    async def open(self) -> None:
        """Make the file if there is none, and bring its schema up to date."""
        await self._run(self._writer, self._open)
        await self._run(self._reader, self._open_for_reading)

    async def aclose(self) -> None:
        """Close the file after what was begun."""
        for worker in (self._reader, self._writer):
            await self._run(worker, self._close)
            worker.end()

    @property
    def connection(self) -> sqlite3.Connection:
        """For work that runs in one of the threads."""
        if self._of_thread.connection is None:
            raise LedgerError("The ledger is not open.")
        return self._of_thread.connection

    def read(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run work that changes nothing."""
        return self._run(self._reader, work, *args, **kwargs)

    def _run(
        self, worker: Worker, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        def in_thread() -> T:
            try:
                return work(*args, **kwargs)
            except sqlite3.Error as exc:
                if isinstance(exc, sqlite3.IntegrityError) and "entries.task_id" in str(exc):
                    raise TaskIdTakenError("KIE gave a task id that another task has.") from exc
                raise LedgerError(
                    f"The ledger at {self.path} failed ({exc}). Check disk space and "
                    "permissions, but keep this file."
                ) from exc

        return worker.run(in_thread)

    def write(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run work in one transaction."""

        def in_transaction() -> T:
            with _transaction(self.connection):
                self._check_identity()
                return work(*args, **kwargs)

        return self._run(self._writer, in_transaction)

    async def moved_elsewhere(self) -> bool:
        """Whether another process has written since the last time this was asked."""
        # On the connection that writes, or our own changes would count.
        return await self._run(self._writer, self._moved_elsewhere)

    def _moved_elsewhere(self) -> bool:
        version = int(self.connection.execute("PRAGMA data_version").fetchone()[0])
        seen, self._seen_version = self._seen_version, version
        return seen != version

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made by hand so that no moment leaves the file readable to others.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with suppress(PermissionError):  # somebody else's, who may share it as they like
                self.path.chmod(0o600)
        except OSError as exc:
            raise LedgerError(
                f"The ledger at {self.path} cannot be made ({exc.strerror}). Mend that. Only if "
                "there never was one, set KIE_HOME to a directory that can be written."
            ) from exc
        connection = self._connect()
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        connection.execute("PRAGMA foreign_keys = ON")
        self._identity = _identity(self.path)
        self._migrate()

    def _open_for_reading(self) -> None:
        self._connect().execute("PRAGMA query_only = ON")

    def _connect(self) -> sqlite3.Connection:
        """Open the file for this thread."""
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        self._of_thread.connection = connection
        return connection

    def _close(self) -> None:
        if self._of_thread.connection is not None:
            self._of_thread.connection.close()
            self._of_thread.connection = None

    def _check_identity(self) -> None:
        """What is written to a file that was deleted or replaced would be lost."""
        if _identity(self.path) != self._identity:
            raise LedgerError(
                f"The ledger at {self.path} was moved, deleted or replaced while the server ran. "
                "Put it back. Only if what lies there now is to be kept, restart the server."
            )

    def _migrate(self) -> None:
        connection = self.connection
        with _transaction(connection):
            for step in MIGRATIONS[schema_version(connection, self.path) :]:
                for statement in step.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Begun as a writer at once, so that two processes never both decide; all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switching does not wait for other processes that open the file, so ask again."""
    deadline = monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            is_busy = exc.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not is_busy or monotonic() > deadline:
                raise
            sleep(0.01)
        else:
            return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
