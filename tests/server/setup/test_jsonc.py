"""Reading JSON with comments: what it means, and where it is wrong."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.server.setup.documents import VALUES, documents

from kie_runway.setup.jsonc import MAX_DEPTH, Container, JsoncError, parse


@given(value=VALUES, indent=st.sampled_from([None, 2, "\t"]))
def test_plain_json_means_what_python_reads_in_it(value: object, indent: int | str | None) -> None:
    text = json.dumps(value, indent=indent)
    document = parse(text)

    assert document.root.plain == value
    assert document.first_extra is None
    assert text[document.root.start : document.root.end] == text


@given(text=st.text(alphabet='{}[]",:/*\n\\ \ufeffa1-.eutrfalsn', max_size=30) | st.text())
@example("[" * 10_000)
@example('{"a":' * 10_000)
@example("1" * 10_000)
@example("/*" * 10_000)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except JsoncError as exc:
        assert exc.line >= 1
        assert exc.column >= 1


@given(text=documents())
def test_comments_and_commas_change_nothing(text: str) -> None:
    document = parse(text)
    commented = f"/* {{ */{text.removeprefix(chr(0xFEFF))}\n// end"

    assert parse(commented).root.plain == document.root.plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: a value is missing"),
        ("{", "line 1, column 2: a name in double quotes is missing"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: a comma or } is missing"),
        ('\ufeff{\r\n  "a" 1}', "line 2, column 7: a colon is missing"),
        ("{'a': 1}", "line 1, column 2: a name in double quotes is missing"),
        ('{"a": 1,, }', "line 1, column 9: a name in double quotes is missing"),
        ("[,]", "line 1, column 2: a value is missing"),
        ('{"a": NaN}', "line 1, column 7: a value is missing"),
        ('{"a": 01}', "line 1, column 8: a comma or } is missing"),
        ('["tab\t"]', "line 1, column 2: a string does not end"),
        ('{"a": "\\x"}', "line 1, column 7: a string does not end"),
        ("{} {}", "line 1, column 4: the document has ended before this"),
        ("{} /* open", "line 1, column 4: a comment does not end"),
        ("{} / ", "line 1, column 4: unexpected character"),
        ("\n\xa0{}", "line 2, column 1: a value is missing"),
        ("[" * (MAX_DEPTH + 2), f"line 1, column {MAX_DEPTH + 2}: nested too deeply"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(JsoncError) as refused:
        parse(text)

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{}", None),
        ('{"a": "// no", "b": "/* no */"}', None),
        ("{\n  // yes\n}", (2, 3)),
        ('{\r\n  "a": [1,\r\n ],\r\n}', (2, 10)),
        ('{"a": 1, /* b */}', (1, 8)),
    ],
)
def test_it_is_known_where_a_file_is_more_than_plain_json(
    text: str, place: tuple[int, int] | None
) -> None:
    document = parse(text)
    extra = document.first_extra

    assert (None if extra is None else document.position(extra)) == place


def test_of_equal_names_the_last_counts_and_all_are_known() -> None:
    root = parse('{"a": 1, "a": 2}').root

    assert isinstance(root, Container)
    assert root.plain == {"a": 2}
    assert [member.value.plain for member in root.members("a")] == [1, 2]
