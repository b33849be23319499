"""The whole journey through the Python SDK's client and real processes."""

import os

import anyio
import pytest
from mcp import Client, StdioServerParameters
from tests.journeys.journey import check, walk
from tests.journeys.processes import http_server
from tests.support import ERAS, Era
from tests.wire import COMMAND

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]

SANDBOX = ("--sandbox", "--speed", "60")
VERSIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


async def test_the_journey_over_stdio(era: Era) -> None:
    env = {name: value for name, value in os.environ.items() if name.startswith("KIE_")}
    server = StdioServerParameters(command=COMMAND[0], args=["serve", *SANDBOX], env=env)
    with anyio.fail_after(150):
        async with Client(server, mode=era) as client:
            journey = await walk(client, "boat")

    check(journey)
    assert journey.version == VERSIONS[era]


async def test_the_journey_over_http(era: Era) -> None:
    with http_server(*SANDBOX) as server, anyio.fail_after(150):
        async with Client(server.url, mode=era) as client:
            journey = await walk(client, "boat")

    check(journey)
    assert journey.version == VERSIONS[era]
