"""
A sandbox as a process of its own whose tasks end on request and whose clips are not drawn.

Prints its address; then each line `make N` on stdin prints N task ids, and `finish` ends all
tasks and prints how many.
"""

import asyncio
import json
import sys
from decimal import Decimal

from kie_runway_sandbox import Sandbox, SandboxOptions, serve

BODY = {"prompt": "a paper boat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}


def make(sandbox: Sandbox, count: int) -> list[str]:
    """Start tasks past the rate limit, which is not what is measured."""
    account = sandbox.account()
    ids: list[str] = []
    for _ in range(count):
        account.creates.clear()
        entry = sandbox.engine.create("generate", account, BODY)
        assert entry.task_id is not None
        ids.append(entry.task_id)
    return ids


def finish(sandbox: Sandbox) -> int:
    """End every task that has not ended."""
    waiting = [task.task_id for task in sandbox.tasks if task.state not in ("success", "fail")]
    for task_id in waiting:
        sandbox.finish(task_id)
    return len(waiting)


async def main() -> None:
    """Serve until stdin ends."""
    options = SandboxOptions(advance="manual", render="off", credits=Decimal(1_000_000))
    with Sandbox(options) as sandbox:
        async with serve(sandbox) as running:
            print(running.url, flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                command, *count = line.split()
                done = make(sandbox, int(count[0])) if command == "make" else finish(sandbox)
                print(json.dumps(done), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
