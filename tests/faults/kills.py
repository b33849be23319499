"""A journey during which the server's process dies, and what is left of it."""

import itertools
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

import anyio
import httpx
from tests.faults.driver import POINTS
from tests.faults.evidence import Evidence
from tests.faults.mortal import MortalServer
from tests.faults.stage import WISH, Stage, set_stage
from tests.support import KEY

from kie_runway.ledger.migrations import MIGRATIONS
from kie_runway_sandbox import Fault

OLD_WISH = {"prompt": "a kite", "request_id": "kite"}
UNHEARD = Fault("lost_answer", "runway/generate")
AGAIN_EVERY_S = 0.1
STEPS = 450  # of the event loop, about as many as a journey has
STATEMENTS = 90  # of the ledger, likewise
# Of opening a file, and of all steps but the first.
MIGRATION_STATEMENTS = 7 + sum(step.count(";") + 1 for step in MIGRATIONS[1:])

IN_CALLBACKS = tuple(point for point in POINTS if "callback" in point)
AT_RANDOM = ("statement", "step")
NAMED = tuple(point for point in POINTS if point not in (*IN_CALLBACKS, *AT_RANDOM))


@dataclass(frozen=True)
class Case:
    """
    One journey.

    Attributes:
        name: For the report.
        fuses: Where the processes die, one after the other.
        is_called_back: Whether callbacks are asked for.
        is_unheard: Whether the answer to the paid request gets lost.
        migrates: Whether the ledger is that of the first version, with a task under way.
        has_neighbour: Whether a process that lives works on the same ledger, for an agent that
            wants the same.
    """

    name: str
    fuses: tuple[tuple[str, int], ...]
    is_called_back: bool = False
    is_unheard: bool = False
    migrates: bool = False
    has_neighbour: bool = False

    def __str__(self) -> str:
        parts = [" then ".join(f"{at} ({passage})" for at, passage in self.fuses)]
        parts += ["called back"] * self.is_called_back + ["unheard"] * self.is_unheard
        parts += ["beside another"] * self.has_neighbour
        return ", ".join(parts)


def named_cases(*, has_neighbour: bool = False) -> list[Case]:
    """Every named point, with and without callbacks."""
    cases = [
        Case(point, ((point, 1),), is_called_back)
        for point in NAMED
        if point != "before the unknown commit"
        for is_called_back in (False, True)
    ]
    cases += [
        Case(point, ((point, 1),), is_called_back=True, is_unheard=True)
        for point in ("before the unknown commit", *IN_CALLBACKS)
    ]
    cases.append(
        Case("before the unknown commit", (("before the unknown commit", 1),), False, True)
    )
    return [replace(case, has_neighbour=has_neighbour) for case in cases]


def migration_cases(step: int = 1) -> list[Case]:
    """Every, or every so-manieth, statement of an opening that migrates."""
    return [
        Case("during a migration", (("statement", passage),), migrates=True)
        for passage in range(1, MIGRATION_STATEMENTS + 1, step)
    ]


def random_cases(random: Random, count: int) -> list[Case]:
    """Moments that nobody chose; some processes die twice."""

    def fuse() -> tuple[str, int]:
        point = random.choice(AT_RANDOM)
        return point, random.randint(1, STEPS if point == "step" else STATEMENTS)

    return [
        Case(
            "at a random moment",
            tuple(fuse() for _ in range(random.choice((1, 1, 2)))),
            is_called_back=random.random() < 0.6,
            is_unheard=random.random() < 0.3,
            has_neighbour=random.random() < 0.3,
        )
        for _ in range(count)
    ]


async def run(case: Case, folder: Path) -> tuple[Evidence, int]:
    """
    Play a journey to its end.

    Returns:
        What is to be judged, and how many processes were killed.
    """
    async with set_stage(
        folder,
        is_called_back=case.is_called_back,
        fuses=case.fuses,
        has_neighbour=case.has_neighbour,
    ) as stage:
        if case.migrates:
            await _leave_an_old_ledger(stage)
        if case.is_unheard:
            stage.sandbox.inject(UNHEARD)
        async with anyio.create_task_group() as beside:
            if stage.neighbour is not None:
                beside.start_soon(stage.play, partial(_live_beside, stage.neighbour))
            try:
                await stage.play(_migrated_journey if case.migrates else _journey)
            finally:
                stage.is_over.set()
        return stage.evidence(), stage.server.deaths


def _journey(stage: Stage) -> None:
    server = stage.server
    server.call("generate_video", **WISH)
    server.call("generate_video", **WISH)  # an agent's client may well have given up meanwhile
    stage.finish_all()
    if stage.follow(WISH["request_id"])["state"] == "success":
        server.call("save_video", task_id=WISH["request_id"])
    server.call("list_tasks")
    server.leave()


def _live_beside(neighbour: MortalServer, stage: Stage) -> None:
    """
    Want what the agent of the mortal server wants, again and again from when that one is sending
    or has died: sooner, and it might never come to the place where it is to die.
    """
    name = WISH["request_id"]
    while not stage.is_over.wait(AGAIN_EVERY_S):
        task = neighbour.call("get_task", task_id=name)
        if task.get("state", "queued") != "queued" or stage.server.deaths:
            task = neighbour.call("generate_video", **WISH)
        if task.get("state") == "success":
            neighbour.call("save_video", task_id=name)
    neighbour.leave()


def _migrated_journey(stage: Stage) -> None:
    stage.finish_all()
    stage.follow(OLD_WISH["request_id"])
    stage.server.call("save_video", task_id=OLD_WISH["request_id"])
    _journey(stage)


async def _leave_an_old_ledger(stage: Stage) -> None:
    """A ledger as the first version made it, with a task under way at KIE."""
    body = {"prompt": OLD_WISH["prompt"], "duration": 5, "quality": "720p", "aspectRatio": "16:9"}
    async with httpx.AsyncClient(trust_env=False) as kie:
        await kie.post(
            f"{stage.url}/api/v1/runway/generate",
            json=body,
            headers={"Authorization": f"Bearer {KEY}"},
        )
    (task,) = stage.sandbox.tasks
    stage.sightings.update(dict.fromkeys(stage.sightings, True))  # it was written down elsewhere
    at = int(task.created_at.timestamp() * 1000)
    arguments = {"prompt": OLD_WISH["prompt"], "duration": 5, "quality": "720p"}
    arguments["aspect_ratio"] = "16:9"
    with closing(sqlite3.connect(stage.ledger)) as db, db:
        db.executescript(MIGRATIONS[0])
        db.execute("PRAGMA user_version = 1")
        db.execute(
            "INSERT INTO entries (id, account, request_id, fingerprint, kind, state, arguments,"
            " credits, task_id, created_at, accepted_at)"
            " VALUES (1, 'local', ?, 'old', 'generate', 'wait', ?, 12, ?, ?, ?)",
            (OLD_WISH["request_id"], json.dumps(arguments), task.task_id, at, at),
        )
        states = (None, "queued", "submitting", "wait")
        for before, after in itertools.pairwise(states):
            db.execute(
                "INSERT INTO events (entry_id, account, at, from_state, to_state)"
                " VALUES (1, 'local', ?, ?, ?)",
                (at, before, after),
            )
