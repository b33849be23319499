"""A small world for each journey, and what all of them together were told."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from tests.build_once import build_once
from tests.obedient.agent import ObedientAgent, User
from tests.obedient.world import SmallWorld
from tests.support import serve_sandbox

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is asked of all journeys together comes after them, if all run in one process."""
    last = [item for item in items if item.get_closest_marker("after_all_journeys")]
    if not last:
        return
    items[:] = [item for item in items if item not in last] + last
    asked_for = [Path(str(arg)).resolve() for arg in config.args]
    is_whole = any(path == HERE or path in HERE.parents for path in asked_for)
    if not is_whole or config.getoption("keyword") or config.getoption("lf", False):
        for item in last:
            item.add_marker(pytest.mark.skip(reason="needs the whole folder"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "after_all_journeys: looks back on all journeys")


@pytest.fixture(autouse=True)
def _build_once(monkeypatch: pytest.MonkeyPatch) -> None:
    build_once(monkeypatch)


@pytest.fixture(name="answers", scope="session")
def _answers() -> list[dict[str, Any]]:
    """Every answer of every journey so far."""
    return []


@pytest.fixture(name="world")
async def _world(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]
) -> AsyncGenerator[SmallWorld]:
    """A KIE whose Runway videos take one minute."""
    async with serve_sandbox(advance="time") as (sandbox, settings):
        world = SmallWorld(sandbox, settings)
        world.install(monkeypatch)
        yield world
        answers += world.answers


@pytest.fixture(name="user")
def _user() -> User:
    return User()


@pytest.fixture(name="agent")
def _agent(world: SmallWorld, user: User) -> ObedientAgent:
    return ObedientAgent(world, user)
