"""KIE's callbacks, as a harness waits for them."""

import asyncio
import itertools
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest

from kie_runway.callbacks_port import serve_callbacks
from kie_runway.server import RunwayServer
from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.callbacks import Callbacks

LOOK_EVERY_S = 0.02


def free_port() -> int:
    """A loopback port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def taking_callbacks(server: RunwayServer, port: int | None) -> AsyncGenerator[None]:
    """Take callbacks, or stand by to do so when another server leaves the port."""
    if port is None:
        yield
        return
    taking = asyncio.create_task(
        serve_callbacks(server, server.services.webhooks, port, bind_again_s=LOOK_EVERY_S)
    )
    try:
        yield
    finally:
        taking.cancel()
        await asyncio.wait([taking])


def miss_attempts(patch: pytest.MonkeyPatch, random: Random, percent: float) -> None:
    """Let so many of KIE's attempts to call back go where nobody listens."""
    post = vars(Callbacks)["_post"]
    nowhere = f"http://127.0.0.1:{free_port()}"

    async def post_or_miss(self: Callbacks, client: object, url: str, *rest: object) -> bool:
        is_missed = random.uniform(0, 100) < percent
        acknowledged: bool = await post(self, client, nowhere if is_missed else url, *rest)
        return acknowledged

    patch.setattr(Callbacks, "_post", post_or_miss)


def was_called_back(sandbox: Sandbox, task_id: str) -> bool:
    """Whether a callback of a task was acknowledged."""
    return any(e.details["acknowledged"] for e in sandbox.log.select("callback", task_id))


def are_callbacks_over(sandbox: Sandbox) -> bool:
    """Whether every callback has been taken or given up; of tasks that run it is not yet due."""
    return all(
        was_called_back(sandbox, task.task_id)
        or sandbox.log.select("callback_not_delivered", task.task_id)
        for task in sandbox.tasks
        if task.callback_url is not None and task.is_finished
    )


def is_lost(sandbox: Sandbox) -> bool:
    """Whether no callback has told of any task, nor will."""
    return are_callbacks_over(sandbox) and not any(
        was_called_back(sandbox, task.task_id) for task in sandbox.tasks
    )


async def await_callbacks(sandbox: Sandbox) -> None:
    """Wait until the callback of every task that has ended was taken or given up."""
    for task in sandbox.tasks:
        if task.callback_url is None:
            continue
        ends = {
            asyncio.create_task(_taken(sandbox, task.task_id)),
            asyncio.create_task(_given_up(sandbox, task.task_id)),
        }
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()


async def _taken(sandbox: Sandbox, task_id: str) -> None:
    for count in itertools.count(1):
        attempt = await sandbox.log.wait_for("callback", task_id, count)
        if attempt.details["acknowledged"]:
            return


async def _given_up(sandbox: Sandbox, task_id: str) -> None:
    await sandbox.log.wait_for("callback_not_delivered", task_id)
