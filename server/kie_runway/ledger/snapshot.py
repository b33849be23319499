"""The ledger as it stands, for those who only look: a copy, so that looking changes nothing."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kie_runway.ledger.migrations import schema_version
from kie_runway.ledger.reading import connect_to_read, has_log, reading
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
    try:
        with reading(path):
            log = has_log(path)
            _copy(path, copy, log=log)
            if not log and has_log(path):  # somebody has opened it meanwhile
                copy.unlink()
                _copy(path, copy, log=True)
    except FileNotFoundError:
        return False
    return True


def _copy(path: Path, copy: Path, *, log: bool) -> None:
    with connect_to_read(path, log=log) as connection:
        schema_version(connection, path)
        connection.execute("VACUUM INTO ?", (str(copy),))
