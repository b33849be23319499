"""Time enough for everything that an answer brings with it."""

import pytest

from kie_runway_tools import pictures, results


@pytest.fixture(autouse=True)
def _unhurried(unhurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "SAVED_WITHIN_S", 60.0)
    monkeypatch.setattr(pictures, "SHEET_WITHIN_S", 60.0)
    monkeypatch.setattr(pictures, "PICTURE_WITHIN_S", 120.0)
