"""Runs the server on a transport, for KIE or for the embedded sandbox."""

import asyncio
import ipaddress
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kie_runway.logs import configure_logging
from kie_runway.pace import Pace
from kie_runway.redaction import Redactor
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway.stdio import serve_stdio

SANDBOX_SPEED = 20.0  # a one-minute task takes three seconds
EXIT_USAGE = 2


def serve(
    *,
    http: bool = False,
    host: str = "127.0.0.1",
    port: int = 8000,
    sandbox: bool = False,
    speed: float = SANDBOX_SPEED,
) -> int:
    """
    Serve MCP until the client or a signal ends it.

    Returns:
        The exit code: 0, or 2 when the settings or arguments are wrong (said on stderr).
    """
    try:
        settings = Settings()
    except ValidationError as exc:
        return _refuse("\n".join(map(_setting_error, exc.errors(include_url=False))))
    if http and not _is_loopback(host):
        return _refuse(
            f"--host {host} is not loopback. Whoever reaches this server spends your credits, and "
            "it has no authentication yet: use 127.0.0.1, and a tunnel or proxy that authenticates."
        )
    if sandbox and (missing := missing_for_sandbox()):
        return _refuse(missing)
    configure_logging(settings.log_level, Redactor([settings.api_key]))
    asyncio.run(_serve(settings, http, host, port, speed if sandbox else None))
    return 0


async def _serve(
    settings: Settings, http: bool, host: str, port: int, sandbox_speed: float | None
) -> None:
    async with _kie(settings, sandbox_speed) as (settings, pace):
        server = create_server(settings, pace=pace)
        if http:
            from kie_runway.http_app import serve_http

            await serve_http(server, host, port)
        else:
            await serve_stdio(server)


@asynccontextmanager
async def _kie(
    settings: Settings, sandbox_speed: float | None
) -> AsyncGenerator[tuple[Settings, Pace]]:
    """KIE itself, or the sandbox in its place."""
    if sandbox_speed is None:
        yield settings, Pace()
        return
    from kie_runway.sandboxed import embedded_sandbox

    async with embedded_sandbox(settings, sandbox_speed) as replaced:
        yield replaced


def missing_for_sandbox() -> str | None:
    """What to install before the sandbox can draw; None when all is there."""
    if all(find_spec(name) for name in ("av", "PIL", "multipart")):
        return None
    return "The sandbox draws its clips with PyAV: pip install 'kie-runway-mcp[sandbox]'"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _setting_error(error: ErrorDetails) -> str:
    """Which variable is wrong, and why; never its value."""
    variable = "KIE_" + "_".join(str(part) for part in error["loc"][:1]).upper()
    return f"{variable}: {error['msg']}"


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - stdout is never touched
    return EXIT_USAGE
