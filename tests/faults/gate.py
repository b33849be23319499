"""A sandbox that plays for each intent the faults that were planned for it."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from tests.faults.kinds import HANG_S

from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.app import create_app
from kie_runway_sandbox.faults import Fault, endpoint_of
from kie_runway_sandbox.gate import RECEIPT, Gate, Receipt

LOOK_UP_FAULTS = (
    Fault("lost_answer", "runway/record-detail"),
    Fault("truncated_json", "runway/record-detail"),
    Fault("html_502", "runway/record-detail"),
    Fault("refuse", "runway/record-detail", status=429, code=429),
    Fault("refuse", "runway/record-detail", status=500, code=500),
)


@dataclass
class Plan:
    """
    What KIE will do to one intent.

    Attributes:
        faults: One for each POST, in this order; further ones are answered as they should be.
        is_called_back: Whether the callback of its task is ever delivered.
    """

    faults: list[Fault] = field(default_factory=list[Fault])
    is_called_back: bool = True
    posted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its first POST has been read."""
    posts: int = 0
    """How many have been read."""
    task_ids: list[str] = field(default_factory=list[str])
    """What was made of it, once that POST has ended."""


class PlannedGate(Gate):
    """
    The sandbox's gate, with faults found by the prompt of a POST.

    Of a hundred look-ups, `look_up_faults` go wrong.
    """

    def __init__(self, sandbox: Sandbox, random: Random, look_up_faults: float) -> None:
        super().__init__(create_app(sandbox), sandbox.faults, sandbox.log, sandbox.settle)
        self._sandbox = sandbox
        self._random = random
        self._look_up_faults = look_up_faults
        self.plans: dict[str, Plan] = {}
        """By prompt."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoint_of(scope["path"]) if scope["type"] == "http" else None
        if endpoint in ("runway/generate", "aleph/generate"):
            await self._create(scope, receive, send)
            return
        if endpoint == "runway/record-detail" and self._random.uniform(0, 100) < (
            self._look_up_faults
        ):
            self._sandbox.faults.armed.insert(0, self._random.choice(LOOK_UP_FAULTS))
        await super().__call__(scope, receive, send)

    def is_awaiting(self, turns: Mapping[str, int]) -> bool:
        """Whether of some prompt fewer POSTs have been read than had their turn."""
        return any(count > self.plans[prompt].posts for prompt, count in turns.items())

    def finish(self, task_id: str) -> None:
        """End a task with a video, and forget its callback where that was planned."""
        task = self._sandbox.task(task_id)
        if not self.plans[task.body["prompt"]].is_called_back:
            task.callback_url = None
        if not task.is_finished:
            self._sandbox.finish(task_id)

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        plan = self.plans[json.loads(body)["prompt"]]
        plan.posted.set()
        plan.posts += 1
        fault = plan.faults.pop(0) if plan.faults else None
        if fault is not None:
            # Nothing awaits before the gate takes it, so no other request can.
            self._sandbox.faults.armed.insert(0, fault)
        await super().__call__(scope, _again(body, receive), send)
        receipt: Receipt = scope[RECEIPT]
        if receipt.entry is None:
            return
        assert receipt.entry.task_id is not None
        plan.task_ids.append(receipt.entry.task_id)
        if fault is not None and fault.seconds >= HANG_S:
            # No client would have got it, however long it had stayed.
            self._sandbox.log.set_answer(receipt.entry, "spoiled")


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand a body that was read to the next reader."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
