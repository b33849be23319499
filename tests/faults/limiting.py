"""What the limiter of creates does, as a storm looks on."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kie_runway.ledger.records import Turn
from kie_runway.ledger.sqlite import SqliteLedger

_TURNS = """
SELECT json_extract(entries.arguments, '$.prompt'), count(*) FROM entries
JOIN events ON events.entry_id = entries.id AND events.to_state = 'submitting'
WHERE entries.state = 'submitting' GROUP BY entries.id
"""


def turns_in(ledger: Path) -> Mapping[str, int]:
    """How often each row that is being sent has had its turn, by its prompt."""
    with closing(sqlite3.connect(ledger)) as db:
        return dict(db.execute(_TURNS).fetchall())


def note_waits(patch: pytest.MonkeyPatch) -> set[int]:
    """The rows that the limiter lets wait, from now on."""
    waited: set[int] = set()
    take_turn = SqliteLedger.take_turn

    async def noting(self: SqliteLedger, entry_id: int, **kwargs: Any) -> Turn:
        turn = await take_turn(self, entry_id, **kwargs)
        if turn.wait_s is not None:
            waited.add(entry_id)
        return turn

    patch.setattr(SqliteLedger, "take_turn", noting)
    return waited
