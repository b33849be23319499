"""Callbacks to real processes: KIE calls, and whoever has the port tells the others."""

import re
import socket
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.journeys.processes import Standalone, standalone_sandbox
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
def _port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


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


def token_of(kie: Standalone, task_id: str) -> str:
    """The secret part of the address that KIE called for a task."""
    (call,) = [call for call in kie.events("callback") if call["task_id"] == task_id]
    assert call["details"]["result"] == "200"
    return str(call["details"]["url"]).rpartition("/")[2]


def test_a_signed_callback_ends_a_wait_and_no_secret_is_logged(
    kie: Standalone, port: int, tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    command = (*COMMAND, "serve", "--callbacks-port", str(port))
    with Wire(command, env=env(kie, port), stderr=log) as wire:
        wire.open()
        task = wire.tool("generate_video", prompt="a paper boat")
        await_line(log, LISTENS)
        kie.finish(task["task_id"])
        done = wire.tool("get_task", task_id=task["task_id"], wait_seconds=40)
        wire.close_stdin()
        code = wire.end()

    logged = log.read_text(encoding="utf-8")
    assert done["state"] == "success"
    assert code == 0
    assert token_of(kie, task["task_id"]) not in logged
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
            kie.finish(task["task_id"])
            done = second.tool("get_task", task_id=task["task_id"], wait_seconds=40)

    assert done["state"] == "success"
    assert token_of(kie, task["task_id"])
