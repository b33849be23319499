"""The stores that have to keep the contract."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.server.ledger.rows import OpenLedger

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.sqlite import SqliteLedger


@pytest.fixture(autouse=True)
def _unhurried(unhurried: None) -> None:
    """Whoever finds the file locked waits for as long as it takes."""


@pytest.fixture(params=["sqlite"])
def open_ledger(tmp_path: Path) -> OpenLedger:
    """Opens the same store each time, as another process would."""

    @asynccontextmanager
    async def opening(daily_credits: float | None = None) -> AsyncGenerator[Ledger]:
        ledger = SqliteLedger(tmp_path / "deep" / "ledger.db", daily_credits=daily_credits)
        await ledger.open()
        try:
            yield ledger
        finally:
            await ledger.aclose()

    return opening
