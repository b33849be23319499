"""A process that stands still while an answer arrives: Ctrl-Z, a sleeping laptop, a frozen VM."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

import anyio
import pytest
from tests.server.kie_stub import GENERATE, client, says_nothing, stub
from tests.sockets import envelope, http, sends

from kie_runway import exchange, patience
from kie_runway.errors import OutcomeUnknownError

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

TICK_S = 0.3
WITHIN_S = 60.0
LONG_TICK_S = WITHIN_S  # longer than it takes to ask, and to read an answer that is there
TICKS = pytest.mark.parametrize("ticks", [1, 3], ids=["one tick, the last", "three ticks"])
ANSWER = http(envelope({"taskId": "t-1"}))
PROCESS = """
import asyncio, signal, sys
from tests.server.kie_stub import GENERATE, client
from pytest import MonkeyPatch
from tests.server.test_paused import Pause
from kie_runway import exchange, patience

async def create() -> None:
    pause = Pause(MonkeyPatch())
    signal.signal(signal.SIGCONT, lambda *_: pause.end(float(sys.argv[4])))
    async with client(sys.argv[1], deadline_s=float(sys.argv[2])) as kie:
        print(await kie.create(GENERATE))

exchange.CONNECT_TIMEOUT_S = patience.TICK_S = float(sys.argv[3])
asyncio.run(create())
"""


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TICK_S", TICK_S)


class Pause:
    """
    A short pause of the running event loop that seems long afterwards.

    As after one that was, time is over before the loop sees what arrived: a wait for sockets that
    was interrupted for too long ends with nothing.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        selector: Any = vars(loop)["_selector"]
        self._time, self._select = loop.time, selector.select
        self._lasted_s = 0.0
        self._has_just_ended = False
        patch.setattr(loop, "time", self._now)
        patch.setattr(selector, "select", self._wait)

    def end(self, after_s: float) -> None:
        self._lasted_s, self._has_just_ended = after_s, True

    def _now(self) -> float:
        return self._time() + self._lasted_s

    def _wait(self, timeout: float | None) -> Sequence[object]:
        found: Sequence[object] = self._select(timeout)
        if self._has_just_ended:
            self._has_just_ended, found = False, ()
        return found


class Peer:
    """Takes one request in a thread of its own, and answers it when it may."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.answered = threading.Event()

    def serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(WITHIN_S)
            request = b""
            while not request.endswith(b"}"):
                piece = connection.recv(65536)
                assert piece, "who asks went away"
                request += piece
            self.asked.set()
            if self.may_answer.wait(WITHIN_S):
                connection.sendall(ANSWER)
                self.answered.set()

    def answer(self) -> None:
        """Return with the answer in the socket of whoever asked."""
        self.may_answer.set()
        assert self.answered.wait(WITHIN_S)


@pytest.fixture(name="peer")
def _peer() -> Generator[Peer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WITHIN_S)
        peer = Peer(listener)
        thread = threading.Thread(target=peer.serve)
        thread.start()
        yield peer
        peer.may_answer.set()
        thread.join()


@TICKS
async def test_an_answer_that_arrived_while_the_loop_stood_still_is_taken(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, ticks: int
) -> None:
    monkeypatch.setattr(patience, "TICK_S", LONG_TICK_S)
    pause = Pause(monkeypatch)

    async def stand_still() -> None:
        await asyncio.to_thread(peer.asked.wait, WITHIN_S)
        peer.answer()  # nothing else runs meanwhile
        pause.end((ticks + 2) * LONG_TICK_S)

    async with client(peer.url, deadline_s=ticks * LONG_TICK_S) as kie:
        task_id, _ = await asyncio.gather(kie.create(GENERATE), stand_still())

    assert task_id == "t-1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process")
@TICKS
def test_an_answer_that_arrived_while_the_process_was_stopped_is_taken(
    peer: Peer, ticks: int
) -> None:
    times = (ticks * LONG_TICK_S, LONG_TICK_S, (ticks + 2) * LONG_TICK_S)
    command = [sys.executable, "-c", PROCESS, peer.url, *map(str, times)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert peer.asked.wait(WITHIN_S)
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            peer.answer()
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()

    assert (out, err) == ("t-1\n", "")


async def test_no_read_time_out_ends_a_paid_request_before_its_deadline(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "READ_TIMEOUT_S", 0.01)

    async def answer_late() -> None:
        await asyncio.to_thread(peer.asked.wait, WITHIN_S)
        await asyncio.sleep(0.1)
        peer.may_answer.set()

    async with client(peer.url) as kie:
        task_id, _ = await asyncio.gather(kie.create(GENERATE), answer_late())

    assert task_id == "t-1"


@TICKS
@pytest.mark.parametrize(
    "reply",
    [
        says_nothing,
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", forever=b" "),
    ],
    ids=["silence", "one byte at a time"],
)
async def test_the_deadline_holds_for_a_process_that_runs(reply: Any, ticks: int) -> None:
    loop, deadline_s = asyncio.get_running_loop(), ticks * TICK_S
    async with stub(reply) as peer, client(peer.url, deadline_s=deadline_s) as kie:
        began = loop.time()
        with pytest.raises(OutcomeUnknownError), anyio.fail_after(WITHIN_S):
            await kie.create(GENERATE)
        took_s = loop.time() - began

    assert took_s >= deadline_s
    assert len(peer.requests) <= 1  # none: the deadline passed before it was there


async def test_a_deadline_ends_after_a_pause_as_well() -> None:
    """Nothing came meanwhile, and what is left of the time passes as ever."""
    with pytest.raises(TimeoutError), anyio.fail_after(WITHIN_S):
        async with patience.patience(3 * TICK_S):
            time.sleep(5 * TICK_S)  # noqa: ASYNC251 - the loop has to stand still
            await asyncio.Event().wait()


async def test_a_block_that_ended_is_left_alone() -> None:
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    try:
        async with patience.patience(TICK_S):
            pass
        with pytest.raises(ValueError, match="ours"):
            async with patience.patience(TICK_S):
                raise ValueError("ours")
        await asyncio.sleep(2 * TICK_S)
    finally:
        loop.set_exception_handler(None)

    assert faults == []
