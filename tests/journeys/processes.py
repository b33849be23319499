"""Real processes beside the server under test: the sandbox alone, and the server on HTTP."""

import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Self

import httpx
from tests.wire import COMMAND, INITIALIZE, META, WITHIN_S, RawEra, sandbox_env

ACCEPT = {"Accept": "application/json, text/event-stream"}


@dataclass(frozen=True)
class Standalone:
    """The sandbox as a process of its own, with its controls."""

    url: str

    @property
    def env(self) -> dict[str, str]:
        """What makes a server use it."""
        return sandbox_env(self.url)

    def inject(self, kind: str, endpoint: str, **details: Any) -> None:
        """Arm a fault."""
        self._post("faults", {"kind": kind, "endpoint": endpoint, **details})

    def finish(self, task_id: str) -> None:
        """End a task with a video, at once."""
        self._post(f"tasks/{task_id}", {"state": "success"})

    def switch(self, **positions: Any) -> None:
        """Set switches."""
        self._post("switches", positions)

    def events(self, event: str) -> list[dict[str, Any]]:
        """What really happened, whatever the answers said."""
        answer = httpx.get(f"{self.url}/_sandbox/log", params={"event": event}, timeout=WITHIN_S)
        entries: list[dict[str, Any]] = answer.raise_for_status().json()["entries"]
        return entries

    def await_event(self, event: str) -> dict[str, Any]:
        """The first event of a kind; the sandbox writes it down before it answers."""
        deadline = time.monotonic() + WITHIN_S
        while not (entries := self.events(event)):
            assert time.monotonic() < deadline, f"no {event} in {WITHIN_S:g} s"
        return entries[0]

    def _post(self, path: str, body: dict[str, Any]) -> None:
        url = f"{self.url}/_sandbox/{path}"
        httpx.post(url, json=body, timeout=WITHIN_S).raise_for_status()


@contextmanager
def reserved_port() -> Generator[int]:
    """A port on which a server of ours can listen, and which nobody else is given meanwhile."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":  # there, one who only holds a port keeps all others out
            holder.close()
        yield port


@contextmanager
def standalone_sandbox(speed: float = 1.0) -> Generator[Standalone]:
    """`kie-runway-mcp sandbox` on a free port."""
    with _process("sandbox", "--port", "0", "--speed", str(speed)) as process:
        yield Standalone(await_line(process.stdout, r"KIE sandbox: (http\S+)"))


@dataclass(frozen=True)
class HttpServer:
    """A server on streamable HTTP."""

    url: str
    """Where MCP is."""
    process: subprocess.Popen[bytes]

    @property
    def base(self) -> str:
        """The same without a path."""
        return self.url.removesuffix("/mcp")


@contextmanager
def http_server(*arguments: str, env: Mapping[str, str] | None = None) -> Generator[HttpServer]:
    """`kie-runway-mcp serve --http` on a free port."""
    with _process("serve", "--http", "--port", "0", *arguments, env=env) as process:
        yield HttpServer(await_line(process.stderr, r'"url": "(http[^"]+/mcp)"'), process)


class RawHttp:
    """A client that sends and does not mind when its answers never come."""

    def __init__(self, url: str, era: RawEra) -> None:
        self._url = url
        self._era: RawEra = era
        self._headers = dict(ACCEPT)
        self._http = httpx.Client(timeout=WITHIN_S)
        self._threads = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        self._http.close()

    def open(self) -> None:
        """The handshake, where the era has one."""
        if self._era == "modern":
            self._headers["MCP-Protocol-Version"] = "2026-07-28"
            return
        answer = self._post("initialize", INITIALIZE)
        self._headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        self._headers["MCP-Protocol-Version"] = "2025-11-25"

    def begin_tool(self, name: str, arguments: Mapping[str, Any]) -> "Future[httpx.Response]":
        """Call a tool without waiting."""
        return self._threads.submit(
            self._post, "tools/call", {"name": name, "arguments": arguments}
        )

    def _post(self, method: str, params: Mapping[str, Any]) -> httpx.Response:
        headers = self._headers
        if self._era == "modern":
            params = {**params, "_meta": META}
            headers = headers | {"Mcp-Method": method, "Mcp-Name": params.get("name", "")}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self._http.post(self._url, json=message, headers=headers)


def await_line(pipe: IO[bytes] | None, pattern: str) -> str:
    """
    What a process writes once it is ready: the first group of the pattern.

    Raises:
        AssertionError: It ended first, or wrote nothing for too long; holds what it wrote.
    """
    assert pipe is not None
    written = b""
    while (found := re.search(pattern.encode(), written)) is None:
        assert select.select([pipe], [], [], WITHIN_S)[0], written
        piece = os.read(pipe.fileno(), 4096)
        assert piece, written
        written += piece
    return found[1].decode()


@contextmanager
def _process(
    *arguments: str, env: Mapping[str, str] | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """One of our commands; leaving ends it."""
    with subprocess.Popen(
        (*COMMAND, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | dict(env or {}),
        bufsize=0,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
