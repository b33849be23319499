"""Changes of tasks reach clients of both eras, and those who leave leave nothing behind."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

import anyio
import anyio.lowlevel
import mcp.types as t
import pytest
from mcp import Client, MCPError
from mcp.client.subscriptions import ResourceUpdated
from tests.hosting import hosted
from tests.support import QUICK, Agent, Era, connect, serve_sandbox

from kie_runway.app import App
from kie_runway.http_app import create_http_app
from kie_runway.news import News
from kie_runway.server import RunwayServer, create_server
from kie_runway.settings import Settings
from kie_runway_tools.feed import Feed

pytestmark = pytest.mark.anyio

WITHIN_S = 60
NO_SUCH_TASK = "No task here has this id; kie://tasks names the latest."
NO_SUCH_RESOURCE = "Unknown resource; resources/list and resources/templates/list name them."


class Host:
    """A client that follows resources the way of its era."""

    def __init__(self, client: Client, era: Era, streams: AsyncExitStack) -> None:
        self.client = client
        self.agent = Agent(client)
        self.updated: asyncio.Queue[str] = asyncio.Queue()
        self._era = era
        self._streams = streams

    async def follow(self, *uris: str) -> None:
        if self._era == "legacy":
            for uri in uris:
                await subscribe(self.client, uri)
            return
        stream = await self._streams.enter_async_context(
            self.client.listen(resource_subscriptions=uris)
        )
        assert stream.honored.resource_subscriptions == list(uris)

        async def read() -> None:
            async for event in stream:
                assert isinstance(event, ResourceUpdated)
                self.updated.put_nowait(event.uri)

        reading = asyncio.create_task(read())
        self._streams.callback(reading.cancel)

    async def hears_of(self, *uris: str) -> None:
        """Wait until each has been updated; no other may be."""
        missing = set(uris)
        with anyio.fail_after(WITHIN_S):
            while missing:
                uri = await self.updated.get()
                assert uri in uris
                missing.discard(uri)


@asynccontextmanager
async def hosting(settings: Settings, era: Era) -> AsyncGenerator[Host]:
    async with host_of(create_server(settings, pace=QUICK), era) as host:
        yield host


@asynccontextmanager
async def host_of(server: RunwayServer | str, era: Era) -> AsyncGenerator[Host]:
    host: Host

    async def note(message: object) -> None:
        if isinstance(message, t.ResourceUpdatedNotification) and era == "legacy":
            host.updated.put_nowait(str(message.params.uri))

    async with Client(server, mode=era, message_handler=note) as client, AsyncExitStack() as stack:
        host = Host(client, era, stack)
        yield host


async def subscribe(client: Client, uri: str) -> None:
    """As clients of the handshake era do."""
    request = t.SubscribeRequest(params=t.SubscribeRequestParams(uri=uri))
    await client.session.send_request(request, t.EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    """The reverse."""
    request = t.UnsubscribeRequest(params=t.UnsubscribeRequestParams(uri=uri))
    await client.session.send_request(request, t.EmptyResult)


def of_task(any_id: str) -> str:
    return f"kie://tasks/{quote(any_id, safe='')}"


async def test_subscriptions_are_promised(era: Era) -> None:
    async with hosting(Settings(), era) as host:
        capabilities = host.client.server_capabilities

    assert capabilities.resources is not None
    assert capabilities.resources.subscribe


@pytest.mark.parametrize("request_id", ["one", "a/b c"])
async def test_a_task_is_heard_of_by_both_ids_and_in_the_list(era: Era, request_id: str) -> None:
    async with serve_sandbox() as (sandbox, settings), hosting(settings, era) as host:
        await host.follow("kie://tasks")
        task = await host.agent.call("generate_video", prompt="a boat", request_id=request_id)
        await host.hears_of("kie://tasks")
        uris = (of_task(task["task_id"]), of_task(request_id))
        await host.follow(*uris)
        sandbox.finish(task["task_id"])
        await host.hears_of(*uris, "kie://tasks")
        await host.agent.call("save_video", task_id=request_id)
        await host.hears_of(*uris, "kie://tasks")


async def test_frames_are_heard_of_once_when_the_video_is_there(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), hosting(settings, era) as host:
        task = await host.agent.call("generate_video", prompt="a boat", request_id="one")
        frames = [f"{of_task(any_id)}/frames" for any_id in (task["task_id"], "one")]
        await host.follow(*frames)
        sandbox.finish(task["task_id"])
        await host.hears_of(*frames)
        await host.follow(of_task("one"))
        await host.agent.call("save_video", task_id="one")
        await host.hears_of(of_task("one"))

        assert host.updated.empty()


async def test_a_failure_and_an_expiry_are_heard_of(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), hosting(settings, era) as host:
        tasks = [await host.agent.call("generate_video", prompt=prompt) for prompt in ("a", "b")]
        failing, expiring = (of_task(task["task_id"]) for task in tasks)
        await host.follow(failing, expiring)
        sandbox.fail(tasks[0]["task_id"])
        await host.hears_of(failing)
        sandbox.finish(tasks[1]["task_id"])
        await host.hears_of(expiring)
        sandbox.advance(15 * 24 * 3600)
        await host.agent.fail("save_video", task_id=tasks[1]["task_id"])
        await host.hears_of(expiring)


async def test_changes_by_another_server_on_the_ledger_are_heard_of(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kie_runway.tracker.ELSEWHERE_S", 0.01)
    async with (
        serve_sandbox() as (sandbox, settings),
        hosting(settings, era) as host,
        connect(settings) as other,
    ):
        task = await other.call("generate_video", prompt="a boat", request_id="one")
        uri = of_task("one")
        await host.follow(uri)
        sandbox.finish(task["task_id"])
        await host.hears_of(uri)
        await other.call("get_task", task_id="one", wait_seconds=30)
        await other.call("save_video", task_id="one")
        await host.hears_of(uri)


async def test_what_does_not_exist_is_refused_in_the_handshake_era() -> None:
    async with serve_sandbox() as (_, settings), hosting(settings, "legacy") as host:
        await host.agent.call("generate_video", prompt="a boat", request_id="one")
        for uri in ("kie://tasks/no-such-task", "kie://tasks/", "kie://other", "file:///x"):
            with pytest.raises(MCPError) as caught:
                await host.follow(uri)
            error = caught.value.error
            assert (error.code, error.data) == (-32602, {"uri": uri})
            assert error.message == (NO_SUCH_TASK if "tasks/" in uri else NO_SUCH_RESOURCE)


async def test_what_does_not_exist_is_left_out_of_the_acknowledgement() -> None:
    wanted = ["kie://tasks/no-such-task", "kie://tasks", "kie://tasks", "kie://other"]
    async with (
        serve_sandbox() as (_, settings),
        hosting(settings, "auto") as host,
        host.client.listen(resource_subscriptions=wanted) as stream,
    ):
        honored = stream.honored

    assert honored.resource_subscriptions == ["kie://tasks"]
    assert honored.tools_list_changed is None


async def test_neither_a_broken_ledger_nor_a_crash_gives_anything_away(
    era: Era, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    async with hosting(Settings(home=tmp_path / "file"), era) as host:
        with pytest.raises(MCPError, match="KIE_HOME") as broken:
            await host.follow("kie://tasks")

    async def crash(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(News, "watch", crash)
    async with hosting(Settings(), era) as host:
        with pytest.raises(MCPError) as crashed:
            await host.follow("kie://tasks")

    assert {broken.value.error.code, crashed.value.error.code} == {-32603}
    assert "secret" not in crashed.value.error.message


@pytest.mark.parametrize(
    "odd",
    ["%ED%A0%80", "%00", "\x00", "ü€😀", "x" * 70_000],
    ids=lambda odd: ascii(odd[:8]),
)
async def test_odd_ids_are_as_unknown_as_others(era: Era, odd: str) -> None:
    async with serve_sandbox() as (_, settings), hosting(settings, era) as host:
        if era == "legacy":
            with pytest.raises(MCPError) as caught:
                await host.follow(f"kie://tasks/{odd}")
            assert caught.value.error.code == -32602
        else:
            uris = [f"kie://tasks/{odd}", "kie://tasks"]
            async with host.client.listen(resource_subscriptions=uris) as stream:
                assert stream.honored.resource_subscriptions == ["kie://tasks"]


async def test_what_never_changes_may_be_followed(era: Era) -> None:
    async with serve_sandbox() as (_, settings), hosting(settings, era) as host:
        for resource in (await host.client.list_resources()).resources:
            await host.follow(resource.uri)


async def test_there_is_an_end_to_subscriptions(era: Era, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("feed", "subscriptions"):
        monkeypatch.setattr(f"kie_runway_tools.{module}.SUBSCRIPTIONS_MAX", 2)
    async with serve_sandbox() as (_, settings), hosting(settings, era) as host:
        uris = ["kie://tasks"]
        for prompt in ("a", "b"):
            task = await host.agent.call("generate_video", prompt=prompt)
            uris.append(of_task(task["task_id"]))
        with pytest.raises(MCPError, match="At most 2 subscriptions"):
            await host.follow(*uris)


async def test_there_is_an_end_to_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kie_runway_tools.subscriptions.STREAMS_MAX", 1)
    async with serve_sandbox() as (_, settings), hosting(settings, "auto") as host:
        async with host.client.listen(resource_subscriptions=["kie://tasks"]):
            with pytest.raises(MCPError, match="At most 1 streams"):
                await host.follow("kie://tasks")
        with anyio.fail_after(WITHIN_S):
            await follow_when_free(host)


async def follow_when_free(host: Host) -> None:
    while True:
        try:
            return await host.follow("kie://tasks")
        except MCPError:
            await anyio.lowlevel.checkpoint()


async def test_who_unsubscribes_hears_nothing_more() -> None:
    async with serve_sandbox() as (sandbox, settings), hosting(settings, "legacy") as host:
        task = await host.agent.call("generate_video", prompt="a boat", request_id="one")
        uri = of_task(task["task_id"])
        await unsubscribe(host.client, uri)
        await host.follow(uri, uri, of_task("one"))
        await unsubscribe(host.client, uri)
        await unsubscribe(host.client, uri)
        sandbox.finish(task["task_id"])
        await host.hears_of(of_task("one"))


async def test_a_client_that_leaves_is_forgotten(era: Era, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_sandbox() as (_, settings):
        server = create_server(settings, pace=QUICK)
        async with hosted(create_http_app(server)) as base:
            async with host_of(f"{base}/mcp", era) as host:
                task = await host.agent.call("generate_video", prompt="a boat")
                watchers = Watchers(await server.services.ready(), monkeypatch)
                await host.follow(of_task(task["task_id"]))
                while_there = watchers.count
            with anyio.fail_after(WITHIN_S):
                await watchers.gone.wait()

    assert while_there == 1


class Watchers:
    """Counts what watches tasks on behalf of subscribers."""

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.gone = asyncio.Event()
        watching = app.tracker.watching

        @contextmanager
        def counted(entry_id: int) -> Generator[None]:
            self.count += 1
            with watching(entry_id):
                yield
            self.count -= 1
            if not self.count:
                self.gone.set()

        monkeypatch.setattr(app.tracker, "watching", counted)


async def test_who_does_not_read_holds_up_nobody() -> None:
    """One change of each thing waits for a reader, however many there were."""
    async with serve_sandbox() as (_, settings):
        server = create_server(settings, pace=QUICK)
        async with host_of(server, "auto") as host:
            await slow_and_quick(host, await server.services.ready())


async def slow_and_quick(host: Host, app: App) -> None:
    slow, quick = Feed(app), Feed(app)
    task = await host.agent.call("generate_video", prompt="a boat", request_id="one")
    for feed in (slow, quick):
        assert await feed.add(("resource", "one"), "one")
    entry = await app.ledger.find(app.account, task["task_id"])
    assert entry is not None
    with anyio.fail_after(WITHIN_S):
        for number in range(50):
            await app.ledger.set_file(entry.id, f"/videos/{number}.mp4")
            assert await quick.take() == ("resource", "one")
        assert await slow.take() == ("resource", "one")
    with anyio.move_on_after(0) as scope:
        await slow.take()

    assert scope.cancelled_caught
