"""What runs share: a served sandbox, a receiver of callbacks, and how the product is wired."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from tests.faults.evidence import witness
from tests.faults.power import Wired
from tests.faults.rig import Rig
from tests.sockets import http, listening, read_request
from tests.support import KEY, draw, settings_for

from kie_runway import opening
from kie_runway.client import KieClient
from kie_runway.errors import NotSentError
from kie_runway.hooks_app import HOOKS_ROUTE, HooksEndpoint
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.settings import Settings
from kie_runway.webhooks import Webhooks
from kie_runway_sandbox import Sandbox, SandboxOptions, serve


class _Client(KieClient):
    """Skips its pauses; and KIE can be out of reach, which no port on loopback is by turns."""

    def __init__(self, rig: Rig, *args: Any, **kwargs: Any) -> None:
        async def skip(_: float) -> None:
            await asyncio.sleep(0)

        super().__init__(*args, **kwargs, sleep=skip)
        self._rig = rig

    async def create(self, *args: Any, **kwargs: Any) -> str:
        if self._rig.unreachable:
            self._rig.unreachable -= 1
            raise NotSentError("KIE could not be reached.")
        return await super().create(*args, **kwargs)


@dataclass
class House:
    """A served sandbox and a receiver of callbacks, used by one run after another."""

    sandbox: Sandbox
    settings: Settings
    rig: Rig | None = None

    @asynccontextmanager
    async def run(self, home: Path) -> AsyncGenerator[Rig]:
        """A new run: KIE as new, an empty ledger."""
        self.sandbox.reset()
        settings = self.settings.model_copy(update={"home": home})
        with witness(self.sandbox, settings.ledger_path) as sightings:
            rig = self.rig = Rig(self.sandbox, settings, sightings)
            try:
                yield rig
            finally:
                for process in list(rig.processes):
                    await rig.kill(process)
                self.rig = None

    async def webhooks(self) -> Webhooks:
        """Of any app that is alive; callbacks find nobody when none is."""
        if self.rig is not None:
            for process in self.rig.processes:
                if process.power.is_on:
                    return process.app.webhooks
        raise ConnectionResetError


@asynccontextmanager
async def open_house(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[House]:
    """A house whose apps are wired by the product, with the rig's clock and on its power."""
    options = SandboxOptions(keys=(KEY,), advance="manual", callback_spacing_s=0.0)
    with Sandbox(options, renderer=draw) as sandbox:
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(serve(sandbox))
            house = House(sandbox, settings_for(running.url))
            port = await stack.enter_async_context(listening(_receiver(house)))
            house.settings = settings_for(
                running.url, callback_url=f"http://127.0.0.1:{port}", autosave=False
            )

            def ledger(*args: Any, **kwargs: Any) -> Any:
                assert house.rig is not None
                return Wired(SqliteLedger(*args, **kwargs), house.rig.opening_with)

            def client(*args: Any, **kwargs: Any) -> Any:
                assert house.rig is not None
                return Wired(_Client(house.rig, *args, **kwargs), house.rig.opening_with)

            def clock() -> Any:
                assert house.rig is not None
                return Wired(house.rig.clock, house.rig.opening_with)

            tls = cache(httpx.create_ssl_context)  # half of an app's start
            monkeypatch.setattr(httpx, "create_ssl_context", tls)
            monkeypatch.setattr(opening, "SqliteLedger", ledger)
            monkeypatch.setattr(opening, "KieClient", client)
            monkeypatch.setattr(opening, "Clock", clock)
            yield house


def _receiver(
    house: House,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """The product's endpoint for callbacks, behind a socket that outlives the apps."""
    endpoint = HooksEndpoint(house.webhooks)
    asgi = httpx.ASGITransport(
        Starlette(routes=[Route(HOOKS_ROUTE, endpoint.receive, methods=["POST"])])
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _, body = (await read_request(reader)).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [cast("tuple[str, str]", tuple(line.split(": ", 1))) for line in lines]
        async with httpx.AsyncClient(transport=asgi, base_url="http://receiver") as client:
            answer = await client.post(first.split(" ")[1], headers=headers, content=body)
        writer.write(http(status=f"{answer.status_code} {answer.reason_phrase}"))
        await writer.drain()

    return handle
