"""
The schema's history: numbered steps, run at open in one transaction.

Never edit a step that was released; append one.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kie_runway.errors import LedgerError

MIGRATIONS: Final[Sequence[str]] = (
    # 1: intents and their events
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
    # 2: superseding, callbacks, shared look-ups, learned durations, saving unasked
    """
    ALTER TABLE entries ADD COLUMN sent_at INTEGER;
    ALTER TABLE entries ADD COLUMN superseded_at INTEGER;
    ALTER TABLE entries ADD COLUMN supersedes INTEGER REFERENCES entries (id);
    ALTER TABLE entries ADD COLUMN callback_hash TEXT;
    ALTER TABLE entries ADD COLUMN credits_before REAL;
    ALTER TABLE entries ADD COLUMN credits_after REAL;
    ALTER TABLE entries ADD COLUMN looked_at INTEGER;
    ALTER TABLE entries ADD COLUMN took_s REAL;
    ALTER TABLE entries ADD COLUMN save_after INTEGER;
    UPDATE entries SET sent_at = (
        SELECT max(at) FROM events WHERE entry_id = entries.id AND to_state = 'submitting'
    );
    DROP INDEX entries_by_request;
    CREATE UNIQUE INDEX entries_by_request ON entries (account, request_id)
        WHERE superseded_at IS NULL;
    CREATE UNIQUE INDEX entries_by_callback ON entries (callback_hash)
        WHERE callback_hash IS NOT NULL;
    CREATE INDEX entries_timed ON entries (kind, id) WHERE took_s IS NOT NULL;
    CREATE INDEX entries_unsaved ON entries (expires_at) WHERE state = 'success' AND file IS NULL;
    CREATE TABLE callbacks (
        id INTEGER PRIMARY KEY,
        entry_id INTEGER NOT NULL REFERENCES entries (id),
        task_id TEXT NOT NULL,
        signed_at INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        due_at INTEGER,
        outcome TEXT,
        UNIQUE (entry_id, task_id, signed_at)
    ) STRICT;
    CREATE INDEX callbacks_due ON callbacks (due_at) WHERE due_at IS NOT NULL;
    """,
    # 3: uploads, so that a content is known again by each address it ever had
    """
    CREATE TABLE uploads (
        account TEXT NOT NULL,
        url TEXT NOT NULL,
        service TEXT NOT NULL,
        digest TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (account, url)
    ) STRICT;
    CREATE INDEX uploads_by_content ON uploads (account, service, digest, expires_at);
    """,
)


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """
    How many of the steps a ledger has behind it.

    Raises:
        LedgerError: It has some that this program does not know.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise LedgerError(f"The ledger at {path} was written by a newer version; upgrade first.")
    return version
