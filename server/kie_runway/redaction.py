"""The one choke-point for secrets: whatever leaves as text goes through here first."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

MASK = "[redacted]"
MIN_SECRET_CHARS = 6  # shorter strings would mask ordinary words


class Redactor:
    """
    Masks secrets, and every beginning of one from six characters on: plain, Base64, URL-encoded.

    Mask before cutting to length, or a cut could leave a piece.
    """

    def __init__(self, secrets: Iterable[SecretStr | None]) -> None:
        plain = [secret.get_secret_value() for secret in secrets if secret is not None]
        pieces = {
            form[:length]
            for text in plain
            if len(text) >= MIN_SECRET_CHARS
            for form in _forms(text)
            for length in range(MIN_SECRET_CHARS, len(form) + 1)
        }
        longest_first = sorted(pieces, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if pieces else None

    def __call__(self, text: str) -> str:
        """The text with every secret masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)


def _forms(secret: str) -> Iterable[str]:
    raw = secret.encode()
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
        yield encoded.decode()
        yield encoded.decode().rstrip("=")
