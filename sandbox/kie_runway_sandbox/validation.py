"""What KIE checks before it creates a task (contract §3, §4, §5, §13.2)."""

from typing import Any
from urllib.parse import urlsplit

from kie_runway_sandbox.accounts import TaskKind

PROMPT_MAX_CHARS = 1800
"""For generate and extend; Aleph has no documented limit (§5)."""
QUALITIES = ("720p", "1080p")
RUNWAY_RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16")
ALEPH_RATIOS = ("16:9", "9:16", "4:3", "3:4", "1:1", "21:9")
DURATIONS_S = (5, 10)
LEGACY_DURATION_S = 8


class Refused(Exception):
    """A request that KIE answers with a body code other than 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check_create(kind: TaskKind, body: dict[str, Any], *, legacy_8s: bool = False) -> None:
    """
    Check a create's body; extra keys are ignored.

    Raises:
        Refused: Code 422, the field named in the message.
    """
    # Clients send "" for optional texts they have no value for, without complaint (§12).
    given = {key: value for key, value in body.items() if value is not None and value != ""}
    match kind:
        case "generate":
            _check_prompt(given, PROMPT_MAX_CHARS)
            _check_generate(given, legacy_8s=legacy_8s)
        case "extend":
            _check_prompt(given, PROMPT_MAX_CHARS)
            # The id itself is not looked up here: recorded, see §4.
            _check_text(given, "taskId", required=True)
            _check_choice(given, "quality", QUALITIES, required=True)
        case "aleph":
            _check_prompt(given, None)
            _check_aleph(given)
    _check_text(given, "waterMark")
    _check_url(given, "callBackUrl")


def _check_generate(given: dict[str, Any], *, legacy_8s: bool) -> None:
    durations = (*DURATIONS_S, LEGACY_DURATION_S) if legacy_8s else DURATIONS_S
    duration = given.get("duration")
    # bool is an int in Python, and `True` must not pass for a number.
    if isinstance(duration, bool) or duration not in durations:
        raise Refused(422, f"duration must be one of {_listed(durations)}")
    _check_choice(given, "quality", QUALITIES, required=True)
    if duration != 5 and given["quality"] == "1080p":
        raise Refused(422, "quality 1080p is for videos of 5 seconds only")
    _check_url(given, "imageUrl")
    _check_choice(given, "aspectRatio", RUNWAY_RATIOS, required="imageUrl" not in given)


def _check_aleph(given: dict[str, Any]) -> None:
    _check_url(given, "videoUrl", required=True)
    _check_url(given, "referenceImage")
    _check_choice(given, "aspectRatio", ALEPH_RATIOS)
    if not isinstance(given.get("uploadCn", False), bool):
        raise Refused(422, "uploadCn must be true or false")
    seed = given.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise Refused(422, "seed must be a whole number from 0")


def _check_prompt(given: dict[str, Any], limit: int | None) -> None:
    _check_text(given, "prompt", required=True)
    if not given["prompt"].strip():
        raise Refused(422, "prompt must not be blank")
    if limit is not None and len(given["prompt"]) > limit:
        raise Refused(422, f"prompt must not be longer than {limit} characters")


def _check_text(given: dict[str, Any], name: str, *, required: bool = False) -> None:
    if name not in given:
        if required:
            raise Refused(422, f"{name} is required")
    elif not isinstance(given[name], str):
        raise Refused(422, f"{name} must be text")


def _check_choice(
    given: dict[str, Any], name: str, choices: tuple[str, ...], *, required: bool = False
) -> None:
    _check_text(given, name, required=required)
    if name in given and given[name] not in choices:
        raise Refused(422, f"{name} must be one of {_listed(choices)}")


def _check_url(given: dict[str, Any], name: str, *, required: bool = False) -> None:
    _check_text(given, name, required=required)
    if name in given and not is_http_url(given[name]):
        raise Refused(422, f"{name} must be an http or https URL")


def is_http_url(text: str) -> bool:
    """Whether this is an absolute http or https URL with a host and a possible port."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # raised by `hostname` and `port` too
        return False


def _listed(choices: tuple[Any, ...]) -> str:
    return ", ".join(str(choice) for choice in choices)
