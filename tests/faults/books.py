"""Which paid task belongs to which row: the accounts that the checker works on."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.faults.evidence import Evidence, Row, is_of, token_of

from kie_runway_sandbox.log import LogEntry


@dataclass(frozen=True)
class Books:
    """
    Every create entered under the row that paid for it.

    Attributes:
        of_row: Creates by the id of their row. A row with two has paid twice.
        orphans: Creates for which there is no row at all.
        lost: Creates whose task id is in no row.
    """

    of_row: Mapping[int, Sequence[LogEntry]]
    orphans: Sequence[LogEntry]
    lost: Sequence[LogEntry]


def keep_books(evidence: Evidence) -> Books:
    """
    Enter every create: by its task id, else by its callback's token, else by its prompt.

    Of several rows with one prompt, those that have no create yet come first, so that what is
    reported as paid twice cannot be explained in any other way.
    """
    rows = evidence.ledger.rows
    by_task = {row.task_id: row for row in rows}
    by_hash = {row.callback_hash: row for row in rows if row.callback_hash is not None}
    of_row: defaultdict[int, list[LogEntry]] = defaultdict(list)
    orphans: list[LogEntry] = []
    unclear: list[LogEntry] = []
    lost: list[LogEntry] = []
    for create in evidence.kie.creates:
        named = by_task.get(create.task_id)
        if named is None:
            lost.append(create)
        # A task id under somebody else's row is no proof of who paid; the prompt is.
        if named is not None and (named.is_adopted or is_of(create, named)):
            of_row[named.id].append(create)
        else:
            unclear.append(create)
    for create in unclear:
        row = by_hash.get(token_hash(create) or "") or _best(create, rows, of_row)
        if row is None:
            orphans.append(create)
        else:
            of_row[row.id].append(create)
    return Books(of_row, orphans, lost)


def token_hash(create: LogEntry) -> str | None:
    """What the ledger should hold of a create's callback address."""
    token = token_of(create)
    return hashlib.sha256(token.encode()).hexdigest() if token else None


def _best(
    create: LogEntry, rows: Sequence[Row], taken: Mapping[int, Sequence[LogEntry]]
) -> Row | None:
    fitting = [row for row in rows if is_of(create, row) and not row.is_adopted]
    # Nobody says of a queued or rejected row that it may have been sent, so these come last.
    return min(
        fitting,
        key=lambda row: (len(taken.get(row.id, ())), row.state in ("queued", "rejected"), row.id),
        default=None,
    )
