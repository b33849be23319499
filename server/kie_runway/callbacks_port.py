"""Callbacks beside stdio: a small HTTP server on a loopback port, for a tunnel to reach."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from kie_runway.hooks_app import HOOKS_ROUTE, HooksEndpoint
from kie_runway.hosting import HEAD_DEADLINE_S, Host, stop_accepting
from kie_runway.http_app import health
from kie_runway.sdk import StrictServer
from kie_runway.webhooks import Webhooks

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
BIND_AGAIN_S = 30.0
CONNECTIONS_MAX = 200  # far more than KIE opens; each can hold some 300 KiB
GRACE_S = 1.0  # for answers under way at the end; what is cut off, KIE sends again


async def serve_callbacks(
    server: StrictServer[Any],
    webhooks: Callable[[], Awaitable[Webhooks]],
    port: int,
    *,
    bind_again_s: float = BIND_AGAIN_S,
    head_deadline_s: float = HEAD_DEADLINE_S,
) -> None:
    """
    Serve callbacks, and /health, until cancelled; this then ends at once.

    Whichever process has the port receives for all on the same ledger. The others keep trying, so
    that one of them takes over when it ends. Port 0 takes a free one; the address is logged.
    """
    listener = await _bind(port, bind_again_s)
    host = _Host(
        uvicorn.Config(
            create_callbacks_app(server, webhooks),
            lifespan="off",
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
        ),
        head_deadline_s=head_deadline_s,
    )
    number = listener.getsockname()[1]
    log.info("listening for callbacks", extra={"url": f"http://{HOST}:{number}"})
    with listener:
        try:
            await host.serve(sockets=[listener])
        finally:
            await host.cut_off()


def create_callbacks_app(
    server: StrictServer[Any], webhooks: Callable[[], Awaitable[Webhooks]]
) -> Starlette:
    """The ASGI app: nothing but callbacks and health, so that it can be made public."""
    return Starlette(
        routes=[
            Route(HOOKS_ROUTE, HooksEndpoint(webhooks).receive, methods=["POST"]),
            Route("/health", health(server), methods=["GET"]),
        ]
    )


class _Host(Host):
    """One that leaves signals alone and can end at once."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def cut_off(self) -> None:
        """Close everything; what was received by then may still be stored."""
        servers = self.servers if self.started else []
        try:
            await stop_accepting(servers)
        finally:
            for listening in servers:
                listening.close()
            for connection in list(self.server_state.connections):
                connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=GRACE_S)


async def _bind(port: int, again_s: float) -> socket.socket:
    """A socket that listens on the port; waits until there is one."""
    has_warned = False
    while True:
        try:
            return _listen(port)
        except OSError as exc:
            if not has_warned:
                log.warning(
                    "the port for callbacks cannot be used; trying again until it can",
                    extra={"port": port, "reason": exc.strerror, "every_s": again_s},
                )
                has_warned = True
        await asyncio.sleep(again_s)


def _listen(port: int) -> socket.socket:
    # With IPPROTO_TCP said aloud: asyncio switches Nagle's algorithm off for such sockets only.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()  # of two that bind at once, only one succeeds here
    except OSError:
        listener.close()
        raise
    return listener
