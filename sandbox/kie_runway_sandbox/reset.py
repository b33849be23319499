"""True connection resets: the one thing an ASGI application cannot do by itself."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

RESET_EXTENSION = "kie_runway_sandbox.reset"
"""Key of a function in the ASGI scope that resets the connection."""


class ResettableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a way to reset the connection in each request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app: Any = self.app  # uvicorn's ASGI types and starlette's are not the same classes

        async def app_with_reset(scope: Scope, receive: Receive, send: Send) -> None:
            extensions = {RESET_EXTENSION: lambda: _reset(transport)}
            await app({**scope, "extensions": extensions}, receive, send)

        self.app = cast(Any, app_with_reset)


def _reset(transport: asyncio.Transport) -> None:
    # Lingering for zero seconds makes the kernel send RST instead of FIN.
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def reset_connection(scope: Scope, receive: Receive) -> None:
    """
    Reset the connection of a request and wait until the server has noticed.

    Raises:
        ConnectionResetError: The application is not served by `serve`, for example
            it is called through `httpx.ASGITransport`; there the caller gets this.
    """
    reset: Callable[[], None] | None = scope.get("extensions", {}).get(RESET_EXTENSION)
    if reset is None:
        raise ConnectionResetError("the sandbox resets this connection")
    reset()
    await disconnected(receive)


async def disconnected(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
