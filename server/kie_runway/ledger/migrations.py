"""
The schema's history: numbered steps, run at open in one transaction.

Never edit a step that was released; append one.
"""

from collections.abc import Sequence
from typing import Final

MIGRATIONS: Final[Sequence[str]] = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        request_id TEXT NOT NULL,
        fingerprint TEXT,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        arguments TEXT NOT NULL,
        credits REAL,
        task_id TEXT,
        parent_task_id TEXT,
        raw_state TEXT,
        video_url TEXT,
        thumbnail_url TEXT,
        file TEXT,
        error TEXT,
        created_at INTEGER NOT NULL,
        accepted_at INTEGER,
        finished_at INTEGER,
        expires_at INTEGER,
        owner TEXT,
        lease_until INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX entries_by_request ON entries (account, request_id);
    CREATE UNIQUE INDEX entries_by_task ON entries (account, task_id) WHERE task_id IS NOT NULL;
    CREATE INDEX entries_by_fingerprint ON entries (account, fingerprint, created_at);
    CREATE INDEX entries_by_state ON entries (state);
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        entry_id INTEGER NOT NULL REFERENCES entries (id),
        account TEXT NOT NULL,
        at INTEGER NOT NULL,
        from_state TEXT,
        to_state TEXT NOT NULL,
        detail TEXT
    ) STRICT;
    CREATE INDEX events_by_entry ON events (entry_id);
    CREATE INDEX events_of_submissions ON events (account, at) WHERE to_state = 'submitting';
    """,
)
