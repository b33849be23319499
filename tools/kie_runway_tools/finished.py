"""What the tools that need a finished video do alike."""

from kie_runway.app import App
from kie_runway.errors import BadInputError, ExpiredError, NotFinishedError, OutcomeUnknownError
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskState
from kie_runway_tools.next_step import how_to_look


async def finished(app: App, entry: Entry) -> Entry:
    """
    The row of a task that has a video, or had one that was saved; looks first if it may move.

    Raises:
        NotFinishedError: There is no video yet.
        BadInputError: The task ended without one.
        ExpiredError: KIE has deleted it, and it was not saved.
        OutcomeUnknownError: Nobody knows whether the task exists.
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
            raise OutcomeUnknownError(
                "Whether this video exists is unknown.", request_id=entry.request_id
            )
        case TaskState.EXPIRED if entry.file is None:
            raise ExpiredError("KIE has deleted this video.")
        case _:
            return entry
