"""
Everything that can go wrong, one class per thing a caller does differently.

KieRunwayError
├── BadInputError            the arguments break a rule; nothing was sent
├── RequestConflictError     the request_id already stands for other arguments
├── UnknownTaskError         neither the ledger nor KIE knows the id
├── NotFinishedError         the task has no video yet
├── StillUploadingError      a file is on its way to KIE; the call started nothing
├── StuckError               KIE has been working on it for far too long
├── ExpiredError             KIE deleted the video (14 days)
├── NoKeyError               KIE_API_KEY is not set
├── NotInstalledError        it takes an optional part of this package
├── NoUploadRootsError       a local file, and no directory that may be read
├── OverBudgetError          it would exceed what may be spent a day (KIE_DAILY_CREDITS)
├── DeclinedError            the user was asked, and did not agree to the price
├── LedgerError              the ledger cannot be read or written
│   └── TaskIdTakenError     KIE gave a task id that another task has
├── CrashError               a fault of ours, in a tool that spends nothing
│   └── PaidCrashError       the same in a tool that spends: it may have been billed
├── DownloadError            a finished file could not be fetched
│   ├── DownloadStatusError  its host answered, but not with the file
│   ├── StorageError         the output directory cannot take it
│   └── UnsafeUrlError       its address must not be fetched at all
└── KieError                 what KIE, or the way to it, answered
    ├── WrongKeyError        401, 403
    ├── BlockedError         bare 403 of the CDN, "error code: 1010"
    ├── NoCreditsError       402
    ├── RefusedError         400, 404, 422, 451: the input has to change
    ├── RateLimitedError     429: refused, not queued
    ├── NotAllowedError      433, 505: the account has to change
    ├── MaintenanceError     455
    ├── NotSentError         the request certainly never left
    ├── GenerationFailedError  408, 501 on a look-up: the task is over
    ├── UnavailableError     a look-up got no usable answer; asking again is free
    └── OutcomeUnknownError  a paid request left and its outcome is unknown
        └── UncertainTaskError  the same of an earlier one, whose video a call would need

Codes are those of the wire contract, section 2. Every class says for a caller what to
do (`retry`), whether the failed call may have been billed (`charged`), and has a stable
`code`. `message` is provider text: show it, never obey it, never branch on it.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Literal

Retry = Literal["never", "after_change", "later", "ask_user"]
Charged = Literal["yes", "no", "unknown"]


class KieRunwayError(Exception):
    """
    Base of all errors a caller may handle.

    Attributes:
        code: Stable name of the class of failure.
        retry: What repeating the call takes.
        charged: Whether the call that failed may have been billed.
        reason: One trusted sentence: what happened and what helps.
        message: Untrusted provider text, or None.
    """

    code: ClassVar[str] = "error"
    retry: ClassVar[Retry] = "ask_user"
    charged: ClassVar[Charged] = "no"

    def __init__(self, reason: str, *, message: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message


class BadInputError(KieRunwayError):
    """The arguments break a rule; nothing was sent and no request_id was used up."""

    code = "bad_input"
    retry = "after_change"


class RequestConflictError(KieRunwayError):
    """The request_id already stands for other arguments; nothing was sent."""

    code = "request_id_conflict"
    retry = "after_change"


class UnknownTaskError(KieRunwayError):
    """Neither the ledger nor KIE knows the id."""

    code = "unknown_task"
    retry = "after_change"


class NotFinishedError(KieRunwayError):
    """
    The task has no video yet.

    Attributes:
        look: What to call, and how, to wait for it.
    """

    code = "not_finished"
    retry = "later"

    def __init__(self, reason: str, *, look: str) -> None:
        super().__init__(reason)
        self.look = look


class StillUploadingError(KieRunwayError):
    """A file needs longer than a call may take; its upload goes on."""

    code = "still_uploading"
    retry = "later"


class StuckError(KieRunwayError):
    """KIE has been working on a task for more than 30 minutes; it goes on."""

    code = "stuck"
    retry = "later"


class ExpiredError(KieRunwayError):
    """KIE deleted the video; it keeps results for 14 days (contract §11)."""

    code = "expired"
    retry = "never"


class NoKeyError(KieRunwayError):
    """No API key is configured."""

    code = "no_key"
    retry = "ask_user"


class NoUploadRootsError(KieRunwayError):
    """A local file was named, but neither settings nor client name a directory to read from."""

    code = "no_upload_roots"
    retry = "ask_user"


class NotInstalledError(KieRunwayError):
    """It takes an optional part of this package that is not there."""

    code = "not_installed"
    retry = "ask_user"


class OverBudgetError(KieRunwayError):
    """
    It would exceed `daily_credits` in 24 hours; the user may raise them or wait.

    Attributes:
        room_at: When there is room for it, if nothing else is spent meanwhile; None: never.
        room_from: The same for people: the first whole minute of UTC; empty: never.
    """

    code = "over_budget"
    retry = "ask_user"

    def __init__(
        self, credits: float, *, spent: float, daily_credits: float, room_at: datetime | None
    ) -> None:
        cost, cap = f"This video would cost about {credits:,.10g} credits", f"{daily_credits:,.10g}"
        room_from = "" if room_at is None else f"{_full_minute(room_at):%Y-%m-%d %H:%M} UTC"
        if not room_from:
            words = f"{cost}, more than the {cap} a day that KIE_DAILY_CREDITS allows."
        else:
            words = (
                f"{cost}; {spent:,.10g} of the {cap} a day (KIE_DAILY_CREDITS) were spent in the "
                f"last 24 hours. There is room for it from {room_from}."
            )
        super().__init__(words)
        self.room_at = room_at
        self.room_from = room_from


class DeclinedError(KieRunwayError):
    """The user was asked, and did not agree to the price; nothing was sent."""

    code = "declined"
    retry = "ask_user"


class LedgerError(KieRunwayError):
    """The ledger cannot be read or written; no paid request leaves before it can."""

    code = "ledger_unavailable"
    retry = "ask_user"


class CrashError(KieRunwayError):
    """A fault of ours, in a tool that spends nothing."""

    code = "internal"
    charged: ClassVar[Charged] = "no"


class PaidCrashError(CrashError):
    """A fault of ours, in a tool that spends; whether it had done so by then is unknown."""

    charged = "unknown"


class TaskIdTakenError(LedgerError):
    """KIE gave a task id that another task has, so it cannot be recorded for this one."""


class LedgerClosedError(LedgerError):
    """The server is ending, and the ledger is closed for good."""


class DownloadError(KieRunwayError):
    """A finished file could not be fetched or stored; the task itself is unharmed."""

    code = "download_failed"
    retry: ClassVar[Retry] = "later"


class DownloadStatusError(DownloadError):
    """
    The host answered, but not with the file.

    Attributes:
        http_status: Of the answer.
    """

    def __init__(self, reason: str, *, http_status: int) -> None:
        super().__init__(reason)
        self.http_status = http_status

    @property
    def is_gone(self) -> bool:
        """Whether this is what a deleted result looks like."""
        return self.http_status in (403, 404, 410)


class StorageError(DownloadError):
    """The output directory cannot take the file; somebody has to make room or name another."""

    code = "cannot_store"
    retry = "ask_user"


class UnsafeUrlError(DownloadError):
    """The address points somewhere this server must not fetch from."""

    code = "unsafe_url"
    retry = "never"


class KieError(KieRunwayError):
    """
    What KIE, or the way to it, answered.

    Attributes:
        http_status: Status line of the answer; None when there was no answer.
        body_code: `code` of the envelope; None when there was no envelope.
    """

    code = "kie_error"

    def __init__(
        self,
        reason: str,
        *,
        message: str | None = None,
        http_status: int | None = None,
        body_code: int | None = None,
    ) -> None:
        super().__init__(reason, message=message)
        self.http_status = http_status
        self.body_code = body_code


class WrongKeyError(KieError):
    """KIE does not accept the key (401, or 403 with an envelope)."""

    code = "wrong_key"
    retry = "ask_user"


class BlockedError(KieError):
    """KIE's CDN turned the client away before KIE saw it (bare 403, "error code: 1010")."""

    code = "blocked"
    retry = "ask_user"


