"""The ledger as it stands, for those who only look: a copy, so that looking changes nothing."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from kie_runway.errors import LedgerError
from kie_runway.ledger.migrations import schema_version
from kie_runway.ledger.sqlite import SqliteLedger


@asynccontextmanager
async def open_snapshot(path: Path) -> AsyncGenerator[SqliteLedger | None]:
    """
    A copy of the ledger, brought up to date until the context ends; None if there is no ledger.

    The ledger itself is neither changed nor locked, also while servers write to it.

    Raises:
        LedgerError: It cannot be read, or was written by a newer version.
    """
    with TemporaryDirectory(prefix="kie-ledger-") as directory:
        copy = Path(directory, "ledger.db")
        if not _copied(path, copy):
            yield None
            return
        ledger = SqliteLedger(copy)
        try:
            await ledger.open()
            yield ledger
        finally:
            await ledger.aclose()


def _copied(path: Path, copy: Path) -> bool:
    """Whether there was anything to copy."""
    log = path.with_name(f"{path.name}-wal")
    try:
        path.open("rb").close()  # its complaints are clearer than SQLite's
        if log.exists():
            _copy(path, copy)
            return True
        # Nobody has the file open, so it needs no lock; taking one would leave files beside it,
        # and could not be done where only reading is allowed.
        _copy(path, copy, "&immutable=1")
        if log.exists():  # somebody has opened it meanwhile
            copy.unlink()
            _copy(path, copy)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc.strerror}).") from exc
    except sqlite3.Error as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc}).") from exc
    return True


def _copy(path: Path, copy: Path, options: str = "") -> None:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro{options}", uri=True)) as connection:
        schema_version(connection, path)
        connection.execute("VACUUM INTO ?", (str(copy),))
