"""MCP over streamable HTTP at /mcp, callbacks and /health beside it; loopback only."""

import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kie_runway.hooks_app import HOOKS_ROUTE, HooksEndpoint
from kie_runway.hosting import HEAD_DEADLINE_S, Host
from kie_runway.sdk import StrictServer
from kie_runway.signals import on_signal
from kie_runway.webhooks import Webhooks

log = logging.getLogger(__name__)

BODY_MAX_BYTES = 16 * 1024 * 1024  # a file of 10 MB in Base64
GRACE_S = 5  # open event streams would otherwise hold the process for ever


def create_http_app(
    server: StrictServer[Any],
    host: str = "127.0.0.1",
    *,
    webhooks: Callable[[], Awaitable[Webhooks]] | None = None,
) -> Starlette:
    """
    The ASGI app.

    The SDK checks `Host` and `Origin` of MCP requests against loopback names (421, 403), so that
    a web page cannot reach the server through DNS rebinding. Callbacks come under any name.
    """
    server.custom_route("/health", methods=["GET"])(health(server))
    if webhooks is not None:
        server.custom_route(HOOKS_ROUTE, methods=["POST"])(HooksEndpoint(webhooks).receive)
    return server.streamable_http_app(host=host, max_request_body_size=BODY_MAX_BYTES)


def health(server: StrictServer[Any]) -> Callable[[Request], Awaitable[Response]]:
    """Answers who is there."""

    async def answer(_: Request) -> Response:
        return JSONResponse({"status": "ok", "name": server.name, "version": server.version})

    return answer


async def serve_http(
    server: StrictServer[Any],
    host: str,
    port: int,
    *,
    webhooks: Callable[[], Awaitable[Webhooks]] | None = None,
    head_deadline_s: float = HEAD_DEADLINE_S,
) -> None:
    """
    Serve until SIGINT or SIGTERM; paid requests under way are drained.

    The address is logged once it answers, so that port 0 can be used.
    """
    config = uvicorn.Config(
        create_http_app(server, host, webhooks=webhooks),
        host=host,
        port=port,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who says that somebody else asked may say anything
        timeout_graceful_shutdown=GRACE_S,
    )
    await _Server(config, head_deadline_s=head_deadline_s).serve()


class _Server(Host):
    """One that says where it is, and leaves our own clean-up its turn."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        for listener in (found for server in self.servers for found in server.sockets):
            host, port = listener.getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            log.info("serving MCP", extra={"url": f"http://{name}:{port}/mcp"})

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """As usual, but the signal is not raised again afterwards: that would end it there."""
        if sys.platform == "win32":
            with super().capture_signals():
                yield
        else:
            with on_signal(self._stop):
                yield

    def _stop(self) -> None:
        self.should_exit = True
