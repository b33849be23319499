"""Tells clients of both eras that tasks have changed."""

import asyncio
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Literal, cast
from urllib.parse import unquote

import mcp.types as t
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.connection import Connection
from mcp.server.mcpserver import require_client_extension
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from pydantic import BaseModel

from kie_runway.app import App, Services
from kie_runway.errors import KieRunwayError
from kie_runway.sdk import NO_SUCH_RESOURCE, StrictServer
from kie_runway.task_extension import TASKS
from kie_runway_tools.feed import SUBSCRIPTIONS_MAX, Feed, Subject, too_many
from kie_runway_tools.ledger_tasks import LedgerTasks
from kie_runway_tools.resources import NO_SUCH_TASK

STREAMS_MAX = 1024
_TASK_URI = re.compile(r"kie://tasks(?:/(?P<id>[^/]*)(?P<frames>/frames)?)?")
_FEED: Final = "kie_runway.feed"


def add_subscriptions(server: StrictServer[Any], services: Services, tasks: LedgerTasks) -> None:
    """Serve `resources/subscribe`, `resources/unsubscribe` and `subscriptions/listen`."""
    subscriptions = Subscriptions(server, services, tasks)
    server.serve_subscriptions(
        subscribe=subscriptions.subscribe,
        unsubscribe=subscriptions.unsubscribe,
        listen=subscriptions.listen,
    )


