"""What clients may offer while a user fills in a prompt or the address of a resource."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import mcp.types as t
from mcp import MCPError

from kie_runway.app import Services
from kie_runway.errors import LedgerError
from kie_runway.ledger.records import Entry
from kie_runway.models import AspectRatio, Quality, TaskState
from kie_runway.sdk import NO_SUCH_PROMPT, StrictServer
from kie_runway_tools.prompts import Duration

SHOWN_MAX = 100  # the protocol allows no more
CHOICES: Mapping[str, Sequence[str]] = {
    "duration": get_args(Duration),
    "quality": get_args(Quality),
    "aspect_ratio": get_args(AspectRatio),
}
TASKS = ("kie://tasks/{id}", "id")
WITH_VIDEO = {("kie://tasks/{id}/frames", "id"), ("restyle_video", "video")}


def add_completions(server: StrictServer[Any], services: Services) -> None:
    """Let clients complete the arguments of prompts and the ids in addresses of resources."""

    async def complete(
        ref: t.PromptReference | t.ResourceTemplateReference,
        argument: t.CompletionArgument,
        context: t.CompletionContext | None,
    ) -> t.Completion | None:
        if isinstance(ref, t.PromptReference):
            if ref.name not in {prompt.name for prompt in await server.list_prompts()}:
                raise MCPError(t.INVALID_PARAMS, NO_SUCH_PROMPT)
            if argument.name in CHOICES:
                return _beginning_with(argument.value, CHOICES[argument.name])
        where = (ref.name if isinstance(ref, t.PromptReference) else ref.uri, argument.name)
        if where == TASKS or where in WITH_VIDEO:
            states = (TaskState.SUCCESS,) if where in WITH_VIDEO else None
            rows = await _recent(services, states)
            return _beginning_with(argument.value, _ids(rows, argument.value))
        return None

    server.complete_with(complete)


def _beginning_with(value: str, choices: Iterable[str]) -> t.Completion:
    found = [choice for choice in dict.fromkeys(choices) if choice.startswith(value)]
    return t.Completion(values=found[:SHOWN_MAX], total=len(found), has_more=len(found) > SHOWN_MAX)


async def _recent(services: Services, states: tuple[TaskState, ...] | None) -> Sequence[Entry]:
    """The latest tasks, newest first; none where the ledger fails, for the tools will say why."""
    try:
        app = await services.ready()
        return await app.ledger.list(app.account, states=states, limit=SHOWN_MAX)
    except LedgerError:
        return ()


def _ids(rows: Sequence[Entry], value: str) -> Iterable[str]:
    """One id per task: KIE's, unless it is the request_id that is being written."""
    for row in rows:
        yield next(
            (
                any_id
                for any_id in (row.task_id, row.request_id)
                if any_id and any_id.startswith(value)
            ),
            row.request_id,
        )
