"""Callbacks to real processes: KIE calls, and whoever has the port tells the others."""

import re
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.journeys.processes import Standalone, reserved_port, standalone_sandbox
from tests.wire import COMMAND, WITHIN_S, Wire

HMAC_KEY = "hmac-key-of-this-journey"
LISTENS = r"listening for callbacks"
HAS_NO_PORT = r"the port for callbacks cannot be used"


@pytest.fixture(name="kie", scope="module")
def _kie() -> Generator[Standalone]:
    with standalone_sandbox() as sandbox:
        sandbox.switch(webhook_key=HMAC_KEY)
        yield sandbox


@pytest.fixture(name="port")
def _port() -> Generator[int]:
    with reserved_port() as port:
        yield port


def env(kie: Standalone, port: int) -> dict[str, str]:
    return kie.env | {
        "KIE_CALLBACK_URL": f"http://127.0.0.1:{port}",
        "KIE_WEBHOOK_HMAC_KEY": f"the-key-before, {HMAC_KEY}",
        "KIE_LOG_LEVEL": "DEBUG",
    }


def await_line(log: Path, pattern: str) -> None:
    """Wait until a process has logged something."""
    deadline = time.monotonic() + WITHIN_S
    while not re.search(pattern, text := log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, text


def begin_wait(wire: Wire, task_id: str) -> int:
    """A wait that has begun, and ends before the server would look by itself."""
    number = wire.ask_tool("get_task", progress=True, task_id=task_id, wait_seconds=45)
    wire.notification("notifications/progress")
    return number


def await_callback(kie: Standalone, task_id: str) -> str:
    """Wait until KIE has called for a task; the secret part of the address."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        for call in kie.events("callback"):
            if call["task_id"] == task_id and call["details"]["acknowledged"]:
                return str(call["details"]["url"]).rpartition("/")[2]
        assert time.monotonic() < deadline, kie.events("callback")


def test_a_signed_callback_ends_a_wait_and_no_secret_is_logged(
    kie: Standalone, port: int, tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    command = (*COMMAND, "serve", "--callbacks-port", str(port))
    with Wire(command, env=env(kie, port), stderr=log) as wire:
        wire.open()
        task = wire.tool("generate_video", prompt="a paper boat")
        await_line(log, LISTENS)
        waiting = begin_wait(wire, task["task_id"])
        kie.finish(task["task_id"])
        done = wire.content(waiting)
        token = await_callback(kie, task["task_id"])
        wire.close_stdin()
        code = wire.end()

    logged = log.read_text(encoding="utf-8")
    assert done["state"] == "success"
    assert code == 0
    assert token not in logged
    assert HMAC_KEY[:6] not in logged
    assert "KIE_CALLBACK_URL is set" not in logged


def test_the_process_that_has_the_port_receives_for_the_other(
    kie: Standalone, port: int, tmp_path: Path
) -> None:
    first_log, second_log = tmp_path / "first", tmp_path / "second"
    command = (*COMMAND, "serve", "--callbacks-port", str(port))
    with Wire(command, env=env(kie, port), stderr=first_log) as first:
        first.open()
        first.call("tools/list")
        await_line(first_log, LISTENS)
        with Wire(command, env=env(kie, port), stderr=second_log) as second:
            second.open()
            task = second.tool("generate_video", prompt="a paper boat")
            await_line(second_log, HAS_NO_PORT)
            waiting = begin_wait(second, task["task_id"])
            kie.finish(task["task_id"])
            done = second.content(waiting)
            await_callback(kie, task["task_id"])

    assert done["state"] == "success"
