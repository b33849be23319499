"""What the tools that need a finished video do alike."""

from kie_runway.app import App
from kie_runway.errors import BadInputError, ExpiredError, NotFinishedError, UncertainTaskError
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskKind, TaskState
from kie_runway_tools.next_step import how_to_look


async def finished(app: App, entry: Entry) -> Entry:
    """
    The row of a task that has a video, or had one that was saved; looks first if it may move.

    Raises:
        NotFinishedError: There is no video yet.
        BadInputError: The task ended without one.
        ExpiredError: KIE has deleted it, and it was not saved.
        UncertainTaskError: Nobody knows whether the task exists.
    """
    if entry.state.may_move:
        entry = (await app.tracker.wait(entry, 0)).entry
    if entry.state.may_move:
        raise NotFinishedError(
            f"The video is not finished ({entry.state}).",
            look=how_to_look(entry.kind, app.settings),
        )
    match entry.state:
        case TaskState.FAIL | TaskState.REJECTED:
            raise BadInputError(f"`task_id` names a task that ended as {entry.state}: no video.")
        case TaskState.UNKNOWN:
            raise UncertainTaskError(
                "Whether this video exists is unknown.", request_id=entry.request_id
            )
        case TaskState.EXPIRED if entry.file is None:
            raise ExpiredError("KIE has deleted this video.")
        case _:
            return entry


def check_extendable(parent: Entry) -> None:
    """
    Refuse what KIE cannot extend: it would notice only after charging.

    Raises:
        BadInputError: Names the argument and the rule.
    """
    if parent.kind is TaskKind.ALEPH:
        raise BadInputError("`task_id` names an Aleph task; KIE extends only Runway generations.")
    if parent.arguments.get("quality") == "1080p":
        raise BadInputError("`task_id` names a 1080p video; KIE extends 720p videos only.")
