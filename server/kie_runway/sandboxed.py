"""The embedded sandbox: settings that point at a KIE of our own on a free loopback port."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from pydantic import SecretStr

from kie_runway.pace import Pace
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox, SandboxOptions, serve


@asynccontextmanager
async def embedded_sandbox(
    settings: Settings, speed: float
) -> AsyncGenerator[tuple[Settings, Pace]]:
    """
    A running sandbox, as settings and a pace.

    Its tasks live as long as the server, so its ledger does too and never mixes with a real
    one, whatever `KIE_DATABASE_URL` says. Saved videos stay, under `<KIE_HOME>/sandbox`.
    """
    with Sandbox(SandboxOptions(speed=speed)) as sandbox:
        async with serve(sandbox) as running:
            with TemporaryDirectory(prefix="kie-sandbox-") as directory:
                replaced = {
                    "api_key": SecretStr(sandbox.options.keys[0]),
                    "api_url": running.url,
                    "upload_url": running.url,
                    "database_url": f"sqlite:///{Path(directory, 'ledger.db')}",
                    "home": settings.home_dir / "sandbox",
                    "callback_url": None,  # KIE's way to us; the sandbox posts to loopback alone
                    "trusted_hosts": (*settings.trusted_hosts, urlsplit(running.url).netloc),
                }
                yield settings.model_copy(update=replaced), Pace(scale=1 / speed)
