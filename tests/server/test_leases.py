"""A heart beats on, whatever goes wrong with what else it does."""

import errno
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest
from tests.server.held import HeldClock
from tests.server.ledger.rows import intent, submitting

from kie_runway.acceptance import Acceptance
from kie_runway.errors import LedgerError
from kie_runway.folder import Folder
from kie_runway.leases import HEARTBEAT_S, LEASE, Leases
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.rescue import SPARE, SPARES, Rescue

pytestmark = pytest.mark.anyio

WITHIN_S = 60


@pytest.mark.parametrize("wrong", [RuntimeError("a bug"), OSError(errno.EIO, "broken")])
async def test_a_heart_outlives_any_fault(
    ledger: SqliteLedger, rescue: Rescue, monkeypatch: pytest.MonkeyPatch, wrong: Exception
) -> None:
    clock = HeldClock()
    leases = Leases(ledger, clock, rescue)
    extend, extended, faults = ledger.extend_leases, anyio.Event(), [wrong]

    async def flaky(owner: str, until: datetime) -> None:
        if faults:
            raise faults.pop()
        await extend(owner, until)
        extended.set()

    with anyio.fail_after(WITHIN_S):
        await leases.open()
        monkeypatch.setattr(ledger, "extend_leases", flaky)
        for _ in range(3):
            await clock.pass_sleep(HEARTBEAT_S)
        await extended.wait()
    await leases.aclose()


async def test_kept_ids_that_cannot_be_given_back_neither_end_a_start_nor_a_lease(
    ledger: SqliteLedger, rescue: Rescue, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HeldClock()
    leases = Leases(ledger, clock, rescue)
    entry = await submitting(ledger, intent(), lease=timedelta(seconds=1))
    await rescue.keep(Acceptance.of(entry, "task-1", clock.now()))

    async def fail(_: Ledger) -> None:
        raise LedgerError("One row of it.")

    monkeypatch.setattr(rescue, "give_back", fail)
    leases.owner = "me"
    await leases.open()
    await leases.aclose()
    row = await ledger.get(entry.id)

    assert row is not None
    assert row.lease_until == clock.now() + LEASE


@pytest.mark.parametrize("method", ["names", "remove", "create"])
async def test_a_broken_place_for_task_ids_does_not_keep_a_server_from_starting(
    ledger: SqliteLedger, rescue: Rescue, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    clock = HeldClock()
    await rescue.keep(Acceptance.of(await submitting(ledger, intent()), "task-1", clock.now()))

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Folder, method, fail)
    leases = Leases(ledger, clock, rescue)
    await leases.open()
    await leases.aclose()


async def test_a_server_that_starts_sets_space_aside_before_anything_is_sent(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    leases = Leases(ledger, HeldClock(), rescue)
    await leases.open()
    await leases.aclose()

    assert len(list((tmp_path / "ledger.db.rescue").glob(f"*{SPARE}"))) == SPARES
