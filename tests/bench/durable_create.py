"""What writing a paid request down adds to sending it."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.report import Row, Section, at_most, spread
from tests.bench.sandbox import BenchSandbox

from kie_runway.models import GenerateRequest, TaskState
from kie_runway.opening import open_app
from kie_runway.pace import Pace

TARGET_MS = 2.0


def durable_create(sandbox: BenchSandbox, creates: int) -> Section:
    """`Submitter.start` against what it sends alone."""
    with TemporaryDirectory(prefix="kie-bench-") as home:
        rounds = asyncio.run(_measure(sandbox, Path(home), creates))
    durable, sent, alone, bare = ([took[kind] for took in rounds] for kind in range(4))
    ledger_ms = 1e3 * median(took[0] - took[1] for took in rounds)
    all_ms = 1e3 * median(took[0] - took[2] for took in rounds)
    return Section(
        "Durable create",
        "`Submitter.start` (look at the balance; commit the intent, `submitting`, `accepted`) "
        "against the requests that it sends, without a ledger, in turn. Each commit is on the "
        "disk before the next step, so the disk has its share: bare SQLite shows it.",
        [
            spread("Submitter.start", durable, "µs"),
            spread("KieClient.credits and create", sent, "µs"),
            spread("KieClient.create alone", alone, "µs"),
            spread("three commits of one row each, bare SQLite", bare, "µs"),
            at_most("the ledger adds, median of differences", ledger_ms, TARGET_MS, " ms"),
            Row("ledger and balance add, median of differences", f"{all_ms:,.2f} ms"),
            Row("ratio to create alone", f"{median(durable) / median(alone):.2f}"),
        ],
    )


async def _measure(sandbox: BenchSandbox, home: Path, creates: int) -> list[list[float]]:
    """Seconds of the four, by rounds."""
    unhurried = Pace(scale=1000.0)  # the tracker looks at nothing meanwhile
    settings = sandbox.settings(home)
    async with open_app(settings, unhurried) as app:
        database = sqlite3.connect(settings.home_dir / "bare.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"):
            database.execute(statement)
        database.execute("CREATE TABLE rows (number INTEGER)")
        request = GenerateRequest(prompt="a paper boat", aspect_ratio="16:9")

        async def durable(number: int) -> None:
            # An account of its own each time: the ledger's rate limit is not measured.
            opened = await app.submitter.start(f"account {number}", request, None)
            assert opened.entry.state is TaskState.WAIT

        async def sent(_: int) -> None:
            await app.client.credits()
            await app.client.create(request)

        async def alone(_: int) -> None:
            await app.client.create(request)

        async def bare(number: int) -> None:
            for _ in range(3):
                database.execute("INSERT INTO rows VALUES (?)", (number,))

        kinds = (durable, sent, alone, bare)
        with closing(database):
            for make in kinds:  # opens the connections
                await make(-1)
            return [[await _timed(make, number) for make in kinds] for number in range(creates)]


async def _timed(make: Callable[[int], Awaitable[None]], number: int) -> float:
    began = time.perf_counter()
    await make(number)
    return time.perf_counter() - began
