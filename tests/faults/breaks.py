"""One thing that fails once, at a place that a number names: in the database, or on the network."""

import sqlite3
import ssl
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

import httpcore
import pytest

from kie_runway.ledger import database


class Break(Protocol):
    """Fails at the `number`-th of the operations that it counts; 0 never fails."""

    seen: int
    """Operations so far."""
    is_armed: bool
    """Whether it still counts and fails."""

    def install(self, patch: pytest.MonkeyPatch, port: int) -> None:
        """Get in the way of every server that starts from now on; `port` is KIE's."""
        ...


class DatabaseBreak:
    """
    SQLite reports a disk error.

    Args:
        number: Of the statement that fails, or of the COMMIT with `commits`.
        commits: Only these count.
        is_done: It is reported as failed after it was done.
        lasts: All statements fail from then on.
    """

    def __init__(
        self, number: int, *, commits: bool = False, is_done: bool = False, lasts: bool = False
    ) -> None:
        self.seen = 0
        self.is_armed = True
        self._number = number
        self._commits = commits
        self._is_done = is_done
        self._lasts = lasts

    def install(self, patch: pytest.MonkeyPatch, port: int) -> None:
        fault = self

        class Connection(sqlite3.Connection):
            def execute(self, *args: Any) -> sqlite3.Cursor:
                return fault.execute(super().execute, *args)

        substitute = SimpleNamespace(**vars(sqlite3))
        substitute.connect = partial(sqlite3.connect, factory=Connection)
        patch.setattr(database, "sqlite3", substitute)

    def execute(self, really: Callable[..., sqlite3.Cursor], *args: Any) -> sqlite3.Cursor:
        """Execute a statement, or fail."""
        if not self.is_armed:
            return really(*args)
        has_begun = 0 < self._number <= self.seen
        counts = not self._commits or args[0] == "COMMIT"
        self.seen += counts
        if (self._lasts and has_begun) or (counts and self.seen == self._number):
            if self._is_done:
                really(*args)
            raise sqlite3.OperationalError("disk I/O error")
        return really(*args)


class SocketBreak:
    """
    A connection to KIE breaks at one operation: connecting, sending, receiving.

    With `afterwards`, what was to be sent has gone out, and what came in is lost.
    """

    def __init__(self, number: int, *, afterwards: bool = False) -> None:
        self.seen = 0
        self.is_armed = True
        self.afterwards = afterwards
        self._number = number
        self._port = 0

    def install(self, patch: pytest.MonkeyPatch, port: int) -> None:
        self._port = port
        backend: Any = httpcore.AnyIOBackend
        really = backend.connect_tcp

        async def connect_tcp(
            backend: object, host: str, port: int, *args: Any, **kwargs: Any
        ) -> httpcore.AsyncNetworkStream:
            is_kie = port == self._port
            if is_kie and self.is_now():
                raise httpcore.ConnectError("broken on purpose")
            stream: httpcore.AsyncNetworkStream = await really(backend, host, port, *args, **kwargs)
            return _Stream(self, stream) if is_kie else stream

        patch.setattr(backend, "connect_tcp", connect_tcp)

    def is_now(self) -> bool:
        """Count an operation; whether it is the one."""
        self.seen += self.is_armed
        return self.is_armed and self.seen == self._number


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, fault: SocketBreak, stream: httpcore.AsyncNetworkStream) -> None:
        self._fault = fault
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._fault.is_now():
            if self._fault.afterwards:
                await self._stream.read(max_bytes, timeout)
            await self._stream.aclose()
            raise httpcore.ReadError("broken on purpose")
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if self._fault.is_now():
            if self._fault.afterwards:
                await self._stream.write(buffer, timeout)
            await self._stream.aclose()
            raise httpcore.WriteError("broken on purpose")
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return await self._stream.start_tls(ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
