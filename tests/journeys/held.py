"""A KIE that makes a video at once, and says so when the test tells it to."""

import subprocess
from asyncio import Event
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import Message, Receive, Scope, Send
from tests.journeys.processes import Standalone
from tests.support import draw
from tests.wire import SANDBOX_KEY

from kie_runway_sandbox import Sandbox, SandboxOptions, serve
from kie_runway_sandbox.app import create_app
from kie_runway_sandbox.gate import Gate

# SDK clients close stdin, wait this long, and send SIGTERM; a server that would not drain is gone
# by then.
PATIENCE_S = 2.0


class HoldingGate(Gate):
    """Keeps answers to paid requests back."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(create_app(sandbox), sandbox.faults, sandbox.log, sandbox.settle)
        self.opened = Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_later(message: Message) -> None:
            await self.opened.wait()
            await send(message)

        is_paid = scope["type"] == "http" and scope["path"].endswith("/generate")
        await super().__call__(scope, receive, send_later if is_paid else send)


@dataclass(frozen=True)
class HeldKie(Standalone):
    """The sandbox in a thread of its own."""

    portal: BlockingPortal
    gate: HoldingGate

    def answer(self) -> None:
        """Answer what was held, and from now on at once."""
        self.portal.call(self.gate.opened.set)

    def answer_while_draining(self, server: "subprocess.Popen[bytes]") -> None:
        """The same; until then the server has to stay, whatever it was sent."""
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(PATIENCE_S)
        self.answer()


@contextmanager
def held_kie() -> Generator[HeldKie]:
    """On a free port; at the end everything is answered."""
    options = SandboxOptions(keys=(SANDBOX_KEY,), advance="manual")
    with start_blocking_portal() as portal, Sandbox(options, renderer=draw) as sandbox:
        gate = sandbox.app = HoldingGate(sandbox)
        with portal.wrap_async_context_manager(serve(sandbox)) as running:
            kie = HeldKie(running.url, portal, gate)
            yield kie
            kie.answer()
