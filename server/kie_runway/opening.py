"""Builds the app from its settings."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from kie_runway.app import App
from kie_runway.autosave import Autosaver
from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.confirming import Confirmer
from kie_runway.fetch import Fetcher
from kie_runway.finder import Finder
from kie_runway.leases import Leases
from kie_runway.ledger.records import LOCAL_ACCOUNT
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.looker import Looker
from kie_runway.media import VideoStore, thumbnail
from kie_runway.news import News
from kie_runway.pace import Pace
from kie_runway.rate import Rate
from kie_runway.rescue import Rescue
from kie_runway.saving import Saver
from kie_runway.settings import Settings
from kie_runway.sheets import Sheets
from kie_runway.submit import Submitter
from kie_runway.tracker import Tracker
from kie_runway.uploading import Uploader
from kie_runway.webhooks import Webhooks


@asynccontextmanager
async def open_app(settings: Settings, pace: Pace) -> AsyncGenerator[App]:
    """
    The app, open until the context ends; paid requests under way are then drained.

    Raises:
        LedgerError: The ledger cannot be opened.
    """
    clock = Clock()
    ledger = SqliteLedger(settings.ledger_path, daily_credits=settings.daily_credits)
    client = KieClient(
        settings.api_key,
        api_url=settings.api_url,
        upload_url=settings.upload_url,
        user_agent=settings.user_agent,
    )
    fetcher = Fetcher(trusted_hosts=settings.trusted_hosts, user_agent=settings.user_agent)
    looker = Looker(client, Rate(pace.looks_per_s))
    tracker = Tracker(ledger, looker, clock=clock, pace=pace)
    news = News(LOCAL_ACCOUNT, ledger, tracker)
    confirmer = Confirmer(ledger, looker, tracker, clock=clock, pace=pace)
    rescue = Rescue(settings.ledger_path)
    leases = Leases(ledger, clock, rescue)
    submitter = Submitter(
        ledger,
        client,
        clock=clock,
        leases=leases,
        rescue=rescue,
        callback_base_url=settings.callback_url,
    )
    uploader = Uploader(
        LOCAL_ACCOUNT,
        client,
        ledger.uploads,
        clock=clock,
        service=settings.upload_url,
        roots=settings.upload_roots,
    )
    saver = Saver(ledger, looker, VideoStore(settings.videos_dir, fetcher), clock)
    autosaver = Autosaver(ledger, saver, clock)
    sheets = Sheets(settings.home_dir / "frames", fetcher)
    async with AsyncExitStack() as stack:
        # Closed in reverse: sending ends before all that brings what it learns to the ledger.
        stack.push_async_callback(ledger.aclose)
        await ledger.open()
        stack.push_async_callback(client.aclose)
        stack.push_async_callback(uploader.aclose)
        stack.push_async_callback(tracker.aclose)
        await tracker.start()
        stack.push_async_callback(news.aclose)
        news.start()
        stack.push_async_callback(confirmer.aclose)
        confirmer.start()
        stack.push_async_callback(leases.aclose)
        await leases.open()
        stack.push_async_callback(submitter.aclose)
        if settings.autosave:
            stack.push_async_callback(autosaver.aclose)
            autosaver.start()
        stack.push_async_callback(sheets.aclose)
        yield App(
            account=LOCAL_ACCOUNT,
            settings=settings,
            clock=clock,
            ledger=ledger,
            client=client,
            submitter=submitter,
            uploader=uploader,
            finder=Finder(ledger, looker, clock),
            tracker=tracker,
            news=news,
            webhooks=Webhooks(
                ledger.inbox, keys=settings.webhook_keys, clock=clock, arrived=confirmer.wake
            ),
            saver=saver,
            saved=autosaver.saved if settings.autosave else None,
            sheets=sheets,
            thumbnail=partial(thumbnail, fetcher),
            pictured={},
        )
