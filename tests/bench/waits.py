"""A thousand agents' worth of waiting in one process."""

import asyncio
import os
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.report import Row, Section, at_most
from tests.bench.sandbox import BenchSandbox
from tests.wire import Wire

from kie_runway.ledger.records import Entry
from kie_runway.models import TaskKind, TaskState
from kie_runway.opening import open_app
from kie_runway.pace import Pace
from kie_runway.settings import Settings

NEVER_LOOKS = Pace(scale=1000.0)
WAIT_S = 45
RSS_TARGET_MB = 100


def waits(sandbox: BenchSandbox, count: int) -> Section:
    """Concurrent waits on distinct tasks over one stdio connection."""
    (first,) = sandbox.make(1)
    ids = sandbox.make(count)
    with ExitStack() as stack:
        home = stack.enter_context(TemporaryDirectory())
        asyncio.run(_write_down(sandbox.settings(Path(home)), ids))
        wire = stack.enter_context(Wire(era="modern", env=sandbox.env | {"KIE_HOME": home}))
        wire.open()
        wire.tool("get_task", task_id=first)  # whatever is loaded with the first call is loaded
        pid = wire.process.pid
        idle_mb, idle_cpu = rss_mb(pid), cpu_s(pid)
        before = sandbox.requests()
        began = time.perf_counter()
        numbers = [
            wire.ask_tool("get_task", progress=True, task_id=task_id, wait_seconds=WAIT_S)
            for task_id in ids
        ]
        heard: set[object] = set()
        while len(heard) < count:
            heard.add(wire.notification("notifications/progress")["params"]["progressToken"])
        begun = time.perf_counter() - began
        held_mb, held_cpu = rss_mb(pid), cpu_s(pid)
        sandbox.finish()
        states = Counter(wire.content(number)["state"] for number in numbers)
        ended = time.perf_counter() - began
        peak_mb, cpu = peak_rss_mb(pid), cpu_s(pid)
        after = sandbox.requests()
    assert states.keys() <= {"success", "wait"}, states
    asked = {name: after[name] - before.get(name, 0) for name in after}
    return Section(
        "Waits",
        f"{count:,} calls of `get_task` with `wait_seconds={WAIT_S}` at once, each for a task of "
        "its own that the ledger knows, over one stdio connection; all tasks end once every call "
        "waits. The server looks ten times a second at most, so that not all of so many "
        "hear of it within one wait. (KIE starts at most 20 tasks in 10 s, so real accounts have "
        "far fewer.)",
        [
            at_most(
                "memory over idle, all waiting", held_mb - idle_mb, RSS_TARGET_MB, " MB", digits=0
            ),
            at_most("the same at its peak", peak_mb - idle_mb, RSS_TARGET_MB, " MB", digits=0),
            Row("memory idle", f"{idle_mb:.0f} MB"),
            Row("all waiting after", f"{begun:.1f} s, {held_cpu - idle_cpu:.1f} s of CPU"),
            Row("told of the end", f"{states['success']:,} of {count:,}"),
            Row("all answered after", f"{ended:.1f} s, {cpu - idle_cpu:.1f} s of CPU"),
            *(Row(f"requests to `{name}`", f"{n:,}") for name, n in sorted(asked.items()) if n),
        ],
    )


async def _write_down(settings: Settings, task_ids: list[str]) -> None:
    """Let a ledger know of tasks at KIE, which a server would have to look for one by one."""
    async with open_app(settings, NEVER_LOOKS) as app:
        for task_id in task_ids:
            now = app.clock.now()
            await app.ledger.adopt(
                Entry(
                    id=0,
                    account=app.account,
                    request_id=f"of-{task_id}",
                    kind=TaskKind.GENERATE,
                    state=TaskState.WAIT,
                    arguments={},
                    created_at=now,
                    accepted_at=now,
                    task_id=task_id,
                )
            )


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    return _status_mb(pid, "VmRSS")


def peak_rss_mb(pid: int) -> float:
    """The most it ever was."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no {name}: this measurement needs Linux")


def cpu_s(pid: int) -> float:
    """CPU time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
