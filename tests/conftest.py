"""What every test stands on: a clean environment and one event loop flavour."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine reaches a test, and nothing is written to its home."""
    for name in [name for name in os.environ if name.startswith("KIE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KIE_HOME", str(tmp_path / "home"))
