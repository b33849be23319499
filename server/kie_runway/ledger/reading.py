"""How those open a ledger who only look: without a lock where nobody writes, and told clearly."""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_ISREG

from kie_runway.errors import LedgerError


def has_log(path: Path) -> bool:
    """Whether somebody has the ledger open, or had when they crashed."""
    return path.with_name(f"{path.name}-wal").exists()


def connect_to_read(
    path: Path, *, log: bool, timeout_s: float = 5.0
) -> "closing[sqlite3.Connection]":
    """
    A connection that cannot write.

    Without a log nobody has the file open, so it needs no lock; taking one would leave files
    beside it, and could not be done where only reading is allowed.
    """
    options = "mode=ro" if log else "mode=ro&immutable=1"
    return closing(sqlite3.connect(f"{path.as_uri()}?{options}", uri=True, timeout=timeout_s))


@contextmanager
def reading(path: Path) -> Generator[None]:
    """
    A ledger is read.

    Raises:
        FileNotFoundError: There is none.
        LedgerError: It cannot be read.
    """
    try:
        if not S_ISREG(path.stat().st_mode):  # opening anything else might wait for ever
            raise LedgerError(f"The ledger at {path} is no regular file.")
        path.open("rb").close()  # its complaints are clearer than SQLite's
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc.strerror}).") from exc
    except sqlite3.Error as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc}).") from exc
