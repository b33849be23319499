"""How those read a ledger who only look: without a lock where nobody writes."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from stat import S_ISREG
from typing import TypeVar

from kie_runway.errors import LedgerError

T = TypeVar("T")


def read(
    path: Path, look: Callable[[sqlite3.Connection], T], *, timeout_s: float = 5.0
) -> T | None:
    """
    What `look` finds on a connection that cannot write; None if there is no ledger. Blocks.

    It looks again if somebody opened or closed the ledger meanwhile.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    try:
        if not S_ISREG(path.stat().st_mode):  # opening anything else might wait for ever
            raise LedgerError(f"The ledger at {path} is no regular file.")
        path.open("rb").close()  # its complaints are clearer than SQLite's
        while True:
            has_log = _has_log(path)
            try:
                found = _look(path, look, has_log, timeout_s)
            except sqlite3.Error:
                if _has_log(path) == has_log:
                    raise
            else:
                if has_log or not _has_log(path):
                    return found
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc.strerror}).") from exc
    except sqlite3.Error as exc:
        raise LedgerError(f"The ledger at {path} cannot be read ({exc}).") from exc


def _has_log(path: Path) -> bool:
    """Whether somebody has the ledger open, or had when they crashed."""
    return path.with_name(f"{path.name}-wal").exists()


def _look(
    path: Path, look: Callable[[sqlite3.Connection], T], has_log: bool, timeout_s: float
) -> T:
    # Without a log nobody has the file open, so it needs no lock; taking one would leave files
    # beside it, and could not be done where only reading is allowed.
    uri = f"{path.as_uri()}?mode=ro" + ("" if has_log else "&immutable=1")
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s)) as connection:
        return look(connection)
