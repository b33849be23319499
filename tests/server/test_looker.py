"""One rate for all look-ups, also for those that no list foresaw."""

from collections.abc import AsyncGenerator

import anyio
import pytest
from tests.support import serve_sandbox

from kie_runway.client import KieClient
from kie_runway.errors import RateLimitedError
from kie_runway.looker import Looker
from kie_runway.models import TaskKind
from kie_runway.rate import RECOVERY, Rate
from kie_runway_sandbox import Fault, Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

PER_S = 20.0


@pytest.fixture(name="kie")
async def _kie() -> AsyncGenerator[tuple[Sandbox, KieClient]]:
    async with (
        serve_sandbox() as (sandbox, settings),
        KieClient(
            settings.api_key,
            api_url=settings.api_url,
            upload_url=settings.upload_url,
            user_agent=settings.user_agent,
        ) as client,
    ):
        yield sandbox, client


async def test_a_refusal_halves_the_rate_and_a_success_gives_a_little_back(
    kie: tuple[Sandbox, KieClient],
) -> None:
    sandbox, client = kie
    looker = Looker(client, Rate(PER_S))
    sandbox.inject(Fault("refuse", "runway/record-detail", status=429, code=429))

    with pytest.raises(RateLimitedError):
        await looker.look_up(TaskKind.GENERATE, "t-1")
    refused_per_s = looker.rate.per_s
    assert await looker.look_up(TaskKind.GENERATE, "t-1") is None

    assert refused_per_s == PER_S / 2
    assert looker.rate.per_s == refused_per_s + PER_S * RECOVERY


async def test_a_look_up_waits_for_its_turn(kie: tuple[Sandbox, KieClient]) -> None:
    sandbox, client = kie
    looker = Looker(client, Rate(1e-6))  # one at first, the next in some days
    await looker.look_up(TaskKind.GENERATE, "t-1")

    with anyio.move_on_after(0.05) as soon:
        await looker.look_up(TaskKind.GENERATE, "t-1")

    assert soon.cancelled_caught
    assert sandbox.requests["runway/record-detail"] == 1
