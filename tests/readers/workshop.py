"""A clone that nobody misses, and a home to go with it, where a page's commands are really run."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import httpx
from tests.bundle.desktop import UV_CACHE, package_index
from tests.docs.commands import PROGRAM
from tests.docs.pages import ROOT
from tests.journeys.processes import await_line, reserved_port
from tests.wire import INITIALIZE, WITHIN_S

from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskKind, TaskState

COMMAND_S = 600.0  # uv installs everything anew
TASK_ID = "c0d088df35254cc3e7187fb7116b2efa"
KEPT = ("LANG", "TERM", "SSL_CERT_FILE", "PIP_CERT")
STAMPS = (".installed", ".tested")
DEFAULT_PORTS = {"sandbox": "8765", "serve": "8000"}
ASKED = {"sandbox": "/openapi.yaml", "serve": "/health"}
LISTENS = r'(?:KIE sandbox: |"url": ")(http://[^/\s]+)'
ANSWERS = r'(\{.*"serverInfo".*)\n'
_PORT = re.compile(r"(?:--port |--callbacks-port |127\.0\.0\.1:)(\d{4,5})\b")


class Workshop:
    """
    Runs commands one after the other, as in one shell.

    Variables that one of them exports, and where it goes, hold for the next. Servers stay until
    the end; the ports that a page gives them are replaced by free ones, everywhere.

    Args:
        directory: Where clone and home are made.
    """

    def __init__(self, directory: Path) -> None:
        self._where = directory / "clone"
        self._scratch = directory
        self._ports: dict[str, str] = {}
        self._servers = ExitStack()
        home = directory / "home"
        asyncio.run(_use(home / ".local" / "share" / PROGRAM))
        _clone_to(self._where)
        self._env = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **package_index(),
            "HOME": str(home),
            "PATH": f"{self._where}/.venv/bin:{os.environ['PATH']}",
            "UV_CACHE_DIR": str(UV_CACHE),
            # The environment in the clone is only a way to the one that runs this.
            "UV_PROJECT_ENVIRONMENT": str(directory / "environment"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def run(self, command: str) -> str:
        """
        What a command prints; of a server, its answer to a first question.

        Raises:
            AssertionError: It failed, and how.
        """
        command = self._with_free_ports(command)
        if _serves(command):
            server = self._servers.enter_context(_Server(command, self._where, self._env))
            return server.ask()
        state = self._scratch / "state"
        script = f"{command}\n{{ pwd && env -0; }} > {shlex.quote(str(state))}"
        printed = _run(script, self._where, self._env)
        where, _, variables = state.read_text(encoding="utf-8").partition("\n")
        self._where = Path(where)
        self._env = dict(each.split("=", 1) for each in variables.split("\0") if "=" in each)
        return printed

    def _with_free_ports(self, command: str) -> str:
        if _listens(command) and "--port" not in command:
            command += f" --port {DEFAULT_PORTS[shlex.split(command)[1]]}"
        for port in _PORT.findall(command):
            if port not in self._ports:
                self._ports[port] = str(self._servers.enter_context(reserved_port()))
        for port, free in self._ports.items():
            command = command.replace(port, free)
        return command


class _Server:
    """One of our servers, started as a page says, asked once, and ended."""

    def __init__(self, command: str, where: Path, env: Mapping[str, str]) -> None:
        self._command = command
        self._process = subprocess.Popen(
            ("bash", "-euo", "pipefail", "-c", f"exec {command}"),
            cwd=where,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def ask(self) -> str:
        """Its answer; it must be alive to give one."""
        if not _listens(self._command):
            return self._ask_over_stdio()
        url = self._await(LISTENS) + ASKED[shlex.split(self._command)[1]]
        return httpx.get(url, timeout=WITHIN_S).raise_for_status().text

    def _ask_over_stdio(self) -> str:
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        return self._await(ANSWERS)

    def _await(self, pattern: str) -> str:
        try:
            return await_line(self._process.stdout, pattern)
        except AssertionError as exc:
            raise AssertionError(f"`{self._command}` does not answer") from exc


def _run(script: str, where: Path, env: Mapping[str, str]) -> str:
    with subprocess.Popen(
        ("bash", "-euo", "pipefail", "-c", script),
        cwd=where,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, f"exit {process.returncode} of `{script}`:\n{printed}"
    return printed


def _serves(command: str) -> bool:
    words = shlex.split(command)
    return Path(words[0]).name == PROGRAM and words[1:2] in (["serve"], ["sandbox"])


def _listens(command: str) -> bool:
    """Whether it is one of our servers that are asked over HTTP."""
    return _serves(command) and ("--http" in command or shlex.split(command)[1] == "sandbox")


async def _use(data: Path) -> None:
    """Leave there what somebody has who has made a video before."""
    ledger = SqliteLedger(data / "ledger.db")
    await ledger.open()
    made = Entry(
        id=0,
        account=LOCAL_ACCOUNT,
        request_id=TASK_ID,
        kind=TaskKind.GENERATE,
        state=TaskState.SUCCESS,
        arguments={"prompt": "A paper boat in the rain"},
        created_at=datetime.now(UTC),
        task_id=TASK_ID,
    )
    await ledger.adopt(made)
    await ledger.aclose()


def _clone_to(clone: Path) -> None:
    """
    What `git clone` would give, with what is not committed yet, and what `make` would install.

    The environment is the one that runs this, behind links and stamped anew, so that `make` does
    not install into it.
    """
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # one that was deleted is listed until that is committed
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    environment = clone / ".venv"
    environment.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name not in STAMPS:
            (environment / part.name).symlink_to(part)
    for stamp in STAMPS:
        (environment / stamp).touch()
