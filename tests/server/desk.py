"""A submitter at work on a ledger, and a clock that does not make tests wait."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.leases import Leases
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import GenerateRequest
from kie_runway.rescue import Rescue
from kie_runway.settings import Settings
from kie_runway.submit import Submitter
from kie_runway_sandbox import Sandbox

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class QuickClock(Clock):
    """Sleeping moves this clock on at once."""

    def __init__(self) -> None:
        self.at = NOW
        self.slept: list[float] = []
        self.sandbox: Sandbox | None = None  # whose frozen clock moves along

    def now(self) -> datetime:
        return self.at

    def steady_s(self) -> float:
        return (self.at - NOW).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)
        if self.sandbox is not None:
            self.sandbox.advance(seconds)
        await asyncio.sleep(0)


def request(prompt: str = "a boat") -> GenerateRequest:
    return GenerateRequest(prompt=prompt, aspect_ratio="16:9")


class Desk:
    """A submitter with its ledger; several may share one file, as processes do."""

    def __init__(
        self, settings: Settings, path: Path, clock: Clock, callback_base_url: str | None = None
    ) -> None:
        self.ledger = SqliteLedger(path, daily_credits=settings.daily_credits)
        self.client = KieClient(
            settings.api_key,
            api_url=settings.api_url,
            upload_url=settings.upload_url,
            user_agent=settings.user_agent,
        )
        self.rescue = Rescue(path)
        self.leases = Leases(self.ledger, clock, self.rescue)
        self.submitter = Submitter(
            self.ledger,
            self.client,
            clock=clock,
            leases=self.leases,
            rescue=self.rescue,
            callback_base_url=callback_base_url,
        )

    async def start(
        self, prompt: str = "a boat", request_id: str | None = None, *, confirmed: bool = False
    ) -> Entry:
        opened = await self.submitter.start(
            LOCAL_ACCOUNT, request(prompt), request_id, confirmed=confirmed
        )
        return opened.entry


@asynccontextmanager
async def open_desk(
    settings: Settings,
    path: Path,
    clock: Clock | None = None,
    *,
    callback_base_url: str | None = None,
) -> AsyncGenerator[Desk]:
    desk = Desk(settings, path, clock or QuickClock(), callback_base_url)
    await desk.ledger.open()
    try:
        yield desk
    finally:
        await desk.submitter.aclose()
        await desk.client.aclose()
        await desk.ledger.aclose()


def creates(sandbox: Sandbox) -> int:
    return len(sandbox.log.select("create"))
