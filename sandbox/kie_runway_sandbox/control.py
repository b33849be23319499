"""The control API: the sandbox's methods over HTTP, under a prefix KIE could never have."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kie_runway_sandbox.body import read_object
from kie_runway_sandbox.faults import FAULT
from kie_runway_sandbox.log import ENTRY, EventName
from kie_runway_sandbox.options import SWITCHES
from kie_runway_sandbox.tasks import TASK
from kie_runway_sandbox.validation import Refused
from kie_runway_sandbox.wire import Json

if TYPE_CHECKING:
    from kie_runway_sandbox.sandbox import Sandbox

T = TypeVar("T")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class _MoveClock:
    advance_s: float


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class _SetCredits:
    credits: Decimal
    key: str | None = None


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class _EndTask:
    state: Literal["success", "fail"]
    code: int = 400
    message: str = "AI moderator"


MOVE_CLOCK = TypeAdapter(_MoveClock)
SET_CREDITS = TypeAdapter(_SetCredits)
END_TASK = TypeAdapter(_EndTask)

Handler = Callable[[Request], Awaitable[Response]]


def control_routes(sandbox: "Sandbox") -> list[Route]:
    """The routes below the prefix."""
    control = _Control(sandbox)
    return [
        Route("/log", _answering(control.log), methods=["GET"]),
        Route("/state", _answering(control.state), methods=["GET"]),
        Route("/reset", _answering(control.reset), methods=["POST"]),
        Route("/clock", _answering(control.move_clock), methods=["POST"]),
        Route("/faults", _answering(control.list_faults), methods=["GET"]),
        Route("/faults", _answering(control.inject), methods=["POST"]),
        Route("/faults", _answering(control.clear_faults), methods=["DELETE"]),
        Route("/switches", _answering(control.show_switches), methods=["GET"]),
        Route("/switches", _answering(control.set_switches), methods=["POST"]),
        Route("/credits", _answering(control.set_credits), methods=["POST"]),
        Route("/tasks/{task_id}", _answering(control.task), methods=["GET"]),
        Route("/tasks/{task_id}", _answering(control.end_task), methods=["POST"]),
    ]


class _Control:
    """The handlers; each returns what is to be shown as JSON."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def log(self, request: Request) -> Any:
        event = cast(EventName | None, request.query_params.get("event"))
        entries = self._sandbox.log.select(event, request.query_params.get("task_id"))
        return {"entries": [ENTRY.dump_python(entry, mode="json") for entry in entries]}

    async def state(self, _request: Request) -> Any:
        sandbox = self._sandbox
        return {
            "now": sandbox.clock.now().isoformat(),
            "switches": SWITCHES.dump_python(sandbox.switches, mode="json"),
            "faults": _faults(sandbox),
            "accounts": [
                {"account": account.number, "credits": float(account.credits)}
                for account in sandbox.engine.accounts.values()
            ],
            "tasks": [TASK.dump_python(task, mode="json") for task in sandbox.tasks],
            "requests": dict(sandbox.requests),
            "unknown_lookups": dict(sandbox.engine.unknown_lookups),
        }

    async def reset(self, _request: Request) -> Any:
        self._sandbox.reset()
        return {}

    async def move_clock(self, request: Request) -> Any:
        move = await _read(request, MOVE_CLOCK)
        return {"now": self._sandbox.advance(move.advance_s).isoformat()}

    async def list_faults(self, _request: Request) -> Any:
        return {"faults": _faults(self._sandbox)}

    async def inject(self, request: Request) -> Any:
        self._sandbox.inject(await _read(request, FAULT))
        return {"faults": _faults(self._sandbox)}

    async def clear_faults(self, _request: Request) -> Any:
        self._sandbox.faults.clear()
        return {"faults": []}

    async def show_switches(self, _request: Request) -> Any:
        return SWITCHES.dump_python(self._sandbox.switches, mode="json")

    async def set_switches(self, request: Request) -> Any:
        switches = self._sandbox.set_switches(**await read_object(request))
        return SWITCHES.dump_python(switches, mode="json")

    async def set_credits(self, request: Request) -> Any:
        wanted = await _read(request, SET_CREDITS)
        account = self._sandbox.set_credits(wanted.credits, wanted.key)
        return {"account": account.number, "credits": float(account.credits)}

    async def task(self, request: Request) -> Any:
        task = self._sandbox.task(request.path_params["task_id"])
        return TASK.dump_python(task, mode="json")

    async def end_task(self, request: Request) -> Any:
        end = await _read(request, END_TASK)
        task_id = request.path_params["task_id"]
        if end.state == "success":
            task = self._sandbox.finish(task_id)
        else:
            task = self._sandbox.fail(task_id, end.code, end.message)
        return TASK.dump_python(task, mode="json")


def _answering(handle: Callable[[Request], Awaitable[Any]]) -> Handler:
    """Plain JSON and plain HTTP statuses: this is not KIE's envelope."""

    async def answer(request: Request) -> Response:
        try:
            return Json(await handle(request))
        except ValidationError as error:
            return Json({"error": error.errors(include_url=False, include_input=False)}, 400)
        except Refused as refused:
            return Json({"error": refused.message}, 400)
        except ValueError as error:
            return Json({"error": str(error)}, 409)
        except KeyError as error:
            return Json({"error": f"unknown: {error.args[0]}"}, 404)

    return answer


async def _read(request: Request, adapter: TypeAdapter[T]) -> T:
    return adapter.validate_python(await read_object(request))


def _faults(sandbox: "Sandbox") -> list[Any]:
    return [FAULT.dump_python(fault, mode="json") for fault in sandbox.faults.armed]
