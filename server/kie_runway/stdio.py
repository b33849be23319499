"""
MCP over stdin and stdout without worker threads.

The SDK's own transport reads stdin in a thread, so SIGINT hangs until the client closes it and
SIGTERM skips the clean-up. Here both, and the end of stdin, end the process at once, after paid
requests under way have been drained.
"""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mcp.types import JSONRPCRequest

from kie_runway.lines import TOO_LONG, is_answer, is_handshake, read_message, refusal
from kie_runway.sdk import StrictServer
from kie_runway.signals import on_signal

MAX_LINE_BYTES = 16 * 1024 * 1024
FINISH_S = 1.0  # for requests read before stdin ended; clients send SIGTERM after 2 s


async def serve_stdio(server: StrictServer[Any]) -> None:
    """Serve until stdin ends or SIGINT or SIGTERM arrives."""
    if not _can_poll_stdin():
        await server.run_stdio_async()
        return
    async with _wire() as (lines, output):
        serving = asyncio.create_task(server.serve_streams(lines, output))

        def stop() -> None:
            # Clients close stdin and soon send SIGTERM; what is being drained by then goes on.
            if not lines.ended:
                serving.cancel()

        with on_signal(stop), suppress(asyncio.CancelledError):
            await serving


def _can_poll_stdin() -> bool:
    """Whether stdin is a pipe, socket or terminal of a POSIX system; all else needs a thread."""
    if sys.platform == "win32":
        return False
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(0)


@asynccontextmanager
async def _wire() -> AsyncGenerator[tuple["_Lines", "_Output"]]:
    """The two streams on private descriptors; stray reads and prints never touch them."""
    wire_in, wire_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    was_blocking = os.get_blocking(wire_out)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(wire_in, "rb", buffering=0)
    )
    os.set_blocking(wire_out, False)
    output = _Output(wire_out)
    try:
        yield _Lines(reader, output), output
    finally:
        transport.close()
        os.set_blocking(wire_out, was_blocking)  # a terminal is shared with the shell
        os.close(wire_out)


class _Lines:
    """The client's messages, one a line; the part of `anyio.AsyncFile` that the SDK uses."""

    def __init__(self, reader: asyncio.StreamReader, output: "_Output") -> None:
        self._reader = reader
        self._output = output
        self.ended = False
        """Whether the client has closed its end and everything before that was read."""
        self._opening: list[str] | None = None

    def __aiter__(self) -> "_Lines":
        return self

    async def __anext__(self) -> str:
        while line := await self._next_line():
            message = read_message(line)
            if message is not None:
                if isinstance(message, JSONRPCRequest):
                    self._output.expect_answer()
                return line
            refused = refusal(line)
            if refused is not None:
                await self._output.write(refused)
        self.ended = True
        await self._output.finish()
        raise StopAsyncIteration

    async def _next_line(self) -> str:
        """With its line end; empty at the end of the stream."""
        if self._opening is None:
            self._opening = [await self._read_line(), *await self._waiting_lines()]
            # A client whose probe went unanswered while this process started shakes hands
            # instead, after a second at some; the SDK would refuse it for having probed.
            self._opening.sort(key=lambda line: not is_handshake(line))
        return self._opening.pop(0) if self._opening else await self._read_line()

    async def _waiting_lines(self) -> list[str]:
        """What the client has sent already."""
        lines: list[str] = []
        try:
            async with asyncio.timeout(0):
                while True:
                    line = await self._reader.readuntil(b"\n")
                    lines.append(line.decode("utf-8", errors="replace"))
        except (TimeoutError, asyncio.LimitOverrunError):
            return lines  # what is left stays in the reader
        except asyncio.IncompleteReadError as exc:
            rest = exc.partial.decode("utf-8", errors="replace")
            return [*lines, rest] if rest else lines

    async def _read_line(self) -> str:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as exc:
            line = exc.partial
        except asyncio.LimitOverrunError:
            await self._skip_line()
            return TOO_LONG
        return line.decode("utf-8", errors="replace")

    async def _skip_line(self) -> None:
        while True:
            try:
                await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as exc:
                await self._reader.readexactly(exc.consumed)
            except asyncio.IncompleteReadError:
                return
            else:
                return


class _Output:
    """Writes to a non-blocking descriptor; a client that has gone is not an error."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._turn = asyncio.Lock()
        self._unanswered = 0
        self._answered = asyncio.Event()
        self._is_ending = False

    def expect_answer(self) -> None:
        """The client sent a request."""
        self._unanswered += 1

    async def finish(self) -> None:
        """The client sends no more: let quick requests be answered, and wait for no reader."""
        self._is_ending = True
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S):
                while self._unanswered > 0:
                    self._answered.clear()
                    await self._answered.wait()

    async def write(self, text: str) -> None:
        rest = memoryview(text.encode())
        async with self._turn:  # a message that is written in pieces stays one line
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    if not await self._writable():
                        return
                except (BrokenPipeError, ConnectionResetError):
                    return
        if is_answer(text):
            self._unanswered -= 1
            self._answered.set()

    async def flush(self) -> None:
        """Nothing is buffered here."""

    async def _writable(self) -> bool:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            while not ready.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(FINISH_S):
                        await ready.wait()
                if self._is_ending and not ready.is_set():
                    return False
        finally:
            loop.remove_writer(self._fd)
        return True
