"""The real program on stdio, as a client starts it, and every line that it writes."""

import asyncio
import itertools
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
from tests.attacks.leaks import Trail
from tests.support import KEY

LINE_MAX = 64 * 1024 * 1024
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "attacker", "version": "1"},
}


@dataclass
class Program:
    """The server as a client starts it; all that it wrote is kept."""

    process: Process
    log: Path
    written: list[bytes] = field(default_factory=list[bytes])
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        await self.process.stdin.drain()

    async def read(self) -> dict[str, Any]:
        """The next line, which must be one JSON-RPC message and nothing else."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        self.written.append(line)
        message = json.loads(line)
        assert isinstance(message, dict), line
        fields = cast("dict[str, Any]", message)
        assert fields["jsonrpc"] == "2.0"
        assert "id" in fields or "method" in fields, line
        return fields

    async def answer_to(self, number: object) -> dict[str, Any]:
        while True:
            message = await self.read()
            if message.get("id") == number:
                return message

    async def call(self, method: str, params: object) -> dict[str, Any]:
        number = next(self.numbers)
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await self.send(json.dumps(message).encode())
        return await self.answer_to(number)

    async def call_raw(self, arguments: bytes, tool: bytes = b"generate_video") -> dict[str, Any]:
        """Call a tool with arguments that no JSON library would write."""
        number = next(self.numbers)
        await self.send(
            b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%b",'
            b'"arguments":%b}}' % (number, tool, arguments)
        )
        return await self.answer_to(number)

    async def goes_on(self) -> None:
        """The program still answers, and with the truth."""
        answer = await self.call("tools/list", {})
        assert {tool["name"] for tool in answer["result"]["tools"]} >= {"generate_video"}


@asynccontextmanager
async def started(folder: Path, url: str, *command: str) -> AsyncGenerator[Program]:
    """A program that has been greeted; at its end it must leave in peace and have told nothing."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KIE_")}
    settings = {
        "KIE_HOME": str(folder / "home"),
        "KIE_API_KEY": KEY,
        "KIE_API_URL": url,
        "KIE_LOG_LEVEL": "DEBUG",
    }
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            stdin=PIPE,
            stdout=PIPE,
            stderr=stderr,
            env=clean | settings,
            limit=LINE_MAX,
        )
    program = Program(process, log)
    try:
        with anyio.fail_after(60):
            await program.call("initialize", INITIALIZE)
            await program.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        yield program
        with anyio.fail_after(60):
            rest, _ = await process.communicate(b"")
        program.written.append(rest)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate(b"")
    trail = Trail()
    trail.note("stderr", log.read_bytes())
    for line in program.written:
        trail.note("stdout", line)
    trail.note_files(folder)

    assert process.returncode == 0
    assert not trail.leaks(KEY)
