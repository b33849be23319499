"""ASGI apps on real sockets."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from kie_runway.hosting import stop_accepting

KEEP_ALIVE_S = 75  # longer than a busy machine may stand still between two requests


def free_port() -> socket.socket:
    """A bound loopback socket, for those who must know an app's address before there is one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


def base_url(listener: socket.socket) -> str:
    """The address of what is hosted on a socket."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def hosted(app: Starlette, listener: socket.socket | None = None) -> AsyncGenerator[str]:
    """The address of an app that is served on loopback until the context ends."""
    listener = listener or free_port()
    host = _Host(
        uvicorn.Config(
            app,
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(host.serve(sockets=[listener]))
    ready = asyncio.create_task(host.ready.wait())
    try:
        await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving  # raises why
        yield base_url(listener)
    finally:
        ready.cancel()
        host.should_exit = True
        with listener:
            await serving
        for connection in list(host.server_state.connections):
            connection.transport.abort()


class _Host(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await stop_accepting(self.servers)
        await super().shutdown(sockets)
