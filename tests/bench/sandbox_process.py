"""
A sandbox as a process of its own whose clips are not drawn.

Its tasks end on request, unless its one argument, more options as JSON, says otherwise. Prints
its address; then each line `make N` on stdin prints N task ids, and `finish` ends all tasks and
prints how many.
"""

import asyncio
import json
import sys
from collections import deque
from decimal import Decimal
from typing import Any

from kie_runway_sandbox import Sandbox, SandboxOptions, serve

BODY = {"prompt": "a paper boat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}


def make(sandbox: Sandbox, count: int) -> list[str]:
    """Start tasks."""
    ids: list[str] = []
    for _ in range(count):
        entry = sandbox.engine.create("generate", sandbox.account(), BODY)
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
    options: dict[str, Any] = {"advance": "manual", "render": "off", "credits": Decimal(1_000_000)}
    for text in sys.argv[1:]:
        options |= json.loads(text)
    with Sandbox(SandboxOptions(**options)) as sandbox:
        # It remembers none of the creates: KIE's rate limit is not what is measured.
        sandbox.account().creates = deque(maxlen=0)
        async with serve(sandbox) as running:
            print(running.url, flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                command, *count = line.split()
                done = make(sandbox, int(count[0])) if command == "make" else finish(sandbox)
                print(json.dumps(done), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
