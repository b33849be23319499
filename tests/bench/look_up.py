"""What the HTTP core adds to a request."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

import httpx
from pydantic import SecretStr
from tests.bench.report import Row, Section, spread
from tests.bench.sandbox import BenchSandbox
from tests.wire import SANDBOX_KEY, WITHIN_S

from kie_runway.client import KieClient
from kie_runway.models import TaskKind

AGENT = "kie-runway-mcp bench"


def look_up(sandbox: BenchSandbox, calls: int) -> Section:
    """A live look-up through `KieClient` against a plain GET of the same address."""
    through, plain = asyncio.run(_measure(sandbox, calls))
    added = median(through) - median(plain)
    return Section(
        "Look-up",
        "`KieClient.look_up` against `httpx.AsyncClient.get` of the same sandbox address, in turn: "
        "what deadlines, limits, reading and checking the answer add.",
        [
            spread("KieClient.look_up", through, "µs"),
            spread("plain httpx GET", plain, "µs"),
            Row("added, difference of medians", f"{added * 1e6:,.0f} µs"),
        ],
    )


async def _measure(sandbox: BenchSandbox, calls: int) -> tuple[list[float], list[float]]:
    (task_id,) = sandbox.make(1)
    headers = {
        "Authorization": f"Bearer {SANDBOX_KEY}",
        "User-Agent": AGENT,
        "Accept-Encoding": "gzip",
    }
    address = f"{sandbox.url}/api/v1/runway/record-detail"
    client = KieClient(
        SecretStr(SANDBOX_KEY), api_url=sandbox.url, upload_url=sandbox.url, user_agent=AGENT
    )
    async with client, httpx.AsyncClient(headers=headers, timeout=WITHIN_S) as http:

        async def through() -> None:
            assert await client.look_up(TaskKind.GENERATE, task_id) is not None

        async def plain() -> None:
            answer = await http.get(address, params={"taskId": task_id})
            assert answer.json()["code"] == 200

        for call in (through, plain):  # opens the connections
            await _timed(call)
        pairs = [(await _timed(through), await _timed(plain)) for _ in range(calls)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


async def _timed(call: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began
