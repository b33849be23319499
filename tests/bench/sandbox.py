"""The sandbox process as the measurements use it."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from tests.wire import sandbox_env


@dataclass(frozen=True)
class BenchSandbox:
    """A running sandbox."""

    url: str
    _process: subprocess.Popen[str]

    @property
    def env(self) -> dict[str, str]:
        """What makes a server use it."""
        return sandbox_env(self.url)

    def make(self, count: int) -> list[str]:
        """Ids of new tasks."""
        ids: list[str] = self._command(f"make {count}")
        return ids

    def finish(self) -> None:
        """End every task with a video."""
        self._command("finish")

    def requests(self) -> dict[str, int]:
        """How often each endpoint was called."""
        answer = httpx.get(f"{self.url}/_sandbox/state").raise_for_status()
        counts: dict[str, int] = answer.json()["requests"]
        return counts

    def _command(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def bench_sandbox() -> Generator[BenchSandbox]:
    """A sandbox process; leaving ends it."""
    with subprocess.Popen(
        (sys.executable, "-m", "tests.bench.sandbox_process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield BenchSandbox(process.stdout.readline().strip(), process)
        process.stdin.close()
