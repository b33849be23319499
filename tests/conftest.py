"""What every test stands on: a clean environment and one event loop flavour."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.support import ERAS, Era

# The first run on a machine builds Hypothesis's tables, which takes over a second; that says
# nothing about the tests.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop flavour for fixtures of any scope."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine reaches a test, and nothing is written to its home."""
    for name in [name for name in os.environ if name.startswith("KIE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KIE_HOME", str(tmp_path / "home"))


@pytest.fixture(name="era", params=ERAS)
def _era(request: pytest.FixtureRequest) -> Era:
    """Each of the two generations of the protocol."""
    era: Era = request.param
    return era


@pytest.fixture(name="unhurried")
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the machine stands still, nothing is given up and no task counts as stuck."""
    for patience in (
        "exchange.CONNECT_TIMEOUT_S",
        "fetch.CONNECT_TIMEOUT_S",
        "ledger.database.BUSY_TIMEOUT_S",
        "submit.BALANCE_S",
        "tracker.GLANCE_S",
    ):
        monkeypatch.setattr(f"kie_runway.{patience}", 60.0)
    monkeypatch.setattr("kie_runway.pace.STUCK_AFTER_S", math.inf)
