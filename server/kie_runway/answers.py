"""
What an answer of KIE means for the caller: HTTP status and body code into one exception.

This is the one place that knows the codes of contract §2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from kie_runway.errors import (
    BlockedError,
    GenerationFailedError,
    KieError,
    MaintenanceError,
    NoCreditsError,
    NotAllowedError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusedError,
    UnavailableError,
    WrongKeyError,
)

OK: Final = 200
NOT_VISIBLE: Final = (404, 422)  # on a look-up: KIE does not show the task (contract §6.1)
FAILED_TASK: Final = (408, 501)  # on a look-up: the task is over without a video (contract §2.3)

RATE_LIMITED: Final = 429
# A gateway may say these after KIE has taken the request.
_UNCLEAR_4XX: Final = (408, 425, 499)


class Use(Enum):
    """What a request is for: the same answer then means different things."""

    PAID = auto()
    UPLOAD = auto()
    READ = auto()
    LOOK_UP = auto()  # a read, of a task

    @property
    def may_be_repeated(self) -> bool:
        """Whether sending it twice changes nothing."""
        return self in (Use.READ, Use.LOOK_UP)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    An HTTP answer, read to its end.

    Attributes:
        http_status: Of the status line.
        body: Decoded; None when it is too long, damaged, or a redirect's.
        retry_after_s: What the header asked for, already bounded.
        date: What time it is there, as the header says it.
    """

    http_status: int
    body: bytes | None
    retry_after_s: float | None = None
    date: str | None = None


_Meaning = tuple[type[KieError], str]

# Contract §2.1. `UnavailableError` marks what does not say whether KIE went on, so of a paid
# request it leaves the outcome unknown.
_BY_CODE: Final[Mapping[int, _Meaning]] = MappingProxyType(
    {
        400: (RefusedError, "KIE refused the request as malformed or against its rules."),
        401: (WrongKeyError, "KIE does not accept the API key: check it at kie.ai/api-key."),
        402: (NoCreditsError, "The KIE account has too few credits: top up at kie.ai."),
        404: (RefusedError, "KIE does not have what the request names."),
        408: (UnavailableError, "KIE heard nothing from the video service for 10 minutes."),
        422: (RefusedError, "KIE refused a parameter of the request."),
        RATE_LIMITED: (RateLimitedError, "KIE got too many requests and refused this one."),
        433: (NotAllowedError, "The usage cap of this API key is reached: raise it at kie.ai."),
        451: (RefusedError, "KIE could not fetch the media: its URL must be public."),
        455: (MaintenanceError, "KIE is in maintenance."),
        500: (UnavailableError, "KIE had an unexpected error."),
        501: (UnavailableError, "KIE said that the generation failed."),
        505: (NotAllowedError, "KIE has switched this feature off."),
        550: (UnavailableError, "KIE denied the connection."),
    }
)


def failure(answer: Answer, code: int | None, message: str | None, use: Use) -> KieError | None:
    """
    The error that an answer amounts to; None for success.

    Most errors come with HTTP 200 and a body code, so a known code counts for more than the
    status; success takes both. But where a gateway may have spoken in KIE's place, no code proves
    that a paid request was not taken.

    Args:
        answer: As received.
        code: Of the envelope; None when there is none.
        message: Of the envelope, cleaned.
        use: What the request was for.
    """
    status = answer.http_status
    if code == OK and 200 <= status < 300:
        return None
    error, reason = _meaning(status, code, use)
    if error is RateLimitedError:
        return RateLimitedError(
            reason,
            message=message,
            http_status=status,
            body_code=code,
            retry_after_s=answer.retry_after_s,
        )
    if error is UnavailableError and use is Use.PAID:
        return OutcomeUnknownError(reason, message=message, http_status=status, body_code=code)
    return error(reason, message=message, http_status=status, body_code=code)


def _meaning(status: int, code: int | None, use: Use) -> _Meaning:
    if use is Use.LOOK_UP and code in FAILED_TASK:
        return GenerationFailedError, "KIE says that the generation failed."
    if use is Use.PAID and _may_be_a_gateways(status, code):
        return UnavailableError, f"KIE's answer contradicts itself: code {code}, but HTTP {status}."
    if code is not None and code in _BY_CODE:
        return _BY_CODE[code]
    if code == OK:
        return UnavailableError, f"KIE contradicts itself: success, but HTTP {status}."
    if 200 <= status < 300:
        what = "no readable answer" if code is None else f"the unknown code {code}"
        return UnavailableError, f"KIE sent {what}."
    if 400 <= status < 500 and status not in _UNCLEAR_4XX:
        return _meaning_of_status(status, code, use)
    return UnavailableError, f"Instead of KIE's answer came HTTP {status}."


def _may_be_a_gateways(status: int, code: int | None) -> bool:
    """Whether a code need not be KIE's; but it documents refusals under HTTP 500 (§2)."""
    if code is None or code == status:
        return False
    if status == 500:
        return code == RATE_LIMITED  # the one that would be sent again by itself
    return status in _UNCLEAR_4XX or status > 500


def _meaning_of_status(status: int, code: int | None, use: Use) -> _Meaning:
    """For an HTTP refusal whose body does not say more."""
    if status == 403 and code is None:
        return BlockedError, (
            "KIE's CDN turned this client away before KIE saw the request: try another "
            "KIE_USER_AGENT or network."
        )
    if status == 403:
        return WrongKeyError, "KIE does not allow this API key here: check it at kie.ai/api-key."
    error, reason = _BY_CODE.get(
        status, (RefusedError, f"KIE refused the request (HTTP {status}).")
    )
    if status == 404:
        reason = "Nothing answers at this address: check the configured KIE URLs."
    if use is Use.LOOK_UP and error is RefusedError:
        # KIE itself did not speak, so this says nothing about the task.
        error = UnavailableError
    return error, reason
