"""The choke-point for secrets."""

import base64
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kie_runway.redaction import MASK, Redactor

KEY = "sk+live/0123456789=abc"


def test_the_key_is_masked_in_every_form_it_travels_in() -> None:
    redact = Redactor([SecretStr(KEY), None])
    forms = [
        KEY,
        quote(KEY, safe=""),
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    ]

    for form in forms:
        assert redact(f"before {form} after") == f"before {MASK} after"


@given(st.text(), st.text())
def test_no_text_carries_the_key_through(before: str, after: str) -> None:
    assert KEY not in Redactor([SecretStr(KEY)])(before + KEY + after)


def test_without_secrets_text_stays_as_it_is() -> None:
    assert Redactor([])("nothing to hide") == "nothing to hide"


def test_a_secret_too_short_to_be_one_masks_nothing() -> None:
    assert Redactor([SecretStr("a")])("banana") == "banana"
