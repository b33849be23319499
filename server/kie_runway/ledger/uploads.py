"""What the ledger promises about uploads: which content an address stands for, and for how long."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

# KIE forgets a task after 2 months (contract §11), so a repeat has nothing left to lead to.
UPLOADS_KEPT: Final = timedelta(days=62)


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """
    A content that was uploaded. Times are aware UTC.

    Attributes:
        service: Base URL of the upload service that took it; another one does not serve it.
        digest: SHA-256 of the content, in hexadecimal.
        url: Where it is served; whoever knows it can read the content.
    """

    account: str
    service: str
    digest: str
    url: str
    expires_at: datetime


class Uploads(Protocol):
    """
    Uploads of all processes, kept beyond their end: an agent may still repeat their addresses.

    All methods raise `LedgerError` when the store cannot be read or written.
    """

    async def remember(self, upload: StoredUpload, *, now: datetime) -> None:
        """Note an upload, and forget those that expired longer than `UPLOADS_KEPT` ago."""
        ...

    async def living(
        self, account: str, service: str, digest: str, *, after: datetime, until: datetime
    ) -> StoredUpload | None:
        """The upload of a content that expires last, from `after` to `until`, both included."""
        ...

    async def digest_of(self, account: str, url: str) -> str | None:
        """What was uploaded to an address, also if it has expired; None if that is not known."""
        ...
