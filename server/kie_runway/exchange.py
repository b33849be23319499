"""
One HTTP request to KIE, one answer read whole: connections, time-outs, size limits.

Nothing is ever sent twice here, and no redirect is followed: it would carry the key along.
"""

import asyncio
import ssl
import zlib
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from kie_runway.answers import Answer
from kie_runway.handshake import closing_on_failure
from kie_runway.patience import patience
from kie_runway.values import retry_after_s

CONNECT_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
BODY_MAX_BYTES = 1024 * 1024  # decoded; the longest real answer has a few kilobytes
MAX_CONNECTIONS = 10  # that are kept; paid requests have their own
KEPT_S = 5.0  # httpx's own figure, at which it opens a new one rather than use an idle one

# No connection was made, so not one byte of the request can have left. Every other exception
# leaves that open.
NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class Exchange:
    """Sends requests over HTTP/1.1: pooled, or each on a new connection."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None) -> None:
        self._transport = transport
        self._tls: ssl.SSLContext | None = None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        # One connection each, with the time of its last use. httpx's pool, cancelled while it
        # closes several, drops the others open; and it is quadratic in those who wait for it.
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()

    async def aclose(self) -> None:
        """Close the kept connections; a later request would open new ones."""
        idle, self._idle = self._idle, deque()
        async with AsyncExitStack() as closing:  # each of them, also when this is cancelled
            for _, http in idle:
                closing.push_async_callback(http.aclose)

    async def pooled(self, deadline_s: float, **request: Any) -> Answer:
        """
        Send what may be repeated, over a kept connection if there is one.

        Args:
            deadline_s: For all of it, from connecting to the last byte; queueing comes on top.
            request: As `httpx.AsyncClient.stream` takes it.

        Raises:
            Exception: Any; those in `NOT_SENT` prove that nothing left.
        """
        async with self._slots:
            return await _exchange(self._kept(), deadline_s, request)

    async def fresh(self, deadline_s: float, **request: Any) -> Answer:
        """
        Send what must not be repeated, over a connection of its own.

        A kept connection may be closed by the peer just when it is used again, and then nobody
        knows what became of the request. Arguments and errors are those of `pooled`.

        Silence alone ends nothing before the deadline: httpx's read time-out would win over an
        answer that arrived while the process stood still.
        """
        if self._transport is not None:
            return await self.pooled(deadline_s, **request)
        return await _exchange(self._open(None), deadline_s, request)

    @asynccontextmanager
    async def _kept(self) -> AsyncGenerator[httpx.AsyncClient]:
        """One that is kept for the next request if this one comes to its end."""
        idle, loop = self._idle, asyncio.get_running_loop()
        http = idle.pop()[1] if idle else self._open(READ_TIMEOUT_S)
        try:
            yield http
        except BaseException:
            await http.aclose()
            raise
        if idle is self._idle:
            idle.append((loop.time(), http))
            while idle and idle[0][0] <= loop.time() - KEPT_S:
                await idle.popleft()[1].aclose()
        else:  # they were closed meanwhile
            await http.aclose()

    def _open(self, read_timeout_s: float | None) -> httpx.AsyncClient:
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return httpx.AsyncClient(
            transport=self._transport,
            verify=self._tls,
            # Neither a proxy nor .netrc may come between the key and KIE.
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=1),
            timeout=httpx.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S, write=WRITE_TIMEOUT_S),
        )


async def _exchange(
    connection: AbstractAsyncContextManager[httpx.AsyncClient],
    deadline_s: float,
    request: dict[str, Any],
) -> Answer:
    answer: Answer | None = None
    extensions = {"trace": closing_on_failure()}
    try:
        async with (
            patience(deadline_s),
            connection as http,
            http.stream(**request, extensions=extensions) as response,
        ):
            retry_after = response.headers.get("retry-after")
            answer = Answer(
                http_status=response.status_code,
                body=None if response.is_redirect else await _body(response),
                retry_after_s=retry_after_s(retry_after, datetime.now(UTC)),
                date=response.headers.get("date"),
            )
    except Exception:
        # An answer that is here whole stands, whatever closing the connection did.
        if answer is None:
            raise
    return answer


async def _body(response: httpx.Response) -> bytes | None:
    """
    The decoded body; None when it is too long, damaged or of another encoding.

    httpx would unpack a whole chunk before anyone could look at its size.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        return None
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    assert isinstance(response.stream, httpx.AsyncByteStream)
    received = 0
    body = bytearray()
    async for chunk in response.stream:
        received += len(chunk)
        if unpacker is None:
            body += chunk
        else:
            try:
                body += unpacker.decompress(chunk, BODY_MAX_BYTES + 1 - len(body))
            except zlib.error:
                return None
        if len(body) > BODY_MAX_BYTES or received > BODY_MAX_BYTES:
            return None
    return bytes(body) if unpacker is None or unpacker.eof else None
