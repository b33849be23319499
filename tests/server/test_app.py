"""What the tools work with is opened once, whoever asks for it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.support import QUICK, settings_for

from kie_runway import opening
from kie_runway.app import App, Services
from kie_runway.errors import LedgerError

pytestmark = pytest.mark.anyio


async def test_whoever_asks_while_it_opens_shares_the_opening_and_its_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = 0, asyncio.Event()

    @asynccontextmanager
    async def fails(*_: object) -> AsyncGenerator[App]:
        nonlocal begun
        begun += 1
        await go_on.wait()
        raise LedgerError("It is locked.")
        yield

    services = Services(settings_for("http://127.0.0.1:9"), QUICK)
    with monkeypatch.context() as broken, anyio.fail_after(60):
        broken.setattr(opening, "open_app", fails)
        asking = [asyncio.create_task(services.ready()) for _ in range(10)]
        while not begun:
            await anyio.lowlevel.checkpoint()
        go_on.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
    app = await services.ready()
    again = await services.ready()
    await services.aclose()

    assert begun == 1
    assert all(isinstance(answer, LedgerError) for answer in answers)
    assert again is app