class TaskNotification(BaseModel):
    """A task in full, to whoever listens for it."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class Subscriptions:
    """
    Who follows what, and how they are told.

    What names no task and no resource is refused in the handshake era, where each subscription
    is a request of its own; in the modern one it is left out of the acknowledgement.
    """

    def __init__(self, server: StrictServer[Any], services: Services, tasks: LedgerTasks) -> None:
        self._server = server
        self._services = services
        self._tasks = tasks
        self._streams = 0

    async def subscribe(self, connection: Connection, uri: str) -> None:
        """
        Tell a connection of a resource's changes until it ends or unsubscribes.

        Raises:
            MCPError: There is no such resource, it is one too many, or the ledger is broken.
        """
        with _told_as_protocol_error():
            app = await self._services.ready()
            feed: Feed = connection.state.get(_FEED) or _open_feed(app, connection)
            if not await self._follow(feed, uri):
                reason = NO_SUCH_TASK if _TASK_URI.fullmatch(uri) else NO_SUCH_RESOURCE
                raise MCPError(t.INVALID_PARAMS, reason, {"uri": uri})

    async def unsubscribe(self, connection: Connection, uri: str) -> None:
        """Tell it no more; doing so again changes nothing."""
        feed: Feed | None = connection.state.get(_FEED)
        if feed is not None:
            feed.remove(("resource", uri))

    async def listen(
        self, ctx: ServerRequestContext[Any, Any], params: t.SubscriptionsListenRequestParams
    ) -> t.SubscriptionsListenResult:
        """
        Tell of changes as long as the request lasts.

        Raises:
            MCPError: Too many listen, or to too much; or the ledger is broken.
        """
        if ctx.request_id is None:
            raise MCPError(t.INVALID_REQUEST, "A stream needs a request with an id.")
        if self._streams >= STREAMS_MAX:
            raise MCPError(t.INTERNAL_ERROR, f"At most {STREAMS_MAX} streams.")
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        self._streams += 1
        feed: Feed | None = None
        results: set[asyncio.Task[None]] = set()
        try:
            with _told_as_protocol_error():
                wanted = params.notifications
                uris = list(dict.fromkeys(wanted.resource_subscriptions or ()))
                task_ids = _task_ids(ctx, wanted)
                if len(uris) + len(task_ids) > SUBSCRIPTIONS_MAX:
                    raise too_many()
                feed = Feed(await self._services.ready())
                uris = [uri for uri in uris if await self._follow(feed, uri)]
                task_ids = [id for id in task_ids if await feed.add(("task", id), id)]
                await self._acknowledge(ctx, wanted, uris, task_ids, meta)
                await self._put_ended(feed, task_ids)
                while True:
                    subject = await feed.take()
                    if not await self._has_ended(subject):
                        await self._tell(ctx, subject, meta)
                        continue
                    # A result may hold a picture: it is told once, and holds nothing else up.
                    feed.remove(subject)
                    telling = asyncio.create_task(self._tell(ctx, subject, meta))
                    results.add(telling)
                    telling.add_done_callback(results.discard)
        finally:
            self._streams -= 1
            for telling in results:
                telling.cancel()
            if feed is not None:
                feed.close()

    async def _follow(self, feed: Feed, uri: str) -> bool:
        """Whether there is such a resource; what never changes need not be followed."""
        task = _TASK_URI.fullmatch(uri)
        if task is not None:
            any_id = None if task["id"] is None else unquote(task["id"])
            return await feed.add(("resource", uri), any_id, frames=bool(task["frames"]))
        return uri in {str(resource.uri) for resource in await self._server.list_resources()}

    async def _acknowledge(
        self,
        ctx: ServerRequestContext[Any, Any],
        wanted: t.SubscriptionFilter,
        uris: list[str],
        task_ids: list[str],
        meta: dict[str, Any],
    ) -> None:
        honored = t.SubscriptionFilter(
            tools_list_changed=wanted.tools_list_changed or None,
            prompts_list_changed=wanted.prompts_list_changed or None,
            resources_list_changed=wanted.resources_list_changed or None,
            resource_subscriptions=uris or None,
        )
        if task_ids:
            honored = t.SubscriptionFilter.model_validate(
                honored.model_dump(by_alias=True, exclude_none=True) | {"taskIds": task_ids}
            )
        await ctx.session.send_notification(
            t.SubscriptionsAcknowledgedNotification(
                params=t.SubscriptionsAcknowledgedNotificationParams(
                    notifications=honored, _meta=meta
                )
            ),
            related_request_id=ctx.request_id,
        )

    async def _put_ended(self, feed: Feed, task_ids: list[str]) -> None:
        """Tasks may have ended before anybody could listen; who only listens must learn it."""
        for task_id in task_ids:
            if await self._tasks.has_ended(task_id):
                feed.put(("task", task_id))

    async def _has_ended(self, subject: Subject) -> bool:
        kind, name = subject
        return kind == "task" and await self._tasks.has_ended(name)

    async def _tell(
        self, ctx: ServerRequestContext[Any, Any], subject: Subject, meta: dict[str, Any]
    ) -> None:
        notification = await self._render(subject, meta)
        await ctx.session.send_notification(notification, related_request_id=ctx.request_id)

    async def _render(self, subject: Subject, meta: dict[str, Any]) -> t.ServerNotification:
        kind, name = subject
        if kind == "resource":
            return t.ResourceUpdatedNotification(
                params=t.ResourceUpdatedNotificationParams(uri=name, _meta=meta)
            )
        status = await self._tasks.read(name)
        assert status is not None  # rows are kept for ever
        notification = TaskNotification(params=status.full() | {"_meta": meta})
        return cast("t.ServerNotification", notification)  # an extension's is in no union


def _task_ids(ctx: ServerRequestContext[Any, Any], wanted: t.SubscriptionFilter) -> list[str]:
    """The tasks that a client of the Tasks extension wants to hear of."""
    named: object = (wanted.model_extra or {}).get("taskIds")
    if not isinstance(named, list) or not named:
        return []
    require_client_extension(ctx, TASKS)
    ids = cast("list[object]", named)
    return list(dict.fromkeys(id for id in ids if isinstance(id, str)))


def _open_feed(app: App, connection: Connection) -> Feed:
    """The feed of a connection, told to it by a task that ends with the connection."""
    feed = connection.state[_FEED] = Feed(app)

    async def push() -> None:
        while True:
            _, uri = await feed.take()
            await connection.notify("notifications/resources/updated", {"uri": uri})

    async def stop() -> None:
        feed.close()
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)

    pushing = asyncio.create_task(push(), name="push")
    connection.exit_stack.push_async_callback(stop)
    return feed


@contextmanager
def _told_as_protocol_error() -> Generator[None]:
    try:
        yield
    except KieRunwayError as exc:
        raise MCPError(t.INTERNAL_ERROR, exc.reason) from exc
