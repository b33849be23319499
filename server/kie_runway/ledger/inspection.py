"""What a ledger is like, for those who only look: nothing is copied, changed or locked."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from kie_runway.ledger.migrations import MIGRATIONS, schema_version
from kie_runway.ledger.reading import read

WAIT_S = 1.0
SUPERSEDING = 2  # the version of the schema that knows it


@dataclass(frozen=True)
class Inspection:
    """
    A ledger as it lies there.

    Attributes:
        tasks: How many it knows.
        unknown: How many of them were sent, their answers lost, and not replaced since.
        outdated: Whether the next server to open it will bring its schema up to date.
    """

    tasks: int
    unknown: int
    outdated: bool


def inspect(path: Path) -> Inspection | None:
    """
    Look into a ledger; None if there is none. Blocks.

    Raises:
        LedgerError: It cannot be read, or was written by a newer version.
    """

    def look(connection: sqlite3.Connection) -> Inspection:
        version = schema_version(connection, path)
        tasks = unknown = 0
        if version:
            last = " AND superseded_at IS NULL" if version >= SUPERSEDING else ""
            doubtful = f"CASE WHEN state = 'unknown'{last} THEN 1 END"
            count = f"SELECT count(*), count({doubtful}) FROM entries"
            tasks, unknown = connection.execute(count).fetchone()
        return Inspection(tasks, unknown, version < len(MIGRATIONS))

    return read(path, look, timeout_s=WAIT_S)
