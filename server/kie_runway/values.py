"""
Single values out of KIE's answers, of whatever type they come in.

Nothing is trusted and nothing raises: a value of the wrong type or out of bounds is None.
"""

import math
import re
import unicodedata
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from kie_runway.models import TASK_ID_MAX_CHARS, URL_MAX_CHARS
from kie_runway.redaction import Redactor

MESSAGE_MAX_CHARS = 300
RETRY_AFTER_MAX_S = 600.0
EPOCH_MS_MIN = 100_000_000_000  # March 1973; a smaller number can only be meant as seconds
NUMBER_MAX = 2**31 - 1  # for codes, flags and balances; no ledger chokes on it

_ROUGH_MAX_CHARS = 10_000  # cleaning a megabyte character by character would block the loop
_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\|$)|\x1b.", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]+")


def provider_text(value: object, *, redact: Redactor | None = None) -> str | None:
    """
    Untrusted text made harmless to show: one line of at most 300 visible characters.

    Escape sequences, control characters, bidi, zero-width and tag characters are dropped.
    Secrets are masked before the text is cut.

    Returns:
        None for anything but a string with something left in it.
    """
    if not isinstance(value, str):
        return None
    plain = _ANSI.sub("", value[:_ROUGH_MAX_CHARS])
    text = " ".join("".join(map(_visible, plain)).split())
    if redact is not None:
        text = redact(text)
    if len(text) > MESSAGE_MAX_CHARS:
        text = text[: MESSAGE_MAX_CHARS - 1] + "…"
    return text or None


def integer(value: object) -> int | None:
    """A code or flag, as a number or as a string (contract §14.8)."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if _INTEGER.fullmatch(text) else None
    elif isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > NUMBER_MAX:
        return None
    return value


def amount(value: object) -> Decimal | None:
    """A number of credits, exactly as KIE wrote it."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() and abs(number) <= NUMBER_MAX else None


def opaque_id(value: object) -> str | None:
    """
    A task id: 1 to 200 visible ASCII characters, or a positive number; kept as it is.

    Without spaces no sentence fits in, and no id of KIE's has one.
    """
    if type(value) is int and 0 < value < 10**TASK_ID_MAX_CHARS:
        return str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= TASK_ID_MAX_CHARS:
        return None
    return value if value.isascii() and value.isprintable() and " " not in value else None


def web_address(value: object) -> str | None:
    """An http(s) address of at most 8192 printable characters."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    if len(text) > URL_MAX_CHARS or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.hostname else None


def utc_time(value: object, *, without_zone: tzinfo | None = UTC) -> datetime | None:
    """
    A time in any of KIE's notations: epoch milliseconds, also as a string, or ISO 8601.

    Args:
        value: 0, null and anything unreadable are None.
        without_zone: The zone of an ISO time that names none; None makes it unreadable.
    """
    if isinstance(value, str):
        text = value.strip()
        if not _INTEGER.fullmatch(text):
            return _iso_time(text, without_zone)
        value = int(text)
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value >= EPOCH_MS_MIN else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """The seconds a `Retry-After` header asks for, from 0 to 600; None when it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        # A number too long to be read is as huge as any other.
        seconds = float(text) if len(text) <= 12 else math.inf
    else:
        try:
            at = parsedate_to_datetime(text)
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def _iso_time(text: str, without_zone: tzinfo | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            if without_zone is None:
                return None
            time = time.replace(tzinfo=without_zone)
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _visible(char: str) -> str:
    if char.isspace():
        return " "
    if char in "\ufe0e\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        return ""  # variation selectors can carry hidden text
    return "" if unicodedata.category(char).startswith("C") else char
