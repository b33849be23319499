"""What a ledger is like, for those who only look: nothing is copied, changed or locked."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from kie_runway.errors import LedgerError
from kie_runway.ledger.migrations import MIGRATIONS, schema_version

WAIT_S = 1.0


@dataclass(frozen=True)
class Inspection:
    """
    A ledger as it lies there.

    Attributes:
        tasks: How many it knows.
        unknown: How many of them were sent, while their answers were lost.
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
    try:
        if not S_ISREG(path.stat().st_mode):  # opening anything else might wait for ever
            raise LedgerError(f"The ledger at {path} is no regular file.")
        path.open("rb").close()  # its complaints are clearer than SQLite's
        log = path.with_name(f"{path.name}-wal")
        # Without a log nobody has it open, and a lock would leave files beside it.
        options = "mode=ro" if log.exists() else "mode=ro&immutable=1"
        uri = f"{path.as_uri()}?{options}"
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT_S)) as connection:
            version = schema_version(connection, path)
            tasks = unknown = 0
            if version:
                count = "SELECT count(*), count(CASE state WHEN 'unknown' THEN 1 END) FROM entries"
                tasks, unknown = connection.execute(count).fetchone()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc.strerror}).") from exc
    except sqlite3.Error as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc}).") from exc
    return Inspection(tasks, unknown, version < len(MIGRATIONS))
