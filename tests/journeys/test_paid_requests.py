"""A server that has to end while KIE is still answering a paid request."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import cast

import httpx
import pytest
from tests.journeys.held import PATIENCE_S, HeldKie, held_kie
from tests.journeys.processes import HttpServer, RawHttp, await_line, http_server
from tests.wire import COMMAND, META, RAW_ERAS, WITHIN_S, RawEra, Wire

GRACE_IS_OVER = r"(graceful shutdown exceeded)"
FULL = Path("/dev/full")
PROMPT = "a paper boat"
PAID = {"prompt": PROMPT, "request_id": "boat"}


@pytest.fixture(name="kie")
def _kie() -> Generator[HeldKie]:
    with held_kie() as kie:
        yield kie


def close_stdin(wire: Wire) -> None:
    wire.close_stdin()


def terminate(wire: Wire) -> None:
    wire.process.send_signal(signal.SIGTERM)


def interrupt(wire: Wire) -> None:
    wire.process.send_signal(signal.SIGINT)


def end_as_clients_do(wire: Wire) -> None:
    wire.close_stdin()
    with pytest.raises(subprocess.TimeoutExpired):
        wire.process.wait(PATIENCE_S)
    wire.process.send_signal(signal.SIGTERM)


def terminate_twice(wire: Wire) -> None:
    """As a supervisor does that loses patience."""
    terminate(wire)
    await_stop(wire)
    terminate(wire)


def interrupt_and_terminate(wire: Wire) -> None:
    """Ctrl-C in a terminal reaches the server too, and then its client ends it."""
    interrupt(wire)
    await_stop(wire)
    terminate(wire)


def terminate_and_hang_up(wire: Wire) -> None:
    terminate(wire)
    await_stop(wire)
    wire.process.send_signal(signal.SIGHUP)


def await_stop(wire: Wire) -> None:
    """Return once a signal has been taken: the call under way is then refused."""
    assert any("error" in message for message in wire.messages())


ENDINGS = (
    *(close_stdin, terminate, interrupt, end_as_clients_do),
    *(terminate_twice, interrupt_and_terminate, terminate_and_hang_up),
)


def send(wire: Wire, kie: HeldKie) -> int:
    """
    Get a paid request under way: KIE has made the task and does not say so yet.

    Returns the number of the call that pays.
    """
    wire.open()
    paying = wire.ask_tool("generate_video", prompt=PROMPT, request_id="boat")
    kie.await_event("create")
    return paying


def row(home: Path) -> tuple[str, str | None]:
    """State and task id of the one task in the ledger."""
    return cast("tuple[str, str | None]", query(home, "SELECT state, task_id FROM entries"))


def the_one_paid(kie: HeldKie) -> tuple[str, str]:
    """How the row of what KIE booked, and booked once, has to look."""
    (paid,) = kie.events("create")
    return "wait", paid["task_id"]


def query(home: Path, statement: str) -> object:
    with closing(sqlite3.connect(home / "ledger.db")) as ledger, ledger:
        return ledger.execute(statement).fetchone()


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("era", RAW_ERAS)
@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
def test_a_paid_request_under_way_is_drained_and_recorded(
    end: Callable[[Wire], None], era: RawEra, kie: HeldKie, tmp_path: Path
) -> None:
    with Wire(era=era, env=kie.env) as wire:
        send(wire, kie)
        end(wire)
        kie.answer_while_draining(wire.process)
        code = wire.end()
    recorded = row(tmp_path / "home")
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        listed = wire.tool("list_tasks")["tasks"]
        again = wire.tool("generate_video", **PAID)

    paid = [event["task_id"] for event in kie.events("create")]
    assert code == 0
    assert recorded == ("wait", paid[0])
    assert [task["task_id"] for task in listed] == paid
    assert again["deduplicated"]
    assert len(paid) == 1


@pytest.fixture(name="terminal")
def _terminal() -> Generator[None]:
    """Hang-ups count, also where these tests run under `nohup`, which children inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def cancel(wire: Wire, paying: int) -> None:
    params = {"requestId": paying}
    wire.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


