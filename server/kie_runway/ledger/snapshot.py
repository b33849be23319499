"""The ledger as it stands, for those who only look: a copy, so that looking changes nothing."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kie_runway.ledger.migrations import schema_version
from kie_runway.ledger.reading import read
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

        def copy_out(connection: sqlite3.Connection) -> bool:
            schema_version(connection, path)
            copy.unlink(missing_ok=True)  # of a first look that was not the last
            connection.execute("VACUUM INTO ?", (str(copy),))
            return True

        if not read(path, copy_out):
            yield None
            return
        ledger = SqliteLedger(copy)
        try:
            await ledger.open()
            yield ledger
        finally:
            await ledger.aclose()
