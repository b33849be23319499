"""A conversation in a host that shows cards: its model, its user, and what went over the wire."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Frame,
    FrameLocator,
    Locator,
    Page,
    Request,
)
from playwright.async_api import expect as expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from tests.hosting import hosted
from tests.obedient.world import MovableClock
from tests.support import KEY, settings_for

from kie_runway import opening
from kie_runway.http_app import create_http_app
from kie_runway.pace import Pace
from kie_runway.server import RunwayServer, create_server
from kie_runway_sandbox import Sandbox, SandboxOptions, serve
from kie_runway_sandbox.clips import Renderer
from kie_runway_sandbox.log import LogEntry

HOST_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A chat</title>
<link rel="icon" href="data:,">
<style>
body { margin: 0 }
iframe { box-sizing: border-box; display: block; width: 100%; height: 200px; border: 0 }
iframe.bordered { border: 1px solid #8885; border-radius: 12px }
</style>
<script type="module" src="/host.js"></script></html>"""
BRISK = Pace(scale=0.02)  # the first look after 160 ms, stuck after 36 s
UNHURRIED = Pace(scale=0.1)  # three minutes pass before anything is called stuck
WITHIN_MS = 60_000  # a busy machine; nothing waits this long unless it is broken
LOOK: Mapping[str, Any] = {"viewport": {"width": 700, "height": 900}}
PROMPT = "A paper boat drifts across a calm sea at sunset"

Trouble = Literal["refuse", "lose", "hang"]


@dataclass
class Chat:
    """
    A browser with the host page, the server behind it, and a KIE.

    Tasks move when the test says so: `sandbox.advance(seconds)` or `sandbox.finish(task_id)`.
    """

    page: Page
    sandbox: Sandbox
    server: RunwayServer
    clock: MovableClock
    origins: frozenset[str]
    """From which the page may load anything: the host's own, and the videos' host."""
    noise: list[str] = field(default_factory=list[str])
    """Errors and warnings on the browser's console."""
    requests: list[str] = field(default_factory=list[str])
    """Addresses that the page asked for."""
    blocked: list[str] = field(default_factory=list[str])
    """Those that its CSP kept from being asked for."""
    expected: list[str] = field(default_factory=list[str])
    """Patterns of what the console may say."""

    @property
    def frame(self) -> Frame:
        """The card's document, for what no user could do."""
        return self.page.frames[-1]

    @property
    def card(self) -> FrameLocator:
        """The card, as a user finds their way in it."""
        return self.page.frame_locator("iframe")

    @property
    def view(self) -> Locator:
        """The card's main part."""
        return self.card.locator("main")

    @property
    def task(self) -> Locator:
        """The task that is shown."""
        return self.card.locator("article")

    @property
    def status(self) -> Locator:
        """What a screen reader speaks unasked."""
        return self.card.get_by_role("status")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        """A button of the card."""
        return self.card.get_by_role("button", name=name, exact=isinstance(name, str))

    async def connect(self, **options: Any) -> str:
        """Connect the host to the server; returns the revision. See `Host.connect`."""
        version: str = await self.page.evaluate("options => host.connect(options)", options)
        return version

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """A tool's whole result, as the model calls it."""
        result: dict[str, Any] = await self.page.evaluate(
            "([name, args]) => host.call(name, args)", [tool, arguments]
        )
        return result

    async def make(self, **arguments: Any) -> str:
        """The id of a video that the model starts."""
        result = await self.call("generate_video", **({"prompt": PROMPT} | arguments))
        task_id: str = result["structuredContent"]["task_id"]
        return task_id

    async def open(self, tool: str = "generate_video", **options: Any) -> str:
        """Open a tool's card, before there is any result; returns its CSP. See `Host.open`."""
        csp: str = await self.page.evaluate(
            "([name, options]) => host.open(name, options)", [tool, options]
        )
        return csp

    async def tell(self, what: Literal["input", "result", "change"], value: object) -> None:
        """Hand the card its tool's arguments, its result, or a change of the host's context."""
        await self.page.evaluate("([what, value]) => host[what](value)", [what, value])

    async def show(
        self, tool: str = "generate_video", /, options: Mapping[str, Any] | None = None, **args: Any
    ) -> dict[str, Any]:
        """What happens when the model calls a tool that has a card; returns the result."""
        if tool == "generate_video":
            args = {"prompt": PROMPT} | args
        await self.open(tool, **(options or {}))
        await self.tell("input", args)
        result = await self.call(tool, **args)
        await self.tell("result", result)
        return result

    async def show_task(self, **options: Any) -> str:
        """The id of a new video, whose card is shown."""
        result = await self.show(options=options)
        task_id: str = result["structuredContent"]["task_id"]
        return task_id

    async def show_finished(self, **options: Any) -> str:
        """The same for one that is finished by the time the card has looked."""
        task_id = await self.show_task(**options)
        self.sandbox.finish(task_id)
        await self.is_state("success")
        return task_id

    async def is_state(self, state: str) -> None:
        """Wait until the card shows a task in this state."""
        await expect(self.task).to_have_attribute("data-state", state)

    async def is_view(self, view: str) -> None:
        """Wait until the card shows this view."""
        await expect(self.view).to_have_attribute("data-view", view)

    async def video_is(self, condition: str, *, on: str) -> None:
        """Wait until a condition on the video's properties holds, which an event can bring."""
        expression = f"""(video) => new Promise((done) => {{
            const check = () => video.{condition} && done(true);
            video.addEventListener("{on}", check);
            check();
        }})"""
        async with asyncio.timeout(WITHIN_MS / 1000):
            await self.card.locator("video").evaluate(expression)

    async def said(self, kind: str) -> list[dict[str, Any]]:
        """What the card has asked of the host, by kind: `tools/call`, `open-link`, …"""
        found: list[dict[str, Any]] = await self.page.evaluate(
            "kind => host.said.filter(it => it.kind === kind).map(it => it.params)", kind
        )
        return found

    async def calls(self, tool: str) -> list[dict[str, Any]]:
        """The arguments of the card's calls of a tool."""
        return [call["arguments"] for call in await self.said("tools/call") if call["name"] == tool]

    async def has_said(self, kind: str, times: int = 1) -> None:
        """Wait until the card has asked something of the host so often."""
        await self.page.wait_for_function(
            "([kind, times]) => host.said.filter(it => it.kind === kind).length >= times",
            arg=[kind, times],
        )

    async def spoil(self, tool: str, trouble: Trouble) -> None:
        """The card's next call of a tool meets trouble, see `host.js`."""
        await self.page.evaluate("([tool, it]) => host.spoil(tool, it)", [tool, trouble])

    @property
    def paid(self) -> list[LogEntry]:
        """Every video that KIE was really paid for."""
        return self.sandbox.log.select("create")

    def pass_time(self, **time: float) -> None:
        """Set the server's clock and KIE's forward."""
        passed = timedelta(**time)
        self.clock.ahead += passed
        self.sandbox.advance(passed.total_seconds())

    async def sweep(self) -> None:
        """Let the server notice what time alone has changed, as it does now and then."""
        app = await self.server.services.ready()
        await app.tracker.sweep()

    async def expect_noise(self, pattern: str) -> None:
        """Wait until the console has said something; that, and more of it, is no trouble."""
        self.expected.append(pattern)
        while not any(re.search(pattern, line) for line in self.noise):
            await self.page.wait_for_event("console")

    def check(self) -> None:
        """Nothing unexpected on the console, and nothing asked of anybody else."""
        noise = [
            line
            for line in self.noise
            if not any(re.search(pattern, line) for pattern in self.expected)
        ]
        assert not noise, noise
        sent = set(self.requests) - set(self.blocked)
        asked = {origin_of(url) for url in sent if not url.startswith(("data:", "about:"))}
        assert asked <= self.origins, asked - self.origins


