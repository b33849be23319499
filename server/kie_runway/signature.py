"""KIE's signature of a callback (contract §8): it covers the task's id and the time, no more."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import SecretStr

FRESH_S = 300  # how far the signed time may be off, either way
_TIMESTAMP = b"x-webhook-timestamp"
_SIGNATURE = b"x-webhook-signature"
_SECONDS = re.compile(rb"[0-9]{1,12}")

RawHeaders = Iterable[tuple[bytes, bytes]]
"""Names and values as ASGI has them."""


class BadSignatureError(Exception):
    """The callback is not, or not lately, signed with a key of ours; never shown to an agent."""


def verify(keys: Sequence[SecretStr], task_id: str, headers: RawHeaders, now: datetime) -> int:
    """
    Check that one of the keys has signed this task's id within the last 300 seconds.

    Returns:
        When it was signed, in Unix seconds.

    Raises:
        BadSignatureError: A header is missing, double or malformed, the time is too far off,
            or the signature is not that of any key.
    """
    found = list(headers)
    timestamp = _only(found, _TIMESTAMP)
    signature = _only(found, _SIGNATURE)
    if not _SECONDS.fullmatch(timestamp):
        raise BadSignatureError("the signed time is no number of seconds")
    message = task_id.encode() + b"." + timestamp
    # Every key is tried, so that the time taken does not tell which one fits.
    fits = [hmac.compare_digest(_sign(key, message), signature) for key in keys]
    if not any(fits):
        raise BadSignatureError("the signature fits no key")
    signed_at = int(timestamp)
    if abs(int(now.timestamp()) - signed_at) > FRESH_S:
        raise BadSignatureError(f"the signed time is more than {FRESH_S} s off")
    return signed_at


def _only(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    match [value for key, value in headers if key.lower() == name]:
        case [value]:
            return value
        case []:
            raise BadSignatureError("it is not signed")
        case _:
            raise BadSignatureError("a header of the signature came more than once")


def _sign(key: SecretStr, message: bytes) -> bytes:
    secret = key.get_secret_value().encode()
    return base64.b64encode(hmac.digest(secret, message, hashlib.sha256))
