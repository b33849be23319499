"""A paid request that waits for its callback, what takes that callback, and callbacks."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr
from tests.server.desk import NOW, QuickClock
from tests.server.ledger.rows import LIMIT, TEN_MINUTES, intent, opened

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Callback, Entry, Transition
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskState
from kie_runway.webhooks import Webhooks, hash_token, new_token
from kie_runway_sandbox.callbacks import sign

TASK_ID = "ee603959debb48d198c4a6d1c717eba6"
HMAC_KEY = "kie-test-hmac-key"
SUCCESS = json.dumps({"code": 200, "msg": "success", "data": {"task_id": TASK_ID}}).encode()


def signature(task_id: str = TASK_ID, at: datetime = NOW, key: str = HMAC_KEY) -> dict[str, str]:
    """The headers of a signed callback."""
    seconds = int(at.timestamp())
    return {
        "X-Webhook-Timestamp": str(seconds),
        "X-Webhook-Signature": sign(key, task_id, seconds),
    }


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


@dataclass
class Hooks:
    """What takes callbacks, and one row with its token."""

    ledger: Ledger
    clock: QuickClock
    webhooks: Webhooks
    token: str
    row: Entry
    woken: list[None]

    async def entry(self) -> Entry:
        """The row as its token finds it."""
        return await self.webhooks.entry_of(self.token)

    async def is_at_kie(self, task_id: str = TASK_ID) -> None:
        """KIE's answer to the paid request has arrived."""
        changes = {"task_id": task_id}
        accepted = Transition(self.row.id, (TaskState.SUBMITTING,), TaskState.WAIT, NOW, changes)
        assert await self.ledger.transition(accepted) is not None

    async def stored(self) -> list[Callback]:
        """The callbacks that wait to be confirmed; they are settled by that."""
        callbacks: list[Callback] = []
        now = self.clock.now()
        while callback := await self.ledger.inbox.take(now=now, until=now + TEN_MINUTES):
            await self.ledger.inbox.settle(callback.id, "seen")
            callbacks.append(callback)
        return callbacks

    async def opened(self) -> Webhooks:
        """As the app hands it to the HTTP side."""
        return self.webhooks


@asynccontextmanager
async def open_hooks(folder: Path, keys: Sequence[str] = ()) -> AsyncGenerator[Hooks]:
    """A ledger with one row that is being sent with a callback address."""
    ledger = SqliteLedger(folder / "ledger.db")
    await ledger.open()
    try:
        token, clock = new_token(), QuickClock()
        entry = (await opened(ledger, intent())).entry
        turn = await ledger.take_turn(
            entry.id,
            owner="me",
            lease=TEN_MINUTES,
            limit=LIMIT,
            now=lambda: NOW,
            changes={"callback_hash": hash_token(token)},
        )
        assert turn.entry is not None
        woken: list[None] = []
        webhooks = Webhooks(
            ledger.inbox,
            keys=[SecretStr(key) for key in keys],
            clock=clock,
            arrived=lambda: woken.append(None),
        )
        yield Hooks(ledger, clock, webhooks, token, turn.entry, woken)
    finally:
        await ledger.aclose()