@asynccontextmanager
async def chatting(
    browser: Browser,
    script: bytes,
    renderer: Renderer,
    monkeypatch: pytest.MonkeyPatch,
    *,
    at: datetime | None = None,
    pace: Pace = BRISK,
    look: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Chat]:
    """
    An open chat, without a card.

    Args:
        browser: Where it is opened.
        script: The host page's.
        renderer: Draws the sandbox's clips.
        monkeypatch: Puts the server under a clock that can be moved.
        at: What time it is for everybody; None: what it is.
        pace: When the server looks at tasks.
        look: How the page is shown, as `Browser.new_page` names it.
    """
    clock = MovableClock()
    now = clock.now()
    clock.ahead = (at or now) - now
    monkeypatch.setattr(opening, "Clock", lambda: clock)
    options = SandboxOptions(keys=(KEY,), frozen_at=at or now)
    with Sandbox(options, renderer=renderer) as sandbox:
        async with serve(sandbox) as kie:
            server = create_server(settings_for(kie.url), pace=pace)
            async with hosted(beside(create_http_app(server), script)) as url:
                page = await browser.new_page(**(look or LOOK))
                page.set_default_timeout(WITHIN_MS)
                origins = frozenset(map(origin_of, (url, kie.url)))
                chat = Chat(page, sandbox, server, clock, origins)
                listen(chat)
                try:
                    await page.goto(f"{url}/host.html")
                    await page.wait_for_function("() => window.host")
                    yield chat
                finally:
                    await page.close()


def beside(app: Starlette, script: bytes) -> Starlette:
    """The server's app with the host page at the same origin."""

    async def page(_: object) -> HTMLResponse:
        return HTMLResponse(HOST_PAGE)

    async def host(_: object) -> Response:
        return Response(script, media_type="text/javascript")

    return Starlette(
        lifespan=app.router.lifespan_context,
        routes=[Route("/host.html", page), Route("/host.js", host), Mount("/", app)],
    )


def listen(chat: Chat) -> None:
    """Write down what a chat's browser says and asks for."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            chat.noise.append(f"{message.type}: {message.text}")

    def on_failed(request: Request) -> None:
        if request.failure == "csp":
            chat.blocked.append(request.url)

    chat.page.on("console", on_console)
    chat.page.on("pageerror", lambda error: chat.noise.append(f"pageerror: {error}"))
    chat.page.on("requestfailed", on_failed)
    chat.page.on("request", lambda request: chat.requests.append(request.url))


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
