"""Runs the server on a transport, for KIE or for the embedded sandbox."""

import asyncio
import ipaddress
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kie_runway.logs import configure_logging
from kie_runway.pace import Pace
from kie_runway.redaction import Redactor
from kie_runway.server import RunwayServer, create_server
from kie_runway.settings import Settings
from kie_runway.stdio import serve_stdio

log = logging.getLogger(__name__)

SANDBOX_SPEED = 20.0  # a one-minute task takes three seconds
EXIT_USAGE = 2


def serve(
    *,
    http: bool = False,
    host: str = "127.0.0.1",
    port: int = 8000,
    sandbox: bool = False,
    speed: float = SANDBOX_SPEED,
    callbacks_port: int | None = None,
) -> int:
    """
    Serve MCP until the client or a signal ends it.

    Returns:
        The exit code: 0, or 2 when the settings or arguments are wrong (said on stderr).
    """
    try:
        settings = Settings()
    except ValidationError as exc:
        return _refuse(explain_settings(exc))
    if http and not _is_loopback(host):
        return _refuse(
            f"--host {host} is not loopback. Whoever reaches this server spends your credits, and "
            "it has no authentication yet: use 127.0.0.1, and a tunnel or proxy that authenticates."
        )
    if http and callbacks_port is not None:
        return _refuse("--callbacks-port is for stdio: with --http, callbacks arrive at its port.")
    if sandbox and (missing := missing_for_sandbox()):
        return _refuse(missing)
    configure_logging(settings.log_level, Redactor([settings.api_key, *settings.webhook_keys]))
    asyncio.run(_serve(settings, http, host, port, speed if sandbox else None, callbacks_port))
    return 0


async def _serve(
    settings: Settings,
    http: bool,
    host: str,
    port: int,
    sandbox_speed: float | None,
    callbacks_port: int | None,
) -> None:
    if settings.autosave is None:  # over HTTP this machine's files may be nobody's
        settings = settings.model_copy(update={"autosave": not http})
    async with _kie(settings, sandbox_speed) as (settings, pace):
        _warn(settings, takes_callbacks=http or callbacks_port is not None)
        server = create_server(settings, pace=pace)
        if http:
            from kie_runway.http_app import serve_http

            # Nobody may come for hours, and what is unfinished wants to be followed.
            opening = asyncio.create_task(server.services.open_early())
            try:
                await serve_http(server, host, port, webhooks=server.services.webhooks)
            finally:
                opening.cancel()
                await asyncio.wait([opening])
                await server.services.aclose()  # the server never ran if its port was taken
        else:
            async with _callbacks_beside(server, callbacks_port):
                await serve_stdio(server, server.services.aclose)


@asynccontextmanager
async def _callbacks_beside(server: RunwayServer, port: int | None) -> AsyncGenerator[None]:
    """Take callbacks on a port of their own, if there is to be one."""
    if port is None:
        yield
        return
    serving = asyncio.create_task(_serve_callbacks(server, port))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def _serve_callbacks(server: RunwayServer, port: int) -> None:
    await server.services.opened()  # what follows would delay the first answer
    module = await asyncio.to_thread(import_module, "kie_runway.callbacks_port")
    try:
        await module.serve_callbacks(server, server.services.webhooks, port)
    except Exception:
        log.exception("callbacks are no longer taken")


def _warn(settings: Settings, *, takes_callbacks: bool) -> None:
    """Say once what keeps callbacks from doing their work."""
    if settings.callback_url is None:
        return
    if not settings.webhook_keys:
        log.warning(
            "KIE_CALLBACK_URL is set without KIE_WEBHOOK_HMAC_KEY: callbacks work, but are not "
            "signed. Create a key at https://kie.ai/settings and set it here as well."
        )
    if not takes_callbacks:
        log.warning(
            "KIE_CALLBACK_URL is set, but this process takes no callbacks: start it with "
            "--callbacks-port or --http, or leave that to another one on the same ledger."
        )


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
    from kie_runway.setup.launch import Environment

    way = Environment.here().way_to_add("sandbox")
    return f"The sandbox draws its clips with PyAV, which is not installed. To add it:\n{way}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def explain_settings(exc: ValidationError) -> str:
    """What is wrong with the settings, a line for each."""
    return "\n".join(map(_setting_error, exc.errors(include_url=False)))


def _setting_error(error: ErrorDetails) -> str:
    """Which variable is wrong, and why; never its value."""
    variable = "KIE_" + "_".join(str(part) for part in error["loc"][:1]).upper()
    return f"{variable}: {error['msg']}"


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - stdout is never touched
    return EXIT_USAGE
