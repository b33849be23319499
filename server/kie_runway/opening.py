"""Builds the app from its settings."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from kie_runway.app import App
from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.fetch import Fetcher
from kie_runway.ledger.base import LOCAL_ACCOUNT
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.media import VideoStore, thumbnail
from kie_runway.pace import Pace
from kie_runway.settings import Settings
from kie_runway.submit import Submitter
from kie_runway.tracker import Tracker


@asynccontextmanager
async def open_app(settings: Settings, pace: Pace) -> AsyncGenerator[App]:
    """
    The app, open until the context ends; paid requests under way are then drained.

    Raises:
        LedgerError: The ledger cannot be opened.
    """
    clock = Clock()
    ledger = SqliteLedger(settings.ledger_path)
    await ledger.open()
    client = KieClient(
        settings.api_key,
        api_url=settings.api_url,
        upload_url=settings.upload_url,
        user_agent=settings.user_agent,
    )
    fetcher = Fetcher(trusted_hosts=settings.trusted_hosts, user_agent=settings.user_agent)
    tracker = Tracker(ledger, client, clock=clock, pace=pace)
    submitter = Submitter(ledger, client, clock=clock)
    await tracker.start()
    try:
        yield App(
            account=LOCAL_ACCOUNT,
            settings=settings,
            clock=clock,
            ledger=ledger,
            client=client,
            submitter=submitter,
            tracker=tracker,
            videos=VideoStore(settings.videos_dir, fetcher),
            thumbnail=partial(thumbnail, fetcher),
            shown=set(),
        )
    finally:
        # Sending ends first: what it learns still has to reach the ledger.
        await submitter.aclose()
        await tracker.aclose()
        await client.aclose()
        await ledger.aclose()