def write_on(wire: Wire, paying: int) -> None:
    """What a client may still send: a ping, its cancellation, one more video, and rubbish."""
    wire.ask("ping")
    cancel(wire, paying)
    wire.ask_tool("generate_video", prompt="another boat", request_id="late")
    wire.write_raw(b"no json\n[]\n\xff\n")
    wire.ask("ping")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("era", RAW_ERAS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_that_arrives_after_a_signal_cuts_the_drain_short(
    number: signal.Signals, era: RawEra, kie: HeldKie, tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    with Wire(era=era, env=kie.env, stderr=log) as wire:
        paying = send(wire, kie)
        wire.process.send_signal(number)
        assert wire.answer(paying)["error"]["message"] == "Connection closed"
        write_on(wire, paying)
        kie.answer_while_draining(wire.process)
        code = wire.end()

    assert code == 0
    assert row(tmp_path / "home") == the_one_paid(kie)
    assert b"Traceback" not in log.read_bytes()


@pytest.mark.parametrize("era", RAW_ERAS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_arrives_with_a_signal_does_not_cut_the_drain_short_either(
    number: signal.Signals, era: RawEra, kie: HeldKie, tmp_path: Path
) -> None:
    """The agent got the same Ctrl-C; what it writes may come just before ours or just after."""
    log = tmp_path / "stderr"
    with Wire(era=era, env=kie.env, stderr=log) as wire:
        paying = send(wire, kie)
        for _ in range(20):
            wire.ask("ping")
        wire.process.send_signal(number)
        for _ in range(20):
            wire.ask("ping")
        cancel(wire, paying)
        kie.answer_while_draining(wire.process)
        code = wire.end()

    assert code == 0
    assert row(tmp_path / "home") == the_one_paid(kie)
    assert b"Traceback" not in log.read_bytes()


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full is Linux")
def test_a_failure_of_the_sdk_does_not_cut_the_drain_short(kie: HeldKie, tmp_path: Path) -> None:
    """Writing an answer fails, which takes everything down that the SDK runs."""
    call = {"name": "generate_video", "arguments": PAID, "_meta": META}
    with (
        FULL.open("wb") as full,
        subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=full,
            stderr=subprocess.DEVNULL,
            env=os.environ | kie.env,
            bufsize=0,
        ) as server,
    ):
        assert server.stdin is not None
        server.stdin.write(request(1, "tools/call", call))
        kie.await_event("create")
        server.stdin.write(request(2, "server/discover", {"_meta": META}))
        kie.answer_while_draining(server)
        code = server.wait(WITHIN_S)

    assert code == 1
    assert row(tmp_path / "home") == the_one_paid(kie)


def request(number: int, method: str, params: Mapping[str, object]) -> bytes:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(message).encode() + b"\n"


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("era", RAW_ERAS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_http_server_drains_too(
    number: signal.Signals, era: RawEra, kie: HeldKie, tmp_path: Path
) -> None:
    with http_server(env=kie.env) as server, RawHttp(server.url, era) as http:
        http.open()
        http.begin_tool("generate_video", PAID)
        kie.await_event("create")
        server.process.send_signal(number)
        await_line(server.process.stderr, GRACE_IS_OVER)
        kie.answer_while_draining(server.process)
        code = server.process.wait(WITHIN_S)
        assert server.process.stderr is not None
        log = server.process.stderr.read()

    assert code == 0
    assert row(tmp_path / "home") == the_one_paid(kie)
    assert b"Traceback" not in log


def await_refusal(server: HttpServer) -> None:
    """Return once the server takes no more connections."""
    deadline = time.monotonic() + WITHIN_S
    with suppress(httpx.TransportError):
        while time.monotonic() < deadline:
            httpx.get(f"{server.base}/health", timeout=WITHIN_S)
        pytest.fail(f"it still answers after {WITHIN_S:g} s")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("era", RAW_ERAS)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGHUP),
    ],
)
def test_a_second_signal_does_not_cut_the_http_servers_drain_short(
    first: signal.Signals, second: signal.Signals, era: RawEra, kie: HeldKie, tmp_path: Path
) -> None:
    with http_server(env=kie.env) as server, RawHttp(server.url, era) as http:
        http.open()
        http.begin_tool("generate_video", PAID)
        kie.await_event("create")
        server.process.send_signal(first)
        await_refusal(server)
        server.process.send_signal(second)  # while connections have their grace
        await_line(server.process.stderr, GRACE_IS_OVER)
        server.process.send_signal(second)  # while the paid request is drained
        kie.answer_while_draining(server.process)
        assert server.process.stderr is not None
        log = server.process.stderr.read()
        code = server.process.wait(WITHIN_S)

    assert code == 0
    assert row(tmp_path / "home") == the_one_paid(kie)
    assert b"Traceback" not in log


@pytest.mark.parametrize("era", RAW_ERAS)
def test_a_second_ctrl_c_ends_the_drain_and_loses_only_the_answer(
    era: RawEra, kie: HeldKie, tmp_path: Path
) -> None:
    with Wire(era=era, env=kie.env) as wire:
        send(wire, kie)
        interrupt(wire)
        await_stop(wire)
        interrupt(wire)
        code = wire.end()

    assert code != 0  # the signal, or the exception that it raised wherever Python just was
    assert row(tmp_path / "home") in [("unknown", None), ("submitting", None)]
    assert len(kie.events("create")) == 1


@pytest.mark.parametrize("era", RAW_ERAS)
def test_a_killed_process_leaves_an_unknown_task_that_is_never_sent_again(
    era: RawEra, kie: HeldKie, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with Wire(era=era, env=kie.env) as wire:
        send(wire, kie)
        wire.process.kill()
        wire.process.wait()
    killed = row(home)
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        leased = wire.tool("generate_video", **PAID)
    # Its lease, two minutes, might still belong to a living process; let it be over.
    query(home, "UPDATE entries SET lease_until = 1")
    with Wire(era=era, env=kie.env) as wire:
        wire.open()
        seen = wire.tool("get_task", task_id="boat")
        again = wire.tool("generate_video", **PAID)
        unnamed = wire.tool("generate_video", prompt=PROMPT)

    assert killed == ("submitting", None)
    assert leased["state"] == "submitting"
    for answer in (seen, again, unnamed):
        assert answer["state"] == "unknown"
        assert answer["request_id"] == "boat"
        assert "may have been charged" in answer["next"]
    assert len(kie.events("create")) == 1
