"""Single values out of answers: everything readable is read, nothing raises."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from kie_runway.redaction import Redactor
from kie_runway.values import (
    MESSAGE_MAX_CHARS,
    NUMBER_MAX,
    RETRY_AFTER_MAX_S,
    amount,
    integer,
    opaque_id,
    provider_text,
    retry_after_s,
    utc_time,
    web_address,
)

KEY = "5ecre7kie0key1234567890abcdef9876"
REDACT = Redactor([SecretStr(KEY)])
NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Every type that JSON knows, with the odd members of each.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300)
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zs"]))
    | st.from_regex(r"-?[0-9]{1,400}(\.[0-9]+)?", fullmatch=True)
    | st.datetimes().map(str)
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain words", "plain words"),
        ("  two\r\n\tlines\u2028here ", "two lines here"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07text\x9b1m", "red text"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("nul\x00bell\x07back\x08", "nulbellback"),
        ("a\u202eb\u2066c\u200bd\ufeffe", "abcde"),
        ("tags\U000e0041\U000e0042 and \U000e0101selectors\ufe0f", "tags and selectors"),
        ("half \ud800 pair", "half pair"),
        ("Größe ≤ 10 s, 视频 🎬", "Größe ≤ 10 s, 视频 🎬"),
        ("Your current balance isn’t enough", "Your current balance isn’t enough"),  # noqa: RUF001  # recorded
    ],
)
def test_provider_text_keeps_words_and_drops_what_acts(raw: str, shown: str) -> None:
    assert provider_text(raw) == shown


@pytest.mark.parametrize("value", [None, "", " \n", "\x1b[0m", "\u200b", 7, True, ["a"], {"a": 1}])
def test_what_holds_no_words_is_no_text(value: object) -> None:
    assert provider_text(value) is None


def test_long_text_is_cut_with_a_mark() -> None:
    assert provider_text("x" * 300) == "x" * 300
    assert provider_text("x" * 301) == "x" * 299 + "…"


@pytest.mark.parametrize(
    "raw",
    [
        f"wrong key {KEY}",
        f"wrong key {KEY[:6]}***",
        f"{'x' * 280} {KEY}",
        f"{'x' * 296}{KEY}",
        f"split {KEY[:9]}\x1b[0m{KEY[9:]}",
        f"split {KEY[:9]}\u200b{KEY[9:]}",
        f"{KEY}{KEY}",
        "\x00" * (10_000 - 12) + KEY,
    ],
)
def test_the_key_is_masked_before_the_text_is_cut(raw: str) -> None:
    text = provider_text(raw, redact=REDACT)

    assert text is not None
    assert KEY[:6] not in text


def test_other_text_is_not_masked() -> None:
    assert provider_text(f"see {KEY[:5]}", redact=REDACT) == f"see {KEY[:5]}"


@given(ANYTHING)
def test_provider_text_is_always_one_short_harmless_line(value: object) -> None:
    text = provider_text(value)

    if text is not None:
        assert 1 <= len(text) <= MESSAGE_MAX_CHARS
        assert all(char.isprintable() for char in text)
        assert "\x1b" not in text


@given(before=st.text(), after=st.text(), cut=st.integers(6, len(KEY)))
def test_no_beginning_of_the_key_survives(before: str, after: str, cut: int) -> None:
    text = provider_text(f"{before}{KEY[:cut]}{after}", redact=REDACT)

    assert KEY[:6] not in (text or "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (400, 400),
        ("400", 400),
        (" -3 ", -3),
        (400.0, 400),
        (NUMBER_MAX, NUMBER_MAX),
        (NUMBER_MAX + 1, None),
        ("9" * 30, None),
        (1.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ("", None),
        ("x", None),
        ("²", None),
        ([1], None),
    ],
)
def test_numbers_are_read_in_any_type(value: object, expected: int | None) -> None:
    assert integer(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1787093516000, datetime(2026, 8, 18, 22, 51, 56, tzinfo=UTC)),
        ("1787093516000", datetime(2026, 8, 18, 22, 51, 56, tzinfo=UTC)),
        (1787093516000.0, datetime(2026, 8, 18, 22, 51, 56, tzinfo=UTC)),
        (1787093516, datetime(2026, 8, 18, 22, 51, 56, tzinfo=UTC)),
        ("2023-08-15T14:25:00Z", datetime(2023, 8, 15, 14, 25, tzinfo=UTC)),
        ("2023-08-15T14:25:00+02:00", datetime(2023, 8, 15, 12, 25, tzinfo=UTC)),
        ("2023-08-15T14:25:00", datetime(2023, 8, 15, 14, 25, tzinfo=UTC)),
        ("2023-08-15 14:25:00", datetime(2023, 8, 15, 14, 25, tzinfo=UTC)),
        ("2026-04-16T07:19:10.400Z", datetime(2026, 4, 16, 7, 19, 10, 400_000, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_every_notation(value: object, expected: datetime) -> None:
    assert utc_time(value) == expected
    assert utc_time(value).tzinfo is UTC  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value",
    [
        *(None, 0, "0", -5, "", "soon", True, {}, []),
        *(10**30, "9" * 18, "9" * 5000, float("nan"), float("inf")),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert utc_time(value) is None


def test_a_time_without_a_zone_may_be_left_out() -> None:
    assert utc_time("2023-08-15 14:25:00", without_zone=None) is None
    assert utc_time("2023-08-15T14:25:00Z", without_zone=None) is not None
    assert utc_time("2023-08-15 14:25:00", without_zone=timezone(timedelta(hours=8))) == datetime(
        2023, 8, 15, 6, 25, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("600", 600.0),
        ("601", 600.0),
        ("1000000000", 600.0),
        ("9" * 5000, 600.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 00:00:30 -0000", 30.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", 600.0),
        ("-1", None),
        ("1.5", None),
        ("inf", None),
        ("1e3", None),
        ("²", None),
        ("", None),
        ("soon", None),
        ("5, 7", None),
        ("Thu, 99 Jan 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_read_and_bounded(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


@given(st.text() | SCALARS.map(str))
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("1 Jan 99999999999 00:00:00")
def test_no_retry_after_raises_or_goes_out_of_bounds(value: str) -> None:
    seconds = retry_after_s(value, NOW)

    assert seconds is None or 0 <= seconds <= RETRY_AFTER_MAX_S


@pytest.mark.parametrize(
    "url",
    ["https://a.b/c.mp4?x=1#y", "http://127.0.0.1:8765/v.mp4", "HTTPS://A.B", "https://ä.de/ö"],
)
def test_a_web_address_is_kept_as_it_is(url: str) -> None:
    assert web_address(f" {url}\n") == url


@pytest.mark.parametrize(
    "value",
    [
        *(None, 7, "", " ", "a.b/c", "//a.b", "https://", "https:///x", "http://["),
        *("ftp://a.b", "file:///etc", "data:video/mp4;base64,AA", "javascript:alert(1)"),
        *(
            "https://a b",
            "https://a\x00",
            "https://a/\x1b[0m",
            "https://a/\u202e",
            "https://a/\ud800",
        ),
    ],
)
def test_anything_else_is_no_web_address(value: object) -> None:
    assert web_address(value) is None


def test_a_web_address_may_have_8192_characters() -> None:
    url = "https://a.example/".ljust(8192, "x")

    assert web_address(url) == url
    assert web_address(url + "x") is None


@given(ANYTHING)
def test_no_value_makes_a_reader_raise(value: object) -> None:
    number, time, id_, credits = integer(value), utc_time(value), opaque_id(value), amount(value)
    web_address(value)

    assert number is None or abs(number) <= NUMBER_MAX
    assert time is None or time.tzinfo is UTC
    assert id_ is None or (1 <= len(id_) <= 200 and id_.isascii() and id_.isprintable())
    assert credits is None or (isinstance(credits, Decimal) and credits.is_finite())
