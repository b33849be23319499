"""The uploads in one SQLite file."""

from datetime import datetime

from kie_runway.ledger.database import Database
from kie_runway.ledger.rows import to_ms, to_time
from kie_runway.ledger.uploads import UPLOADS_KEPT, StoredUpload


class SqliteUploads:
    """The `Uploads` of a `SqliteLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(self, upload: StoredUpload, *, now: datetime) -> None:
        await self._database.write(self._remember, upload, now)

    async def living(
        self, account: str, service: str, digest: str, *, after: datetime, until: datetime
    ) -> StoredUpload | None:
        return await self._database.read(self._living, account, service, digest, after, until)

    async def digest_of(self, account: str, url: str) -> str | None:
        return await self._database.read(self._digest_of, account, url)

    # Everything below runs in one of the database's threads.

    def _remember(self, upload: StoredUpload, now: datetime) -> None:
        db = self._database.connection
        db.execute("DELETE FROM uploads WHERE expires_at < ?", (to_ms(now - UPLOADS_KEPT),))
        db.execute(
            "INSERT OR REPLACE INTO uploads (account, url, service, digest, expires_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (upload.account, upload.url, upload.service, upload.digest, to_ms(upload.expires_at)),
        )

    def _living(
        self, account: str, service: str, digest: str, after: datetime, until: datetime
    ) -> StoredUpload | None:
        row = self._database.connection.execute(
            "SELECT url, expires_at FROM uploads WHERE account = ? AND service = ? AND digest = ?"
            " AND expires_at BETWEEN ? AND ? ORDER BY expires_at DESC LIMIT 1",
            (account, service, digest, to_ms(after), to_ms(until)),
        ).fetchone()
        if row is None:
            return None
        return StoredUpload(account, service, digest, row["url"], to_time(row["expires_at"]))

    def _digest_of(self, account: str, url: str) -> str | None:
        row = self._database.connection.execute(
            "SELECT digest FROM uploads WHERE account = ? AND url = ?", (account, url)
        ).fetchone()
        return None if row is None else str(row["digest"])
