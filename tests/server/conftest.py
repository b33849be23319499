"""A ledger, and the place beside it for task ids that it cannot take."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.rescue import Rescue


@pytest.fixture(name="ledger")
async def _ledger(tmp_path: Path) -> AsyncGenerator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    await ledger.open()
    yield ledger
    await ledger.aclose()


@pytest.fixture(name="rescue")
def _rescue(tmp_path: Path) -> Rescue:
    return Rescue(tmp_path / "ledger.db")
