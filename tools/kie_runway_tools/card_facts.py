"""What the card is told of tasks beyond what the model is: all that it shows, and offers."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from kie_runway.app import App
from kie_runway.errors import BadInputError, KieRunwayError
from kie_runway.ledger.records import Entry
from kie_runway.models import (
    AlephRequest,
    ExtendRequest,
    PaidRequest,
    TaskState,
    request_of,
)
from kie_runway.prices import estimate_credits
from kie_runway_tools.card_host import CARD_KEY
from kie_runway_tools.described import describe
from kie_runway_tools.finished import check_extendable
from kie_runway_tools.next_step import START_TOOLS

log = logging.getLogger(__name__)

MEDIA_KEPT: Final = timedelta(hours=24)  # uploads may be gone by then, and KIE notices too late
_SHOWN: Final = ("duration", "quality", "aspect_ratio")
_EXTENSION: Final = ExtendRequest(task_id="-", prompt="-")


def task_meta(app: App, entry: Entry, trouble: KieRunwayError | None = None) -> dict[str, Any]:
    """The `_meta` of a result about one task."""
    return {CARD_KEY: _facts(app, entry, trouble) | _bounds(app)}


def list_meta(app: App, entries: Iterable[Entry]) -> dict[str, Any]:
    """The `_meta` of a result about several tasks."""
    return {CARD_KEY: {"tasks": [_facts(app, entry) for entry in entries]} | _bounds(app)}


def _bounds(app: App) -> dict[str, Any]:
    return {"max_wait_s": app.settings.max_wait_s}


def _facts(app: App, entry: Entry, trouble: KieRunwayError | None = None) -> dict[str, Any]:
    try:
        return _all_facts(app, entry, trouble)
    except Exception:  # the card does without, and the model's answer must not fail for it
        log.exception("nothing for the card", extra={"request_id": entry.request_id})
        return {}


def _all_facts(app: App, entry: Entry, trouble: KieRunwayError | None) -> dict[str, Any]:
    task = describe(app, entry, trouble=trouble, in_full=True)
    learned_s = app.tracker.learned_s(entry)
    begun_at = entry.accepted_at or entry.created_at
    facts = {name: entry.arguments.get(name) for name in _SHOWN} | {
        "task": task.model_dump(mode="json", exclude_none=True),
        # As old as this answer: the clock of whoever looks at the card may be wrong.
        "age_s": round((app.clock.now() - begun_at).total_seconds(), 1),
        "usual_s": round(app.tracker.usual_s(entry), 1),
        "usual_is_learned": learned_s is not None,
        "extend": _extension(entry),
        "restyle": _restyling(entry),
        "again": _again(app, entry),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _extension(entry: Entry) -> dict[str, Any] | None:
    if entry.state is not TaskState.SUCCESS or not entry.task_id:
        return None
    try:
        check_extendable(entry)
    except BadInputError:
        return None
    return {"credits": estimate_credits(_EXTENSION)}


def _restyling(entry: Entry) -> dict[str, Any] | None:
    if entry.state is not TaskState.SUCCESS or not entry.video_url:
        return None
    try:
        request = AlephRequest(prompt="-", video_url=entry.video_url)
    except ValidationError:  # KIE's addresses may be odder than what may be sent to it
        return None
    return {"credits": estimate_credits(request)}


def _again(app: App, entry: Entry) -> dict[str, Any] | None:
    """How to repeat a task that has ended; None if it cannot be, or not safely."""
    if not entry.state.is_terminal:
        return None
    try:
        request = request_of(entry.kind, entry.arguments)
    except (ValidationError, BadInputError):  # made elsewhere: its arguments are not known
        return None
    has_media = any(getattr(request, name) for name in request.media)
    if has_media and app.clock.now() - entry.created_at > MEDIA_KEPT:
        return None
    return {
        "tool": START_TOOLS[entry.kind],
        "arguments": _arguments(request),
        "credits": estimate_credits(request),
    }


def _arguments(request: PaidRequest) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_defaults=True)
