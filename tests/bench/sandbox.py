"""The sandbox process as the measurements use it."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from tests.wire import SANDBOX_KEY, WITHIN_S, sandbox_env

from kie_runway.settings import Settings
from kie_runway_sandbox.tasks import TASK, Task


@dataclass(frozen=True)
class BenchSandbox:
    """A running sandbox."""

    url: str
    _process: subprocess.Popen[str]

    @property
    def env(self) -> dict[str, str]:
        """What makes a server use it."""
        return sandbox_env(self.url)

    def settings(self, home: Path, callback_url: str | None = None) -> Settings:
        """Settings of an app in this process that uses it."""
        return Settings(
            api_key=SecretStr(SANDBOX_KEY),
            api_url=self.url,
            upload_url=self.url,
            trusted_hosts=(urlsplit(self.url).netloc,),
            home=home,
            callback_url=callback_url,
        )

    def make(self, count: int) -> list[str]:
        """Ids of new tasks."""
        ids: list[str] = self._command(f"make {count}")
        return ids

    def finish(self) -> None:
        """End every task with a video."""
        self._command("finish")

    def tasks(self) -> list[Task]:
        """Every task as it stands, oldest first."""
        answer = httpx.get(f"{self.url}/_sandbox/state", timeout=WITHIN_S).raise_for_status()
        return [TASK.validate_python(task) for task in answer.json()["tasks"]]

    def requests(self) -> dict[str, int]:
        """How often each endpoint was called."""
        answer = httpx.get(f"{self.url}/_sandbox/state", timeout=WITHIN_S).raise_for_status()
        counts: dict[str, int] = answer.json()["requests"]
        return counts

    def _command(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def bench_sandbox(**options: Any) -> Generator[BenchSandbox]:
    """A sandbox process with these `SandboxOptions`; leaving ends it."""
    with subprocess.Popen(
        (sys.executable, "-m", "tests.bench.sandbox_process", json.dumps(options)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield BenchSandbox(process.stdout.readline().strip(), process)
        process.stdin.close()
