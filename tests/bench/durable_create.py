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

from kie_runway.leases import LEASE
from kie_runway.ledger.records import Intent, Transition
from kie_runway.models import GenerateRequest, TaskState
from kie_runway.opening import open_app
from kie_runway.pace import Pace
from kie_runway.submit import LIMIT

TARGET_MS = 2.0


def durable_create(sandbox: BenchSandbox, creates: int) -> Section:
    """`Submitter.start` against what it sends alone."""
    with TemporaryDirectory(prefix="kie-bench-") as home:
        rounds = asyncio.run(_measure(sandbox, Path(home), creates))
    durable, sent, alone, bare, written = ([took[kind] for took in rounds] for kind in range(5))
    added_ms = 1e3 * median(took[0] - took[1] for took in rounds)
    all_ms = 1e3 * median(took[0] - took[2] for took in rounds)
    over_bare_ms = 1e3 * median(took[4] - took[3] for took in rounds)
    return Section(
        "Durable create",
        "`Submitter.start` (look at the balance; commit the intent, `submitting`, `accepted`) "
        "against the requests that it sends, without a ledger, in turn. Each commit is on the "
        "disk before the next step, so the disk has its share: bare SQLite shows it. The target is "
        "for the ledger's own three steps.",
        [
            spread("Submitter.start", durable, "µs"),
            spread("KieClient.credits and create", sent, "µs"),
            spread("KieClient.create alone", alone, "µs"),
            spread("three commits of one row each, bare SQLite", bare, "µs"),
            at_most("the ledger's three steps", 1e3 * median(written), TARGET_MS, " ms"),
            Row("the same over bare SQLite's, median of differences", f"{over_bare_ms:,.2f} ms"),
            Row("all that Submitter adds, median of differences", f"{added_ms:,.2f} ms"),
            Row("all of that with the balance, median of differences", f"{all_ms:,.2f} ms"),
            Row("ratio to create alone", f"{median(durable) / median(alone):.2f}"),
        ],
    )


async def _measure(sandbox: BenchSandbox, home: Path, creates: int) -> list[list[float]]:
    """Seconds of each kind, by rounds."""
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

        async def written(number: int) -> None:
            arguments = request.model_dump(mode="json", exclude_none=True)
            now = app.clock.now()
            intent = Intent(
                account=f"bare account {number}",
                request_id="one",
                request_id_chosen=True,
                kind=request.kind,
                arguments=arguments,
                fingerprint="print",
            )
            entry = (await app.ledger.open_intent(intent, now=now, since=now)).entry
            turn = await app.ledger.take_turn(
                entry.id,
                owner="bench",
                lease=LEASE,
                limit=LIMIT,
                now=app.clock.now,
                changes={"arguments": arguments, "credits_before": 100.0},
            )
            assert turn.entry is not None
            accepted = Transition.accepted(entry.id, f"bare {number}", accepted_at=now, at=now)
            assert await app.ledger.transition(accepted) is not None

        kinds = (durable, sent, alone, bare, written)
        with closing(database):
            for make in kinds:  # opens the connections
                await make(-1)
            return [[await _timed(make, number) for make in kinds] for number in range(creates)]


async def _timed(make: Callable[[int], Awaitable[None]], number: int) -> float:
    began = time.perf_counter()
    await make(number)
    return time.perf_counter() - began
