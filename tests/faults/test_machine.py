"""
Any story at all: agents who repeat themselves, a KIE that answers badly, processes that die.

With `FAULT_EXAMPLES=2000` in the environment it runs for longer, with new stories each time.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,  # pyright: ignore[reportUnknownVariableType]
)
from tests.faults.books import token_hash
from tests.faults.evidence import token_of
from tests.faults.house import House, open_house
from tests.faults.rig import Process

from kie_runway_sandbox import Fault
from kie_runway_sandbox.faults import Endpoint
from kie_runway_sandbox.log import LogEntry

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "0"))
EXAMPLES_BY_DEFAULT = 50
STEPS = 16
PROCESSES_MAX = 2

T = TypeVar("T")

CREATE: Endpoint = "runway/generate"
# None of them lies: what says that nothing was made comes without anything being made.
AMBIGUOUS = (
    Fault("lost_answer", CREATE),
    Fault("reset_before", CREATE),
    Fault("cut_body", CREATE),
    Fault("truncated_json", CREATE),
    Fault("not_json", CREATE, processed=True),
    Fault("not_json", CREATE),
    Fault("html_502", CREATE, processed=True),
    Fault("html_502", CREATE),
    Fault("redirect", CREATE, processed=True),
    Fault("refuse", CREATE, processed=True, code=500),
    Fault("refuse", CREATE, processed=True, code=501, status=500),
    Fault("refuse", CREATE, processed=True, code=None, status=504),
    Fault("refuse", CREATE, processed=True, code=None, status=408),
    Fault("edit", CREATE, drop=("taskId",)),
)
SLOW = (Fault("slow_head", CREATE, seconds=0.01), Fault("slow_body", CREATE, seconds=0.0001))
REFUSED = tuple(
    Fault("refuse", CREATE, code=code, status=status)
    for code, status in (
        *((400, 200), (401, 401), (402, 200), (422, 200), (429, 429), (429, 200), (433, 200)),
        *((451, 200), (455, 200), (505, 200)),
    )
)
LOOK_UP = (
    Fault("html_502", "runway/record-detail"),
    Fault("lost_answer", "runway/record-detail"),
    Fault("reset_before", "chat/credit"),
)
FAULTS = st.none() | st.sampled_from(AMBIGUOUS) | st.sampled_from(REFUSED + SLOW + LOOK_UP)
POINTS = st.sampled_from(
    [
        f"{when} {what}"
        for what in (
            *("open_intent", "take_turn", "create", "transition", "receive", "look_up", "settle"),
            *("strand", "extend_leases", "take_look", "take"),
        )
        for when in ("before", "after")
    ]
)
NUMBERS = st.integers(0, 7)


class MoneyMachine(RuleBasedStateMachine):
    """Each rule is one thing that happens; after each, nothing may be broken."""

    def __init__(self, runner: asyncio.Runner, house: House, folder: Path) -> None:
        super().__init__()
        self._runner = runner
        self._home = Path(tempfile.mkdtemp(dir=folder))
        self._context = AsyncExitStack()
        self._intents: list[tuple[str, str | None]] = []
        self.rig = self._play(self._context.enter_async_context(house.run(self._home)))

    def _play(self, story: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(story)

    async def _process(self, number: int) -> Process:
        """One of the processes that are alive."""
        processes = self.rig.processes
        return processes[number % len(processes)] if processes else await self.rig.open()

    def _create(self, number: int) -> LogEntry:
        creates = self.rig.sandbox.log.select("create")
        return creates[number % len(creates)]

    def _has_creates(self) -> bool:
        return bool(self.rig.sandbox.log.select("create"))

    @initialize(faults=st.lists(FAULTS, min_size=2, max_size=4))
    def begin_with_work(self, faults: list[Fault | None]) -> None:
        for fault in faults:
            self._intents.append((f"boat {len(self._intents)}", f"request-{len(self._intents)}"))
            self._play(self._start(0, fault, None))

    @rule(number=NUMBERS, named=st.booleans(), fault=FAULTS, point=st.none() | POINTS)
    def start_something_new(
        self, number: int, named: bool, fault: Fault | None, point: str | None
    ) -> None:
        count = len(self._intents)
        self._intents.append((f"boat {count}", f"request-{count}" if named else None))
        self._play(self._start(number, fault, point))

    async def _start(self, number: int, fault: Fault | None, point: str | None) -> None:
        process = await self._process(number)
        if fault is not None:
            self.rig.sandbox.inject(fault)
        if point is not None:
            process.power.cut_at(point)
        await self.rig.generate(process, *self._intents[-1])

    @precondition(lambda self: self._intents)
    @rule(number=NUMBERS, which=NUMBERS, confirm=st.booleans())
    def repeat_a_call(self, number: int, which: int, confirm: bool) -> None:
        """Confirmed or not: it is too early for that to count."""
        intent = self._intents[which % len(self._intents)]

        async def repeat() -> None:
            process = await self._process(number)
            await self.rig.generate(process, *intent, confirm=confirm and intent[1] is not None)

        self._play(repeat())

    @precondition(lambda self: self._intents)
    @rule(number=NUMBERS, which=NUMBERS)
    def use_a_request_id_for_something_else(self, number: int, which: int) -> None:
        request_id = self._intents[which % len(self._intents)][1]
        prompt = f"another boat {len(self.rig.transcript.calls)}"

        async def start() -> None:
            await self.rig.generate(await self._process(number), prompt, request_id)

        if request_id is not None:
            self._play(start())

    @rule(number=NUMBERS)
    def go_away_during_the_call(self, number: int) -> None:
        count = len(self._intents)
        intent = (f"boat {count}", f"request-{count}")
        self._intents.append(intent)

        async def leave() -> None:
            await self.rig.leave_during(await self._process(number), *intent)

        self._play(leave())

    @rule(fault=FAULTS)
    def let_something_go_wrong(self, fault: Fault | None) -> None:
        if fault is not None:
            self.rig.sandbox.inject(fault)

    @rule(times=st.integers(1, 4))
    def let_kie_be_out_of_reach(self, times: int) -> None:
        self.rig.unreachable = times

    @rule(number=NUMBERS, point=POINTS)
    def let_a_process_die_later(self, number: int, point: str) -> None:
        async def light() -> None:
            (await self._process(number)).power.cut_at(point)

        self._play(light())

    @rule(number=NUMBERS)
    def kill_a_process(self, number: int) -> None:
        async def kill() -> None:
            await self.rig.kill(await self._process(number))

        self._play(kill())

    @rule(number=NUMBERS)
    def restart_a_process(self, number: int) -> None:
        async def restart() -> None:
            await self.rig.close(await self._process(number))
            await self.rig.open()

        self._play(restart())

    @precondition(lambda self: len(self.rig.processes) < PROCESSES_MAX)
    @rule()
    def open_another_process(self) -> None:
        self._play(self.rig.open())

    @precondition(_has_creates)
    @rule(which=NUMBERS, fail=st.booleans())
    def end_a_task(self, which: int, fail: bool) -> None:
        self._play(self.rig.end(self._create(which), fail=fail))

    @precondition(_has_creates)
    @rule(which=NUMBERS)
    def call_back_once_more_or_too_early(self, which: int) -> None:
        create = self._create(which)
        self._play(self._call_back(create, str(create.task_id)))

    @precondition(_has_creates)
    @rule(which=NUMBERS, named=NUMBERS)
    def forge_a_callback(self, which: int, named: int) -> None:
        """To a real address, naming another task; or to an address that is nobody's."""
        create, other = self._create(which), self._create(named)
        before = self.rig.evidence().ledger.rows
        if other is create:
            self._play(self._call_back(create, "0" * 32))
        else:
            self._play(self._call_back(create, str(other.task_id)))
        stranger = str(token_of(create))[::-1]
        self._play(self._call_back(create, str(create.task_id), token=stranger))

        evidence = self.rig.evidence()
        told = {(token_hash(paid), paid.task_id) for paid in evidence.kie.creates}
        moved = [row for row in evidence.ledger.rows if row not in before]
        # Meanwhile a true one may have been believed that had come before.
        assert {(row.callback_hash, row.task_id) for row in moved} <= told

    async def _call_back(self, create: LogEntry, task_id: str, token: str | None = None) -> None:
        url = str(create.details["body"]["callBackUrl"])
        if token is not None:
            url = url.replace(str(token_of(create)), token)
        await self.rig.call_back(url, task_id)

    @precondition(lambda self: self._intents)
    @rule(number=NUMBERS, which=NUMBERS)
    def look_at_a_task(self, number: int, which: int) -> None:
        rows = self.rig.evidence().ledger.rows

        async def look() -> None:
            await self.rig.look(await self._process(number), rows[which % len(rows)].request_id)

        if rows:
            self._play(look())

    def _unclear(self) -> list[tuple[str, str]]:
        """Prompts and chosen request_ids of what may have been paid for nothing."""
        rows = self.rig.evidence().ledger.rows
        unclear = {row.prompt for row in rows if row.state == "unknown"}
        return [(prompt, name) for prompt, name in self._intents if name and prompt in unclear]

    @precondition(lambda self: bool(self._unclear()))
    @rule(number=NUMBERS, which=NUMBERS)
    def accept_a_second_charge(self, number: int, which: int) -> None:
        """After the time at which an unclear request has probably made nothing."""
        unclear = self._unclear()

        async def confirm() -> None:
            await self.rig.pass_time(50 * 60)
            process = await self._process(number)
            await self.rig.generate(process, *unclear[which % len(unclear)], confirm=True)

        self._play(confirm())

    @rule(seconds=st.sampled_from((1.0, 12.0, 40.0, 700.0)))
    def let_time_pass(self, seconds: float) -> None:
        self._play(self.rig.pass_time(seconds))

    @rule(seconds=st.sampled_from((-5000.0, -600.0, -20.0, 40.0, 5000.0)))
    def set_the_clock(self, seconds: float) -> None:
        self.rig.clock.set_by(timedelta(seconds=seconds))

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self.rig.check() == []

    def teardown(self) -> None:
        """Let all come to rest, and judge the whole story."""
        try:
            self._play(self.rig.settle())
            assert self.rig.check(settled=True) == []
        finally:
            self._play(self._context.aclose())
            shutil.rmtree(self._home)


def test_no_story_breaks_a_promise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    profile = settings(
        max_examples=EXAMPLES or EXAMPLES_BY_DEFAULT,
        stateful_step_count=STEPS,
        derandomize=not EXAMPLES,  # the short run is the same one each time
        database=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    with asyncio.Runner() as runner:
        context = AsyncExitStack()
        house = runner.run(context.enter_async_context(open_house(monkeypatch)))

        class Machine(MoneyMachine):
            def __init__(self) -> None:
                super().__init__(runner, house, tmp_path)

        try:
            run_state_machine_as_test(Machine, settings=profile)
        finally:
            runner.run(context.aclose())
