"""The stdio server as a process: what it writes, and how it ends."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.processes import Standalone
from tests.wire import COMMAND, RawEra, Wire

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def started(wire: Wire) -> dict[str, Any]:
    return wire.tool("generate_video", prompt="a paper boat")


def waiting(wire: Wire, task: dict[str, Any]) -> int:
    """A wait that has begun; returns its request's number."""
    number = wire.ask_tool("get_task", progress=True, task_id=task["task_id"], wait_seconds=45)
    assert wire.notification("notifications/progress")["params"]["progressToken"] == number
    return number


def is_open(ledger: Path) -> bool:
    """Whether somebody left the ledger without closing it: SQLite then keeps its log file."""
    return ledger.with_name("ledger.db-wal").exists()


def test_stdout_carries_json_rpc_only(era: RawEra, kie: Standalone) -> None:
    with Wire(era=era, env=kie.env | {"KIE_LOG_LEVEL": "DEBUG"}) as wire:
        wire.open()
        wire.call("tools/list")
        task = started(wire)
        waiting(wire, task)
        wire.write_raw(b"no json\n")
        assert "error" in wire.answer(wire.ask("no/such/method"))
        wire.tool("list_tasks")
        wire.close_stdin()
        wire.end()

    assert len(wire.lines) >= 6
    assert [json.loads(line)["jsonrpc"] for line in wire.lines] == ["2.0"] * len(wire.lines)


def test_the_end_of_stdin_ends_the_process(era: RawEra, kie: Standalone, tmp_path: Path) -> None:
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        waiting(wire, started(wire))
        assert is_open(tmp_path / "home" / "ledger.db")
        wire.close_stdin()
        code = wire.end()

    assert code == 0
    assert not is_open(tmp_path / "home" / "ledger.db")


def test_the_end_of_stdin_before_any_message_ends_the_process() -> None:
    with Wire() as wire:
        wire.close_stdin()

        assert wire.end() == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_process_and_cleans_up(
    number: signal.Signals, era: RawEra, kie: Standalone, tmp_path: Path
) -> None:
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        started(wire)
        wire.process.send_signal(number)
        code = wire.end()

    assert code == 0
    assert not is_open(tmp_path / "home" / "ledger.db")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_wait_and_the_next_process_takes_the_task_up(
    number: signal.Signals, era: RawEra, kie: Standalone, tmp_path: Path
) -> None:
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        task = started(wire)
        waiting(wire, task)
        wire.process.send_signal(number)
        code = wire.end()
    assert code == 0
    assert not is_open(tmp_path / "home" / "ledger.db")
    kie.finish(task["task_id"])
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        done = wire.tool("get_task", task_id=task["task_id"])

    assert done["state"] == "success"


def test_a_signal_takes_the_embedded_sandbox_down_with_its_files(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Wire((*COMMAND, "serve", "--sandbox"), env={"TMPDIR": str(scratch)}) as wire:
        wire.open()
        started(wire)
        assert list(scratch.iterdir())
        wire.process.send_signal(signal.SIGTERM)
        code = wire.end()

    assert code == 0
    assert not list(scratch.iterdir())


def test_two_servers_share_one_ledger(kie: Standalone, tmp_path: Path) -> None:
    with Wire(env=kie.env) as one, Wire(era="modern", env=kie.env) as two:
        one.open()
        two.open()
        task = one.tool("generate_video", prompt="a boat", request_id="shared")
        again = two.tool("generate_video", prompt="a boat", request_id="shared")

    assert again["deduplicated"]
    assert again["task_id"] == task["task_id"]
    with closing(sqlite3.connect(tmp_path / "home" / "ledger.db")) as ledger:
        assert ledger.execute("SELECT count(*) FROM entries").fetchone() == (1,)