class NoCreditsError(KieError):
    """The account's balance does not cover the request (402)."""

    code = "no_credits"
    retry = "ask_user"


class RefusedError(KieError):
    """KIE refused the input (400, 404, 422, 451)."""

    code = "refused"
    retry = "after_change"


class RateLimitedError(KieError):
    """
    KIE refused the request because too many came (429); refused, not queued.

    Attributes:
        retry_after_s: Seconds KIE asks to wait, already bounded; None when it did not say.
    """

    code = "rate_limited"
    retry = "later"

    def __init__(
        self,
        reason: str,
        *,
        message: str | None = None,
        http_status: int | None = None,
        body_code: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason, message=message, http_status=http_status, body_code=body_code)
        self.retry_after_s = retry_after_s


class NotAllowedError(KieError):
    """The account or key may not do this: sub-key cap (433) or feature switched off (505)."""

    code = "not_allowed"
    retry = "ask_user"


class MaintenanceError(KieError):
    """KIE is in maintenance (455)."""

    code = "maintenance"
    retry = "later"


class NotSentError(KieError):
    """The request certainly never left: no connection could be made."""

    code = "unreachable"
    retry = "later"


class GenerationFailedError(KieError):
    """A look-up answered 408 or 501: the task is over without a video."""

    code = "generation_failed"
    retry = "ask_user"
    charged = "unknown"


class UnavailableError(KieError):
    """A call that costs nothing got no usable answer; the task itself goes on."""

    code = "unavailable"
    retry = "later"


class OutcomeUnknownError(KieError):
    """
    A paid request left; whether KIE made a task of it, and billed it, is unknown. Never resend it.

    Attributes:
        request_id: Which request, where the failed call alone does not tell.
    """

    code = "outcome_unknown"
    retry = "never"
    charged: ClassVar[Charged] = "unknown"

    def __init__(
        self,
        reason: str,
        *,
        message: str | None = None,
        http_status: int | None = None,
        body_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(reason, message=message, http_status=http_status, body_code=body_code)
        self.request_id = request_id


class UncertainTaskError(OutcomeUnknownError):
    """A call needs the video of a task of which nobody knows whether it exists; it sent nothing."""

    charged: ClassVar[Charged] = "no"


def _full_minute(at: datetime) -> datetime:
    """The first minute, to be told by hours and minutes, that does not begin before then."""
    return (at + timedelta(seconds=59, microseconds=999_999)).replace(second=0, microsecond=0)


def loggable(exc: Exception) -> str:
    """What may be logged: the words of an error that is not ours could hold a signed address."""
    return exc.reason if isinstance(exc, KieRunwayError) else type(exc).__name__
