"""
MCP over stdin and stdout without worker threads.

The SDK's own transport reads stdin in a thread, so SIGINT hangs until the client closes it and
SIGTERM skips the clean-up. Here a signal is one more way for stdin to end: the SDK runs out of
lines and winds up in its usual order, and whatever else arrives is never read. The process then
ends at once, after paid requests under way have been drained.
"""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from mcp.types import JSONRPCRequest

from kie_runway.lines import TOO_LONG, is_answer, is_handshake, read_message, refusal
from kie_runway.sdk import StrictServer
from kie_runway.signals import on_signal

MAX_LINE_BYTES = 16 * 1024 * 1024
FINISH_S = 1.0  # for requests read before stdin ended; clients send SIGTERM after 2 s


async def serve_stdio(server: StrictServer[Any], drain: Callable[[], Awaitable[None]]) -> None:
    """
    Serve until stdin or a signal ends it, and return when all is drained.

    Args:
        server: What to serve.
        drain: Returns when paid requests under way are recorded. It is awaited however serving
            ends, and while a first signal still kills nothing: clients close stdin and soon
            send SIGTERM.
    """
    if not _can_poll_stdin():
        try:
            await server.run_stdio_async()
        finally:
            await drain()
        return
    async with _wire() as (lines, output):
        with on_signal(lines.stop):
            try:
                await server.serve_streams(lines, output)
            finally:
                await drain()


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
        self._is_stopped = False
        self._opening: list[str] | None = None

    def stop(self) -> None:
        """End here: no line is handed out any more, read or unread, and no answer waited for."""
        self._is_stopped = True
        self._output.stop()
        self._reader.set_exception(asyncio.IncompleteReadError(b"", None))

    def __aiter__(self) -> "_Lines":
        return self

    async def __anext__(self) -> str:
        while (line := await self._next_line()) and not self._is_stopped:
            message = read_message(line)
            if message is not None:
                if isinstance(message, JSONRPCRequest):
                    self._output.expect_answer()
                return line
            refused = refusal(line)
            if refused is not None:
                await self._output.write(refused)
        if not self._is_stopped:
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
        self._ready = asyncio.Event()
        self._is_ending = False
        self._is_stopped = False

    def expect_answer(self) -> None:
        """The client sent a request."""
        self._unanswered += 1

    def stop(self) -> None:
        """Write what the client has room for, but never wait for it to read."""
        self._is_stopped = True
        self._ready.set()

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
        if self._is_stopped:
            return False
        loop = asyncio.get_running_loop()
        self._ready.clear()
        loop.add_writer(self._fd, self._ready.set)
        try:
            while not self._ready.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(FINISH_S):
                        await self._ready.wait()
                if self._is_ending and not self._ready.is_set():
                    return False
        finally:
            loop.remove_writer(self._fd)
        return not self._is_stopped
