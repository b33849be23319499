"""The Tasks extension on the ledger: KIE's task is the protocol's task, so nothing runs for it."""

from datetime import timedelta
from typing import Any, Final

import mcp.types as t
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.context import CallNext, HandlerResult

from kie_runway.app import App, Services
from kie_runway.errors import KieRunwayError
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskState
from kie_runway.task_extension import TaskExtension, TaskStatus, declares_tasks
from kie_runway_tools.card_host import Audience, is_by_card
from kie_runway_tools.next_step import START_TOOLS
from kie_runway_tools.results import task_result

QUEUED_MAX: Final = timedelta(minutes=15)  # by then whoever wanted to send it is gone


class LedgerTasks(TaskExtension):
    """
    Tasks by KIE's task id, or by request_id while there is none; both lead to the row for ever.

    A paid tool runs as it always does. Only if its task is unfinished then does a handle stand in
    for the result; refusals, questions and `unknown` are told at once.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._asked_to_stop: set[int] = set()

    async def intercept_tool_call(
        self,
        params: t.CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        result = await call_next(ctx)
        if params.name not in START_TOOLS.values() or not declares_tasks(ctx):
            return result
        if is_by_card(params.meta):  # it follows its tasks itself
            return result
        if not isinstance(result, t.CallToolResult) or result.is_error:
            return result
        task: dict[str, Any] = result.structured_content or {}
        try:
            task_id = str(task.get("task_id") or task.get("request_id"))
            app, entry = await self._find(task_id)
            if entry is None or not entry.state.may_move:
                return result
            return (await self._of(app, task_id, entry)).handle()
        except KieRunwayError:  # what was paid for is told all the same
            return result

    async def status(self, task_id: str) -> TaskStatus | None:
        """The task after the look that `get_task` takes."""
        try:
            app, entry = await self._find(task_id)
            if entry is None:
                return None
            sight = await app.tracker.wait(entry, 0)
            return await self._of(app, task_id, sight.entry, sight.trouble)
        except KieRunwayError as exc:
            raise MCPError(t.INTERNAL_ERROR, exc.reason) from exc

    async def read(self, task_id: str) -> TaskStatus | None:
        """
        The task as last seen.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        app, entry = await self._find(task_id)
        return None if entry is None else await self._of(app, task_id, entry)

    async def has_ended(self, task_id: str) -> bool:
        """
        Whether a task that exists has ended, as last seen.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        _, entry = await self._find(task_id)
        return entry is not None and not entry.state.may_move

    async def cancel(self, task_id: str) -> None:
        """Nothing can be stopped at KIE; from now on the task says so."""
        app, entry = await self._find(task_id)
        if entry is not None and entry.state.may_move:
            self._asked_to_stop.add(entry.id)
            app.news.tell(entry)

    async def _find(self, task_id: str) -> tuple[App, Entry | None]:
        app = await self._services.ready()
        return app, await app.ledger.find(app.account, task_id)

    async def _of(
        self, app: App, task_id: str, entry: Entry, trouble: KieRunwayError | None = None
    ) -> TaskStatus:
        updated_at = (await app.ledger.history(entry.id))[-1].at
        is_abandoned = entry.state is TaskState.QUEUED and app.clock.now() - updated_at > QUEUED_MAX
        if entry.state.may_move and not is_abandoned:
            return TaskStatus(
                task_id=task_id,
                status="working",
                created_at=entry.created_at,
                updated_at=updated_at,
                message=self._in_words(entry, trouble),
                poll_s=app.tracker.poll_s(entry),
            )
        # A client may read it twice before its model does once, so the picture is never missing.
        app.pictured.pop(entry.id, None)
        result = await task_result(app, entry, Audience(), trouble=trouble)
        if is_abandoned:
            result.is_error = True
        return TaskStatus(
            task_id=task_id,
            status="completed",
            created_at=entry.created_at,
            updated_at=updated_at,
            message=f"The task ended as {entry.state}." if entry.state.is_terminal else None,
            outcome={"result": result.model_dump(by_alias=True, mode="json", exclude_none=True)},
        )

    def _in_words(self, entry: Entry, trouble: KieRunwayError | None) -> str:
        if entry.id in self._asked_to_stop:
            paid = "is paid for" if entry.state.charged == "yes" else "may be charged"
            return f"KIE cannot stop a task: this one goes on, and {paid}."
        if trouble is not None:
            return trouble.reason
        price = f" About {entry.credits:g} credits." if entry.credits else ""
        return f"{_WORDS[entry.state]}{price}"


_WORDS = {
    TaskState.QUEUED: "Not sent yet: it waits for its turn.",
    TaskState.SUBMITTING: "It is being sent to KIE.",
    TaskState.WAIT: "KIE has accepted it.",
    TaskState.QUEUEING: "It waits in KIE's queue.",
    TaskState.GENERATING: "KIE is generating the video.",
}
