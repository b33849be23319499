"""The client's half of the Tasks extension: what a host that knows it would do."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import mcp.types as t
from mcp import Client
from mcp.client import ClaimContext, ClientExtension, ResultClaim
from mcp_types import Request, RequestParams, Result
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

CAMEL = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Handle(Result):
    """What stands in for a tool's result."""

    model_config = CAMEL

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int | None = None


class Status(Result):
    """What `tasks/get` answers."""

    model_config = CAMEL

    task_id: str
    status: str
    status_message: str | None = None
    created_at: str
    last_updated_at: str
    ttl_ms: int | None
    poll_interval_ms: int | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def tool_result(self) -> t.CallToolResult:
        return t.CallToolResult.model_validate(self.result, by_name=False)


class Ack(Result):
    """Nothing more than that it arrived."""

    model_config = ConfigDict(extra="allow")


class TaskParams(RequestParams):
    model_config = CAMEL

    task_id: str
    input_responses: dict[str, Any] | None = None


class GetTask(Request[TaskParams, Literal["tasks/get"]]):
    name_param: ClassVar[str | None] = "taskId"  # becomes the Mcp-Name header
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams


class UpdateTask(Request[TaskParams, Literal["tasks/update"]]):
    name_param: ClassVar[str | None] = "taskId"
    method: Literal["tasks/update"] = "tasks/update"
    params: TaskParams


class CancelTask(Request[TaskParams, Literal["tasks/cancel"]]):
    name_param: ClassVar[str | None] = "taskId"
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams


class TasksClient(ClientExtension):
    """Declares the extension; calls hand out the handle."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Handle, resolve=_resolve)]


async def _resolve(handle: Handle, _: ClaimContext) -> t.CallToolResult:
    raise AssertionError(f"nobody asked for {handle.task_id} to be resolved")


async def start_task(client: Client, tool: str, **arguments: Any) -> Handle:
    """Call a tool whose result is a handle."""
    handle = await client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(handle, Handle), handle
    return handle


async def get_status(client: Client, task_id: str) -> Status:
    """How a task stands."""
    return await client.session.send_request(GetTask(params=TaskParams(task_id=task_id)), Status)


async def update_task(client: Client, task_id: str) -> Ack:
    """Answer questions that nobody asked."""
    params = TaskParams(task_id=task_id, input_responses={"x": {}})
    return await client.session.send_request(UpdateTask(params=params), Ack)


async def cancel_task(client: Client, task_id: str) -> Ack:
    """Ask for a task to stop."""
    return await client.session.send_request(CancelTask(params=TaskParams(task_id=task_id)), Ack)
