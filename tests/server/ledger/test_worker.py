"""Work in a thread of its own."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from kie_runway.errors import LedgerError
from kie_runway.ledger.worker import Worker

pytestmark = pytest.mark.anyio
WITHIN_S = 60


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("a worker")
    yield worker
    worker.end()


async def test_work_is_done_in_turn_by_one_thread(worker: Worker) -> None:
    done: list[int] = []
    asked = [worker.run(partial(done.append, number)) for number in range(100)]
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*asked)
        names = {await worker.run(lambda: threading.current_thread().name) for _ in range(3)}

    assert done == list(range(100))
    assert names == {"a worker"}


@pytest.mark.parametrize(
    ("kind", "comes_back"),
    [
        (ValueError, ValueError),
        (KeyboardInterrupt, KeyboardInterrupt),
        (SystemExit, SystemExit),
        (StopIteration, RuntimeError),
    ],
)
async def test_what_the_work_raises_comes_back_and_ends_nothing(
    worker: Worker, kind: type[BaseException], comes_back: type[BaseException]
) -> None:
    def fail() -> None:
        raise kind("broken")

    async with asyncio.timeout(WITHIN_S):
        asked = worker.run(fail)
        await asyncio.wait([asked])

        assert isinstance(asked.exception(), comes_back)
        assert await worker.run(lambda: "well") == "well"


async def test_work_that_nobody_waits_for_any_more_is_done(worker: Worker) -> None:
    may_go_on, done = threading.Event(), threading.Event()
    worker.run(lambda: may_go_on.wait(WITHIN_S))
    asked = worker.run(done.set)
    asked.cancel()
    may_go_on.set()

    async with asyncio.timeout(WITHIN_S):
        await worker.run(lambda: None)
    assert done.is_set()
    assert asked.cancelled()


async def test_an_end_waits_for_what_was_asked_and_refuses_more(worker: Worker) -> None:
    done: list[int] = []
    for number in range(100):
        worker.run(partial(done.append, number))
    worker.end()
    worker.end()

    assert done == list(range(100))
    with pytest.raises(LedgerError, match="closed"):
        worker.run(lambda: None)


def test_a_worker_outlives_the_loop_that_asked(worker: Worker) -> None:
    may_go_on = threading.Event()

    async def ask_and_leave() -> None:
        worker.run(lambda: may_go_on.wait(WITHIN_S))

    async def ask() -> str:
        async with asyncio.timeout(WITHIN_S):
            return await worker.run(lambda: "well")

    asyncio.run(ask_and_leave())
    may_go_on.set()

    assert asyncio.run(ask()) == "well"


def test_a_process_that_ends_without_ending_it_still_does_what_was_asked(tmp_path: Path) -> None:
    program = f"""
import asyncio, atexit, pathlib, threading
from kie_runway.errors import LedgerError
from kie_runway.ledger.worker import Worker

def work():
    is_ending.wait({WITHIN_S})
    sum(range(10_000_000))
    pathlib.Path({str(tmp_path / "done")!r}).touch()

async def main():
    Worker("a worker").run(work)

is_ending = threading.Event()
asyncio.run(main())
atexit.register(is_ending.set)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=WITHIN_S)

    assert (tmp_path / "done").exists()
