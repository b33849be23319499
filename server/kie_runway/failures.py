"""Why KIE gave up on a task, told by the fragments of its messages (contract §7.5)."""

from typing import Final, NamedTuple

from kie_runway.errors import GenerationFailedError, Retry
from kie_runway.models import ErrorInfo


class _Cause(NamedTuple):
    fragment: str
    reason: str
    retry: Retry


# First match wins. The messages are untrusted: they choose among these sentences, no more.
_CAUSES: Final = (
    _Cause("image info failed", "KIE could not read the media URL.", "after_change"),
    _Cause(
        "inappropriate content", "The image or video was refused by moderation.", "after_change"
    ),
    _Cause("ai moderator", "The prompt was refused by moderation.", "after_change"),
    _Cause("nsfw", "The prompt was refused by moderation.", "after_change"),
    _Cause("2048", "The prompt is too long.", "after_change"),
    _Cause("image format", "The image must be JPG or PNG.", "after_change"),
    _Cause("width or height", "The media's dimensions are not supported.", "after_change"),
    _Cause("standard membership", "KIE's own queue is full.", "later"),
    _Cause("concurrent generations", "KIE's own queue is full.", "later"),
    _Cause("hd quality", "KIE has no 1080p capacity now; 720p may work.", "later"),
    _Cause("network reasons", "KIE could not transfer the media.", "later"),
    _Cause("try again later", "KIE failed without naming a cause.", "later"),
)
_UNNAMED = _Cause("", "KIE failed without naming a cause.", "ask_user")


def explain(message: str | None) -> ErrorInfo:
    """
    The failure of a task that KIE had accepted.

    Whether KIE gives the credits back is contradictory in its own words (contract §11), so
    `charged` stays unknown.
    """
    said = (message or "").lower()
    cause = next((cause for cause in _CAUSES if cause.fragment in said), _UNNAMED)
    return ErrorInfo(
        code=GenerationFailedError.code,
        reason=cause.reason,
        message=message,
        retry=cause.retry,
        charged="unknown",
    )
