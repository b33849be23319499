"""The fault runs in pieces, each of which a process of its own can do."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import anyio
from tests.faults import kills, storm, sweeps
from tests.faults.checker import summarize
from tests.faults.report import Report

INTENTS: Mapping[storm.Missed, int] = {"attempts": 10_000, "tasks": 1_250, "all": 1_250}
STORM = 250  # intents in one storm
WITHIN_S = 600.0  # one job; none takes this long unless it is broken

Job = Callable[[], Report]


def all_jobs(seed: str) -> Sequence[Job]:
    """The long run."""
    random = Random(seed)
    cases = [
        *kills.named_cases(),
        *kills.named_cases(has_neighbour=True),
        *kills.migration_cases(),
        *kills.random_cases(random, 110),
    ]
    return [
        *(
            partial(let_storm, f"{seed}-{missed}-{number}", STORM, missed, bursts=number % 2 == 1)
            for missed, intents in INTENTS.items()
            for number in range(intents // STORM)
        ),
        *(partial(kill, case) for case in cases),
        *(partial(sweep, name, unheard, 1) for name in sweeps.SWEEPS for unheard in (False, True)),
    ]


def quick_jobs(seed: str) -> Sequence[Job]:
    """A few of each."""
    random = Random(seed)
    cases = [
        *kills.named_cases()[::2],
        *kills.named_cases(has_neighbour=True)[1::2],
        *kills.migration_cases(8),
        *kills.random_cases(random, 10),
    ]
    return [
        partial(let_storm, seed, STORM // 2, "attempts"),
        partial(let_storm, f"{seed}-bursts", STORM // 2, "attempts", bursts=True),
        partial(let_storm, f"{seed}-all", STORM // 2, "all"),
        *(partial(kill, case) for case in cases),
        *(partial(sweep, name, unheard, 6) for name in sweeps.SWEEPS for unheard in (False, True)),
    ]


def let_storm(seed: str, intents: int, missed: storm.Missed, *, bursts: bool = False) -> Report:
    """One storm."""

    async def run(folder: Path) -> Report:
        evidence, tally = await storm.storm(
            folder, seed=seed, intents=intents, missed=missed, bursts=bursts
        )
        report = Report(kinds=tally.kinds, moments=tally.moments)
        report.parts[missed] += summarize(evidence, f"storm {seed}")
        return report

    return _in_folder(run)


def kill(case: kills.Case) -> Report:
    """One journey with kills."""

    async def run(folder: Path) -> Report:
        evidence, deaths = await kills.run(case, folder)
        report = Report()
        report.parts["killed"] += summarize(evidence, f"killed {case}")
        report.kills[case.name] += deaths
        report.kills_beside += deaths * case.has_neighbour
        return report

    return _in_folder(run)


def sweep(name: str, is_unheard: bool, step: int) -> Report:
    """One sweep over all operations of a journey."""

    async def run(folder: Path) -> Report:
        report = Report()
        async for number, evidence in sweeps.sweep(name, folder, is_unheard=is_unheard, step=step):
            report.parts["swept"] += summarize(evidence, f"{name}, number {number}, {is_unheard=}")
            report.sweeps[name] += 1
        return report

    return _in_folder(run)


def _in_folder(run: Callable[[Path], Awaitable[Report]]) -> Report:
    async def bounded(folder: Path) -> Report:
        with anyio.fail_after(WITHIN_S):
            return await run(folder)

    with TemporaryDirectory(prefix="kie-faults-") as folder:
        os.environ["KIE_HOME"] = str(Path(folder, "nobodys"))
        return anyio.run(bounded, Path(folder))


def be_quiet() -> None:
    """What fails here is meant to; the servers' logs would say so thousands of times."""
    logging.disable(logging.CRITICAL)
