"""
The Tasks extension (SEP-2663) as the wire has it; what its tasks are is up to a subclass.

A client that declares it gets a handle in place of a tool's result, and the result later.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import mcp.types as t
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.shared.inbound import decode_header_value
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

TASKS: Final = "io.modelcontextprotocol/tasks"
REVISIONS: Final = frozenset({"2026-07-28"})

Context = ServerRequestContext[Any, Any]


class TaskParams(t.RequestParams):
    """Which task is meant."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    task_id: str


class TaskAnswers(TaskParams):
    """Answers to the questions of a task."""

    input_responses: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """
    A task as its client may read it; it is kept without an end.

    Attributes:
        poll_s: After how many seconds to ask again; None once it has ended.
        outcome: The member that goes with the status: `result`, `error` or `inputRequests`.
    """

    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    created_at: datetime
    updated_at: datetime
    message: str | None = None
    poll_s: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def handle(self) -> dict[str, Any]:
        """What answers `tools/call`."""
        return {"resultType": "task"} | self._fields()

    def full(self) -> dict[str, Any]:
        """What answers `tasks/get`, and is pushed."""
        return self._fields() | dict(self.outcome)

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "taskId": self.task_id,
            "status": self.status,
            "createdAt": _iso(self.created_at),
            "lastUpdatedAt": _iso(self.updated_at),
            "ttlMs": None,
        }
        if self.message is not None:
            fields["statusMessage"] = self.message
        if self.poll_s is not None:
            fields["pollIntervalMs"] = round(self.poll_s * 1000)
        return fields


class TaskExtension(Extension, ABC):
    """Serves `tasks/get`, `tasks/update` and `tasks/cancel`, to clients that declared it only."""

    identifier = TASKS

    @abstractmethod
    async def status(self, task_id: str) -> TaskStatus | None:
        """How a task stands; None: there is no such task."""

    async def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        """Take answers to a task's questions; those that nobody asked for are ignored."""

    async def cancel(self, task_id: str) -> None:
        """Somebody wants a task to stop; it need not."""

    def methods(self) -> Sequence[MethodBinding]:
        return [
            MethodBinding("tasks/get", TaskParams, self._get, REVISIONS),
            MethodBinding("tasks/update", TaskAnswers, self._update, REVISIONS),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, REVISIONS),
        ]

    async def _get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        return (await self._status(ctx, params.task_id)).full()

    async def _update(self, ctx: Context, params: TaskAnswers) -> dict[str, Any]:
        await self._status(ctx, params.task_id)
        await self.answer(params.task_id, params.input_responses)
        return {}

    async def _cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        await self._status(ctx, params.task_id)
        await self.cancel(params.task_id)
        return {}

    async def _status(self, ctx: Context, task_id: str) -> TaskStatus:
        require_client_extension(ctx, TASKS)
        headers = getattr(ctx.request, "headers", None)
        # The SDK compares this header for its own methods only.
        if headers is not None and decode_header_value(headers.get("mcp-name")) != task_id:
            raise MCPError(t.HEADER_MISMATCH, "The Mcp-Name header must be the taskId.")
        status = await self.status(task_id)
        if status is None:
            raise MCPError(t.INVALID_PARAMS, "No task here has this id.")
        return status


def declares_tasks(ctx: Context) -> bool:
    """Whether the client can take a handle in place of a result."""
    capabilities = ctx.session.client_capabilities
    declared = capabilities.extensions if capabilities is not None else None
    return ctx.protocol_version in REVISIONS and TASKS in (declared or {})


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
