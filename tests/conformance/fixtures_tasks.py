"""The tasks that the suite starts: they run in memory, behind the product's own extension."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import mcp.types as t
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.server.mcpserver import Context, require_client_extension
from mcp.server.mcpserver.exceptions import ToolError

from kie_runway.task_extension import TASKS, TaskExtension, TaskStatus, declares_tasks

JOB_S = 1.0
POLL_S = 0.2


@dataclass
class Job:
    """One call of a tool that goes on after its answer."""

    task_id: str = field(default_factory=secrets.token_urlsafe)
    status: Literal["working", "input_required", "completed", "failed", "cancelled"] = "working"
    outcome: Mapping[str, Any] = field(default_factory=dict[str, Any])
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it takes its time; what ends before needs no task."""
    running: "asyncio.Task[HandlerResult] | None" = None

    async def ask(self, **questions: t.ElicitRequest) -> dict[str, Any]:
        """The user's answers, once all are there."""
        self.status = "input_required"
        self.outcome = {"inputRequests": {name: _dump(questions[name]) for name in questions}}
        self.goes_on.set()
        await self.answered.wait()
        self.status, self.outcome = "working", {}
        return self.answers

    def take(self, responses: Mapping[str, Any]) -> None:
        """Answers to open questions."""
        asked: Mapping[str, Any] = self.outcome.get("inputRequests", {})
        self.answers |= {name: responses[name] for name in responses if name in asked}
        left = {name: asked[name] for name in asked if name not in self.answers}
        self.outcome = {"inputRequests": left}
        if not left:
            self.answered.set()

    def end(self, running: "asyncio.Task[HandlerResult]") -> None:
        """The tool has ended."""
        if running.cancelled():
            self.status, self.outcome = "cancelled", {}
        elif isinstance(exc := running.exception(), MCPError):
            self.status, self.outcome = "failed", {"error": _dump(exc.error)}
        else:
            self.status, self.outcome = "completed", {"result": _dump(running.result())}


class FixtureTasks(TaskExtension):
    """Runs the tools below in tasks; all that is said about them is the product's saying."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    async def intercept_tool_call(
        self,
        params: t.CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        if params.name not in {tool.__name__ for tool in TASK_TOOLS}:
            return await call_next(ctx)
        if not declares_tasks(ctx):
            if params.name == failing_job.__name__:
                require_client_extension(ctx, TASKS)
            return await call_next(ctx)
        job = Job()
        _JOB.set(job)
        job.running = asyncio.ensure_future(call_next(ctx))
        going_on = asyncio.create_task(job.goes_on.wait())
        await asyncio.wait({job.running, going_on}, return_when=asyncio.FIRST_COMPLETED)
        going_on.cancel()
        if not job.goes_on.is_set():
            return job.running.result()
        job.running.add_done_callback(job.end)
        self._jobs[job.task_id] = job
        return _status_of(job).handle()

    async def status(self, task_id: str) -> TaskStatus | None:
        job = self._jobs.get(task_id)
        return None if job is None else _status_of(job)

    async def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        if self._jobs[task_id].status == "input_required":
            self._jobs[task_id].take(responses)

    async def cancel(self, task_id: str) -> None:
        running = self._jobs[task_id].running
        assert running is not None
        running.cancel()
        await asyncio.wait({running})


async def greet(name: str) -> str:
    """Greets at once."""
    return f"Hello, {name}!"


async def slow_compute(seconds: float, label: str = "") -> str:
    """Takes its time."""
    await _take(seconds)
    return f"{label or 'it'} took {seconds:g} s"


async def failing_job() -> str:
    """Fails after a while; only as a task."""
    await _take(JOB_S)
    raise ToolError("It failed, as it should.")


async def protocol_error_job() -> str:
    """Ends in a protocol error after a while."""
    await _take(JOB_S)
    raise MCPError(t.INTERNAL_ERROR, "It broke, as it should.")


async def confirm_delete(filename: str) -> str:
    """Asks in the middle of its task."""
    answers = await _JOB.get().ask(confirm=_question(f"Delete {filename}?", confirm="boolean"))
    return f"{filename}: {answers['confirm']['action']}"


async def multi_input() -> str:
    """Asks two things in the middle of its task."""
    answers = await _JOB.get().ask(
        name=_question("What is your name?", name="string"),
        confirm=_question("Are you sure?", confirm="boolean"),
    )
    return f"answered: {', '.join(sorted(answers))}"


async def test_tool_with_task(ctx: Context) -> str | t.InputRequiredResult:
    """Asks before there is a task, and becomes one."""
    answer = (ctx.input_responses or {}).get("user_name")
    if not isinstance(answer, t.ElicitResult):
        question = _question("What is your name?", name="string")
        return t.InputRequiredResult(input_requests={"user_name": question})
    await _take(JOB_S)
    return f"Hello, {(answer.content or {}).get('name')}!"


TASK_TOOLS: tuple[Callable[..., Any], ...] = (
    slow_compute,
    failing_job,
    protocol_error_job,
    confirm_delete,
    multi_input,
    test_tool_with_task,
)
_JOB: ContextVar[Job] = ContextVar("job")


async def _take(seconds: float) -> None:
    """Let time pass, if any: in a task, if the client knows tasks."""
    job = _JOB.get(None)
    if job is not None and seconds > 0:
        job.goes_on.set()
    await asyncio.sleep(seconds)


def _status_of(job: Job) -> TaskStatus:
    return TaskStatus(
        task_id=job.task_id,
        status=job.status,
        created_at=job.created_at,
        updated_at=datetime.now(UTC),
        poll_s=POLL_S,
        outcome=job.outcome,
    )


def _question(message: str, **properties: str) -> t.ElicitRequest:
    schema = {
        "type": "object",
        "properties": {name: {"type": properties[name]} for name in properties},
    }
    return t.ElicitRequest(
        params=t.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def _dump(value: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = value.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped
