"""KIE's signature of a callback."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.server.desk import NOW
from tests.server.hooks import HMAC_KEY, TASK_ID, raw, signature

from kie_runway.signature import BadSignatureError, verify

KEYS = [SecretStr(HMAC_KEY)]
GOOD = signature()


@pytest.mark.parametrize(
    ("task_id", "timestamp", "signed"),
    [
        (
            "ee603959-debb-48d1-98c4-a6d1c717eba6",
            1767225600,
            "we6zGHGX4620X1BJm/ZHCJPs+NLsBfa6MTLbMIGcnQk=",
        ),
        (
            "c0d088df35254cc3e7187fb7116b2efa",
            1787093516,
            "tE25N+fG5g8CYYLVX/7SjWNo1lGPdk/tOrhaRGbT23U=",
        ),
    ],
)
def test_the_contracts_vectors_are_accepted(task_id: str, timestamp: int, signed: str) -> None:
    headers = raw({"X-Webhook-Timestamp": str(timestamp), "X-Webhook-Signature": signed})

    assert verify(KEYS, task_id, headers, datetime.fromtimestamp(timestamp, UTC)) == timestamp


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_five_minutes_off_is_fresh_enough(seconds: int) -> None:
    at = NOW + timedelta(seconds=seconds)

    assert verify(KEYS, TASK_ID, raw(signature(at=at)), NOW) == at.timestamp()


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 10**9])
def test_a_second_more_is_not(seconds: int) -> None:
    headers = raw(signature(at=NOW + timedelta(seconds=seconds)))

    with pytest.raises(BadSignatureError, match="off"):
        verify(KEYS, TASK_ID, headers, NOW)


def test_while_the_key_is_changed_both_are_good_and_no_third() -> None:
    keys = [SecretStr("old-key"), SecretStr("new-key")]

    for key in ("old-key", "new-key"):
        assert verify(keys, TASK_ID, raw(signature(key=key)), NOW)
    with pytest.raises(BadSignatureError, match="fits no key"):
        verify(keys, TASK_ID, raw(signature(key="third-key")), NOW)


def test_a_signature_for_another_task_fits_nothing() -> None:
    with pytest.raises(BadSignatureError, match="fits no key"):
        verify(KEYS, "another-task", raw(GOOD), NOW)


def test_without_keys_nothing_is_signed_well_enough() -> None:
    with pytest.raises(BadSignatureError, match="fits no key"):
        verify([], TASK_ID, raw(GOOD), NOW)


def test_the_names_of_headers_have_no_case() -> None:
    headers = [(name.upper(), value) for name, value in raw(GOOD)]

    assert verify(KEYS, TASK_ID, headers, NOW) == NOW.timestamp()


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_or_repeated_header_is_refused(name: str) -> None:
    without = {key: value for key, value in GOOD.items() if key != name}

    with pytest.raises(BadSignatureError, match="not signed"):
        verify(KEYS, TASK_ID, raw(without), NOW)
    with pytest.raises(BadSignatureError, match="more than once"):
        verify(KEYS, TASK_ID, [*raw(GOOD), *raw({name: GOOD[name]})], NOW)


@pytest.mark.parametrize(
    "timestamp",
    [
        b"",
        b" 1795262400",
        b"1795262400\n",
        b"+1795262400",
        b"-1795262400",
        b"1795262400.0",
        b"1_795_262_400",
        b"0x6b01",
        b"9" * 5000,
        "١٧٩٥٢٦٢٤٠٠".encode(),
        b"soon",
    ],
)
def test_a_time_that_is_no_plain_number_is_refused(timestamp: bytes) -> None:
    headers = [(b"x-webhook-timestamp", timestamp), raw(GOOD)[1]]

    with pytest.raises(BadSignatureError, match="no number of seconds"):
        verify(KEYS, TASK_ID, headers, NOW)


@given(st.binary(max_size=100))
def test_no_other_bytes_are_a_signature(garbage: bytes) -> None:
    headers = [raw(GOOD)[0], (b"x-webhook-signature", garbage)]

    with pytest.raises(BadSignatureError, match="fits no key"):
        verify(KEYS, TASK_ID, headers, NOW)


def test_a_signature_is_compared_as_written() -> None:
    padded = GOOD | {"X-Webhook-Signature": GOOD["X-Webhook-Signature"].rstrip("=")}
    spaced = GOOD | {"X-Webhook-Signature": f" {GOOD['X-Webhook-Signature']}"}

    for headers in (padded, spaced):
        with pytest.raises(BadSignatureError, match="fits no key"):
            verify(KEYS, TASK_ID, raw(headers), NOW)


def test_no_refusal_quotes_what_was_sent_or_the_key() -> None:
    headers = raw(signature(key="another-key"))
    with pytest.raises(BadSignatureError) as caught:
        verify(KEYS, TASK_ID, headers, NOW)

    said = str(caught.value)
    assert HMAC_KEY not in said
    assert not any(value.decode() in said for _, value in headers)
