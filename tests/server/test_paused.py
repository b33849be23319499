"""A process that stands still while an answer arrives: Ctrl-Z, a sleeping laptop, a frozen VM."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import anyio
import pytest
from tests.server.kie_stub import GENERATE, client, says_nothing, stub
from tests.sockets import envelope, http, sends

from kie_runway import exchange, patience
from kie_runway.errors import OutcomeUnknownError

pytestmark = pytest.mark.anyio

TICK_S = 0.3
ONE_TICK = pytest.param(TICK_S, id="one tick, the last")
THREE_TICKS = pytest.param(3 * TICK_S, id="three ticks")
WITHIN_S = 10.0
ANSWER = http(envelope({"taskId": "t-1"}))
PROCESS = """
import asyncio, sys
from tests.server.kie_stub import GENERATE, client
from kie_runway import patience

async def create() -> None:
    async with client(sys.argv[1], deadline_s=float(sys.argv[2])) as kie:
        print(await kie.create(GENERATE))

patience.TICK_S = float(sys.argv[3])
asyncio.run(create())
"""


@pytest.fixture(autouse=True)
def _short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TICK_S", TICK_S)


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
                request += connection.recv(65536)
            self.asked.set()
            if self.may_answer.wait(WITHIN_S):
                connection.sendall(ANSWER)
                self.answered.set()

    def answer_during(self, pause_s: float) -> None:
        """Return after that long, with the answer in the socket of whoever asked."""
        ends_at = time.monotonic() + pause_s
        self.may_answer.set()
        assert self.answered.wait(WITHIN_S)
        time.sleep(max(0.0, ends_at - time.monotonic()))


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


@pytest.mark.parametrize("deadline_s", [ONE_TICK, THREE_TICKS])
async def test_an_answer_that_arrived_while_the_loop_stood_still_is_taken(
    peer: Peer, deadline_s: float
) -> None:
    async def stand_still() -> None:
        await asyncio.to_thread(peer.asked.wait, WITHIN_S)
        peer.answer_during(deadline_s + 2 * TICK_S)  # nothing else runs meanwhile

    async with client(peer.url, deadline_s=deadline_s) as kie:
        task_id, _ = await asyncio.gather(kie.create(GENERATE), stand_still())

    assert task_id == "t-1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process")
@pytest.mark.parametrize("deadline_s", [ONE_TICK, THREE_TICKS])
def test_an_answer_that_arrived_while_the_process_was_stopped_is_taken(
    peer: Peer, deadline_s: float
) -> None:
    command = [sys.executable, "-c", PROCESS, peer.url, f"{deadline_s}", f"{TICK_S}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert peer.asked.wait(WITHIN_S)
            process.send_signal(signal.SIGSTOP)
            peer.answer_during(deadline_s + 2 * TICK_S)
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


@pytest.mark.parametrize("deadline_s", [ONE_TICK, THREE_TICKS])
@pytest.mark.parametrize(
    "reply",
    [
        says_nothing,
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", forever=b" "),
    ],
    ids=["silence", "one byte at a time"],
)
async def test_the_deadline_holds_for_a_process_that_runs(reply: Any, deadline_s: float) -> None:
    loop = asyncio.get_running_loop()
    async with stub(reply) as peer, client(peer.url, deadline_s=deadline_s) as kie:
        began = loop.time()
        with pytest.raises(OutcomeUnknownError), anyio.fail_after(WITHIN_S):
            await kie.create(GENERATE)
        took_s = loop.time() - began

    assert took_s >= deadline_s
    assert len(peer.requests) == 1


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
