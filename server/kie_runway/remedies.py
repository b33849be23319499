"""The sentence that ends every tool error: what to do now, true for the money as well."""

import math

from kie_runway.errors import (
    DeclinedError,
    ExpiredError,
    GenerationFailedError,
    KieRunwayError,
    LedgerError,
    MaintenanceError,
    NotFinishedError,
    OutcomeUnknownError,
    OverBudgetError,
    RateLimitedError,
    RequestConflictError,
    UnknownTaskError,
)

LATER_S = 60
MAINTENANCE_S = 600


def remedy(exc: KieRunwayError, *, spends: bool) -> str:
    """
    What an agent should do about a failed call; what the reason tells is not told again.

    Args:
        exc: Why it failed.
        spends: Whether the tool is a paid one: its calls are repeated with their request_id alone.
    """
    repeat = "repeat the paid call with the same request_id" if spends else "repeat the call"
    match exc:
        case RequestConflictError():
            return (
                "Tell the user. Call get_task with this request_id for that task. Only if they "
                "agree to pay for another, start it with a new request_id."
            )
        case NotFinishedError():
            return f"Call {exc.look}. Once it is a success, {repeat}."
        case UnknownTaskError():
            return f"Call list_tasks for its id. If it is there, {repeat}."
        case OutcomeUnknownError() if exc.request_id:
            return f"Do not start it again: call get_task with task_id={exc.request_id}."
        case ExpiredError() | GenerationFailedError():
            return "Tell the user: only a new, paid video can replace it."
        case DeclinedError():
            return f"Tell the user. Only if they want it after all, {repeat}."
        case OverBudgetError() if exc.room_from:
            return f"Tell the user. After {exc.room_from}, {repeat}."
        case LedgerError() if spends:
            return f"Tell the user. Once mended, call list_tasks. If it is not there, {repeat}."
        case RateLimitedError(retry_after_s=seconds):
            return f"In {math.ceil(seconds or LATER_S)} seconds, {repeat}."
        case MaintenanceError():
            return f"In {MAINTENANCE_S} seconds, {repeat}."
        case _ if spends and exc.charged != "no":
            return (
                "Call list_tasks: what was started is there. Tell the user. Only if they accept a "
                f"possible second charge, {repeat}."
            )
        case _:
            return _by_retry(exc, repeat)


def _by_retry(exc: KieRunwayError, repeat: str) -> str:
    match exc.retry:
        case "never":
            return "Tell the user; do not repeat it."
        case "after_change":
            return f"Change what the error names, then {repeat}."
        case "later":
            return f"In {LATER_S} seconds, {repeat}."
        case "ask_user":
            return f"Tell the user; once mended, {repeat}."
