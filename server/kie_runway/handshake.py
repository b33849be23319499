"""Encrypted connections that are given up while they are made."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""What httpx calls along a request that has this among its `extensions`, as `trace`."""


def closing_on_failure() -> Trace:
    """
    For one request: closes the connection if its TLS handshake fails.

    httpcore does so itself, unless the request is cancelled in the midst of it: then it drops the
    open socket.
    """
    connected: Any = None

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        nonlocal connected
        if event == "connection.connect_tcp.complete":
            connected = info["return_value"]
        elif event == "connection.start_tls.failed" and connected is not None:
            await connected.aclose()

    return trace
