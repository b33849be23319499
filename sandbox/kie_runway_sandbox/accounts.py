"""Accounts: one per key, each with its own credits and rate limit; and the price list."""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import TypeAdapter

TaskKind = Literal["generate", "extend", "aleph"]

RATE_LIMIT_CREATES = 20
"""Creates that an account may start in one window (contract §11)."""
RATE_LIMIT_WINDOW_S = 10.0

# Credits by (seconds, quality); an extension costs what 5 s of its quality cost (§11).
PRICES: dict[tuple[int, str], Decimal] = {
    (5, "720p"): Decimal(12),
    (10, "720p"): Decimal(30),
    (5, "1080p"): Decimal(30),
    (8, "720p"): Decimal(30),  # no list names the legacy length; priced like the longer clip
}
ALEPH_PRICE = Decimal(110)
EXTENSION_S = 5
"""Seconds an extension adds; KIE states no number (§4)."""


def price(kind: TaskKind, body: dict[str, Any]) -> Decimal:
    """Credits for a validated create."""
    if kind == "aleph":
        return ALEPH_PRICE
    seconds = EXTENSION_S if kind == "extend" else int(body["duration"])
    return PRICES[seconds, body["quality"]]


@dataclass
class Account:
    """The state behind one key."""

    number: int
    """Appears in upload paths, as KIE's account numbers do (§9)."""
    credits: Decimal
    creates: deque[datetime] = field(default_factory=deque[datetime])
    """When the creates of the running window came."""

    def may_create(self, now: datetime) -> bool:
        """Whether the rate limit lets one more create through; if so, counts it."""
        while self.creates and now - self.creates[0] >= timedelta(seconds=RATE_LIMIT_WINDOW_S):
            self.creates.popleft()
        if len(self.creates) >= RATE_LIMIT_CREATES:
            return False
        self.creates.append(now)
        return True


ACCOUNT = TypeAdapter(Account)


def account_number(key: str) -> int:
    """A six-digit number for a key, the same in every process."""
    digest = hashlib.sha256(key.encode()).digest()
    return 100_000 + int.from_bytes(digest[:4]) % 900_000
