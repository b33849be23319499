"""A server on HTTP that KIE calls back, an agent that uses it, and strangers who call it, too."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio.lowlevel
import httpx
import pytest
from mcp import Client
from pydantic import SecretStr
from tests.hosting import base_url, free_port, hosted
from tests.support import Agent, Era

from kie_runway import opening
from kie_runway.clock import Clock
from kie_runway.http_app import create_http_app
from kie_runway.pace import Pace
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.callbacks import sign

HMAC_KEY = "hmac/Planted+9wQ7xR2=="  # long and odd, as the API key
EVIL_URL = "https://evil.example/video.mp4"


def body(task_id: str, **data: Any) -> bytes:
    """A callback that says a task has succeeded, with whatever else it says."""
    fields = {"task_id": task_id, "video_id": "v", "video_url": EVIL_URL, "image_url": EVIL_URL}
    return json.dumps({"code": 200, "msg": "success", "data": fields | data}).encode()


def signed(task_id: str, *, off_s: float = 0, key: str = HMAC_KEY) -> dict[str, str]:
    """The headers of a callback signed so many seconds from now."""
    seconds = int(time.time() + off_s)
    return {
        "X-Webhook-Timestamp": str(seconds),
        "X-Webhook-Signature": sign(key, task_id, seconds),
    }


class StoppedClock(Clock):
    """Time that stands still: nothing comes due again."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        return self.at

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> "StoppedClock":
        """Every server opened from now on has this clock."""
        clock = cls()
        monkeypatch.setattr(opening, "Clock", lambda: clock)
        return clock


@dataclass(frozen=True)
class Site:
    """A running server with its agent; `http` posts what it likes."""

    agent: Agent
    sandbox: Sandbox
    http: httpx.AsyncClient
    base: str

    async def start(self, tool: str = "generate_video", **arguments: Any) -> str:
        """Start a paid task; KIE's id of it."""
        arguments = {"prompt": "a paper boat", "request_id": "one"} | arguments
        return str((await self.agent.call(tool, **arguments))["task_id"])

    def address(self, task_id: str) -> str:
        """Where KIE was asked to call back."""
        address = self.sandbox.task(task_id).callback_url
        assert address is not None
        return address

    def looks(self) -> int:
        """How often KIE has been asked how a task is."""
        requests = self.sandbox.requests
        return requests["runway/record-detail"] + requests["aleph/record-info"]

    async def looked(self, times: int = 1) -> None:
        """KIE has been asked so often."""
        while self.looks() < times:
            await anyio.lowlevel.checkpoint()

    async def acknowledged(self, task_id: str) -> None:
        """KIE has called back, and was answered with 200."""
        entry = await self.sandbox.log.wait_for("callback", task_id)
        assert entry.details["acknowledged"], entry.details["result"]


@asynccontextmanager
async def open_site(
    sandbox: Sandbox,
    settings: Settings,
    *,
    era: Era = "auto",
    key: str | None = None,
    pace: Pace | None = None,
) -> AsyncGenerator[Site]:
    """
    A server that asks for callbacks at its own loopback address.

    With the default pace nothing but a callback makes it look at a task within two minutes.
    With a key, the sandbox signs with it.
    """
    sandbox.set_switches(webhook_key=key)
    listener = free_port()
    changes = {
        "callback_url": base_url(listener),
        "webhook_hmac_key": SecretStr(key) if key else None,
    }
    server = create_server(settings.model_copy(update=changes), pace=pace)
    app = create_http_app(server, webhooks=server.services.webhooks)
    async with (
        hosted(app, listener) as base,
        Client(f"{base}/mcp", mode=era) as client,
        httpx.AsyncClient(trust_env=False, timeout=60) as http,
    ):
        yield Site(Agent(client), sandbox, http, base)
