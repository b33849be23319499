"""Serving a sandbox on loopback: inside the caller's event loop, or as a program."""

import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any, cast

import uvicorn

from kie_runway_sandbox.reset import ResettableProtocol
from kie_runway_sandbox.sandbox import Sandbox

DEFAULT_PORT = 8765
GRACE_S = 0.5
"""How long requests under way may take at the end before their connections are cut."""
LAST_RESORT_S = 10
"""How long uvicorn then waits for handlers, for example for a clip that is being drawn."""
KEEP_ALIVE_S = 75
"""How long an idle connection is kept: longer than a busy machine may stand still."""


@dataclass(frozen=True)
class Running:
    """A sandbox that is being served."""

    sandbox: Sandbox
    url: str
    """Base URL, for both of KIE's hosts; no slash at the end."""


@contextlib.asynccontextmanager
async def serve(
    sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[Running]:
    """
    Serve a sandbox while the context is open; port 0 takes a free one.

    Leaves signals alone, and the sandbox open.

    Raises:
        ValueError: `host` is not loopback.
        OSError: The port is taken.
    """
    listener = _listen(host, port)
    url = _url(listener)
    server = _Server(
        uvicorn.Config(
            cast(Any, sandbox.app),
            http=ResettableProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=LAST_RESORT_S,
        )
    )
    sandbox.engine.media.base_url = url
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving  # raises why
        yield Running(sandbox, url)
    finally:
        ready.cancel()
        server.should_exit = True
        await asyncio.wait([serving], timeout=GRACE_S)
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await serving
        listener.close()


def run(
    sandbox: Sandbox,
    echo: Callable[[str], None],
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
) -> None:
    """
    Serve until SIGINT or SIGTERM; `echo` gets the lines that tell how to use it.

    Raises:
        ValueError: `host` is not loopback.
        OSError: The port is taken.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(sandbox, echo, host, port))


async def _run(sandbox: Sandbox, echo: Callable[[str], None], host: str, port: int) -> None:
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(sandbox, host, port) as running:
        for line in _welcome(running):
            echo(line)
        await stop.wait()


def _welcome(running: Running) -> list[str]:
    key = running.sandbox.options.keys[0]
    body = json.dumps(
        {"prompt": "A paper boat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}
    )
    return [
        f"KIE sandbox: {running.url}",
        f"API key:     {key}",
        f"Controls:    {running.url}/_sandbox/state",
        f"OpenAPI:     {running.url}/openapi.yaml",
        "",
        f"curl {running.url}/api/v1/runway/generate \\",
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        f"  -d '{body}'",
    ]


class _Server(uvicorn.Server):
    """uvicorn without signal handlers, telling when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # asyncio would leave a connection open for ever that it is accepting while its server
        # is closed; so it takes no more, and is given the three steps that one takes.
        with contextlib.suppress(NotImplementedError):  # Windows
            for server in self.servers:
                for listener in server.sockets:
                    asyncio.get_running_loop().remove_reader(listener)
        for _ in range(3):
            await asyncio.sleep(0)
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    if not address.is_loopback:
        raise ValueError(f"the sandbox is served on loopback only, not on {host}")
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    # With IPPROTO_TCP said aloud: asyncio switches Nagle's algorithm off for such sockets
    # only, and with it on, an answer in two writes waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
