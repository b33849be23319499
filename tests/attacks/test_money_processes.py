"""Real server processes that lose their client, are ended, or share a ledger: one payment."""

import signal
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.journeys.processes import Standalone, standalone_sandbox
from tests.wire import RAW_ERAS, WITHIN_S, RawEra, Wire

from kie_runway.submit import LIMIT

ANSWER_S = 2.0
WINDOW_MS = LIMIT.window_s * 1000
PROMPT = "a paper boat"


@pytest.fixture(name="kie")
def _kie() -> Generator[Standalone]:
    with standalone_sandbox() as sandbox:
        yield sandbox


def rows(home: Path) -> list[tuple[str, str | None]]:
    """State and task id of every task in the ledger."""
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        found: list[tuple[str, str | None]] = ledger.execute(
            "SELECT state, task_id FROM entries"
        ).fetchall()
    return found


def turns(home: Path) -> list[int]:
    """When each request got its turn, in milliseconds."""
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        found = ledger.execute("SELECT at FROM events WHERE to_state = 'submitting' ORDER BY at")
        return [at for (at,) in found]


def paid(kie: Standalone) -> list[str]:
    return [event["task_id"] for event in kie.events("create")]


def begin(wire: Wire, kie: Standalone) -> None:
    """Get a paid request under way: KIE has made the task and takes its time to say so."""
    kie.inject("slow_head", "runway/generate", seconds=ANSWER_S)
    wire.open()
    wire.ask_tool("generate_video", prompt=PROMPT, request_id="one")
    kie.await_event("create")


def leave(wire: Wire) -> None:
    """The client is gone: both pipes are cut, and nobody will ever read the answer."""
    for pipe in (wire.process.stdin, wire.process.stdout):
        assert pipe is not None
        pipe.close()
    wire.process.wait(60)


def terminate(wire: Wire) -> None:
    wire.process.send_signal(signal.SIGTERM)
    wire.end()


@pytest.mark.parametrize("era", RAW_ERAS)
@pytest.mark.parametrize("end", [leave, terminate], ids=["client gone", "SIGTERM"])
def test_a_request_under_way_is_recorded_and_a_repeat_pays_nothing(
    kie: Standalone, tmp_path: Path, era: RawEra, end: Callable[[Wire], None]
) -> None:
    with Wire(era=era, env=kie.env) as wire:
        begin(wire, kie)
        end(wire)
    recorded = rows(tmp_path / "home")
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        named = wire.tool("generate_video", prompt=PROMPT, request_id="one")
        unnamed = wire.tool("generate_video", prompt=PROMPT)

    assert recorded == [("wait", paid(kie)[0])]
    for repeat in (named, unnamed):
        assert repeat["deduplicated"] is True
        assert [repeat["task_id"]] == paid(kie)


def test_two_processes_on_one_ledger_pay_once_for_one_request_id(
    kie: Standalone, tmp_path: Path
) -> None:
    kie.inject("slow_head", "runway/generate", seconds=ANSWER_S)
    with Wire(env=kie.env) as one, Wire(env=kie.env) as two:
        one.open()
        two.open()
        numbers = [
            (wire, wire.ask_tool("generate_video", prompt=PROMPT, request_id="one"))
            for _ in range(10)
            for wire in (one, two)
        ]
        tasks = [wire.content(number) for wire, number in numbers]
        seen = [wire.tool("get_task", task_id="one", wait_seconds=1) for wire in (one, two)]

    assert len(paid(kie)) == 1
    assert {task["request_id"] for task in tasks} == {"one"}
    assert {task["state"] for task in tasks} <= {"submitting", "wait"}
    assert [task["task_id"] for task in seen] == paid(kie) * 2
    assert len(rows(tmp_path / "home")) == 1


def test_two_processes_on_one_ledger_pay_once_for_identical_calls_without_an_id(
    kie: Standalone, tmp_path: Path
) -> None:
    with Wire(env=kie.env) as one, Wire(env=kie.env) as two:
        one.open()
        two.open()
        numbers = [
            (wire, wire.ask_tool("generate_video", prompt=PROMPT))
            for _ in range(10)
            for wire in (one, two)
        ]
        tasks = [wire.content(number) for wire, number in numbers]

    assert len(paid(kie)) == 1
    assert len({task["request_id"] for task in tasks}) == 1
    assert len(rows(tmp_path / "home")) == 1


def test_two_processes_on_one_ledger_keep_kies_limit_together(
    kie: Standalone, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(env=kie.env)) for _ in range(2)]
        for wire in wires:
            wire.open()
        for number in range(15):
            for index, wire in enumerate(wires):
                wire.ask_tool("generate_video", prompt=f"boat {number} of {index}")
        deadline = time.monotonic() + WITHIN_S
        while len(paid(kie)) < LIMIT.creates or len(rows(tmp_path / "home")) < 30:
            assert time.monotonic() < deadline
        for wire in wires:
            wire.close_stdin()
        for wire in wires:
            wire.end()
    at = turns(tmp_path / "home")
    made = len(paid(kie))
    states = [state for state, _ in rows(tmp_path / "home")]

    assert (states.count("wait"), states.count("queued")) == (made, 30 - made)
    # When a request left its process, and arrived, is up to the machine.
    assert all(
        late - early >= WINDOW_MS for early, late in zip(at, at[LIMIT.creates :], strict=False)
    )


def test_a_process_whose_ledger_another_one_holds_for_long_sends_nothing_twice(
    kie: Standalone, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with Wire(env=kie.env) as wire:
        wire.open()
        wire.tool("list_tasks")
        with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            number = wire.ask_tool("generate_video", prompt=PROMPT, request_id="one")
            wire.call("ping")  # the call before it has been taken up
            held = paid(kie)
            other.execute("ROLLBACK")
        task = wire.content(number)
        if "error" in task:  # it was held for too long
            task = wire.tool("generate_video", prompt=PROMPT, request_id="one")

    assert not held
    assert [task["task_id"]] == paid(kie)
