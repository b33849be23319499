"""A server as a real process, spoken to in raw JSON-RPC: what a client's SDK would hide shows."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

RawEra = Literal["legacy", "modern"]
RAW_ERAS: tuple[RawEra, ...] = ("legacy", "modern")
CLIENT = {"name": "raw", "version": "1"}
SANDBOX_KEY = "sandbox-key"
WITHIN_S = 60.0  # a busy machine; nothing waits this long unless it is broken
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
COMMAND = (str(Path(sys.executable).with_name("kie-runway-mcp")),)
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": CLIENT,
}

Message = dict[str, Any]


def sandbox_env(url: str) -> dict[str, str]:
    """What makes a server process use the sandbox at this address."""
    return {
        "KIE_API_KEY": SANDBOX_KEY,
        "KIE_API_URL": url,
        "KIE_UPLOAD_URL": url,
        "KIE_TRUSTED_HOSTS": urlsplit(url).netloc,
    }


class Wire:
    """One stdio connection. Every wait is bounded; leaving ends the process."""

    def __init__(
        self,
        command: Sequence[str] = COMMAND,
        *,
        era: RawEra = "legacy",
        env: Mapping[str, str] | None = None,
        stderr: Path | None = None,
    ) -> None:
        self.era: RawEra = era
        self.lines: list[bytes] = []
        """Everything the server has written to stdout."""
        self.unasked: list[Message] = []
        """Notifications, and answers that nobody has read yet."""
        self._numbers = 0
        self._rest = b""
        with open(stderr or os.devnull, "ab") as sink:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env=os.environ | dict(env or {}),
                bufsize=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def open(self) -> Message:
        """The first exchange of the era: the handshake, or one discovery."""
        if self.era == "modern":
            return self.call("server/discover")
        answer = self.call("initialize", INITIALIZE)
        self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def tool(self, name: str, /, **arguments: Any) -> Message:
        """A tool's structured content."""
        return self.content(self.ask_tool(name, **arguments))

    def ask_tool(self, name: str, /, *, progress: bool = False, **arguments: Any) -> int:
        """Call a tool without waiting; returns the request's number."""
        params: Message = {"name": name, "arguments": arguments}
        if progress:
            params["_meta"] = {"progressToken": self._numbers + 1}
        return self.ask("tools/call", params)

    def content(self, number: int) -> Message:
        """The structured content of a tool called earlier."""
        content: Message = self.answer(number)["result"]["structuredContent"]
        return content

    def call(self, method: str, params: Message | None = None) -> Message:
        """A method's result."""
        answer = self.answer(self.ask(method, params))
        assert "result" in answer, answer
        result: Message = answer["result"]
        return result

    def ask(self, method: str, params: Message | None = None) -> int:
        """Send a request; returns its number."""
        self._numbers += 1
        params = dict(params or {})
        if self.era == "modern":
            params["_meta"] = META | params.get("_meta", {})
        self.write(
            {"jsonrpc": "2.0", "id": self._numbers, "method": method, "params": params},
        )
        return self._numbers

    def answer(self, number: int) -> Message:
        """The answer to a request."""
        for index, message in enumerate(self.unasked):
            if message.get("id") == number:
                return self.unasked.pop(index)
        for message in self.messages():
            if message.get("id") == number and "method" not in message:
                return message
            self.unasked.append(message)
        raise EOFError("the server closed its stdout without answering")

    def notification(self, method: str) -> Message:
        """The next notification of a kind."""
        for index, message in enumerate(self.unasked):
            if message.get("method") == method:
                return self.unasked.pop(index)
        for message in self.messages():
            if message.get("method") == method:
                return message
            self.unasked.append(message)
        raise EOFError(f"the server closed its stdout without {method}")

    def messages(self) -> Iterator[Message]:
        """What the server writes, until it closes its stdout."""
        while (line := self._line()) is not None:
            message = json.loads(line)
            assert isinstance(message, dict)
            yield message

    def write(self, message: Message) -> None:
        """Send one message."""
        self.write_raw(json.dumps(message).encode() + b"\n")

    def write_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self.process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self.process.stdin.write(rest) :]

    def close_stdin(self) -> None:
        """End the input, as a client does that is done."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self, within_s: float = WITHIN_S) -> int:
        """Read on until the process has ended; its exit code."""
        self.unasked.extend(self.messages())
        return self.process.wait(within_s)

    def _line(self) -> bytes | None:
        """The next line of stdout; None at its end."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + WITHIN_S
        while b"\n" not in self._rest:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"the server wrote nothing for {WITHIN_S:g} s")
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                assert not self._rest, "the last line was cut"
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        self.lines.append(line)
        return line
