"""Edits of configuration files: what they add, and that they touch nothing else."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.server.setup.documents import SCALARS, VALUES, documents

from kie_runway.setup.edits import Item, Path, put, take
from kie_runway.setup.jsonc import JsoncError, as_object, parse

ENTRY: dict[str, Any] = {"command": "/bin/kie", "args": ["serve"], "env": {"K": "v"}}
SERVER = ("mcpServers", "kie")
INPUT = ("inputs", Item("id", "kie-key"))
ASKED: dict[str, Any] = {"id": "kie-key", "type": "promptString"}

# Documents that a client could have written: an object, with objects of servers.
CONFIGS = st.dictionaries(st.sampled_from(["a", "b", "servers", "é"]), VALUES, max_size=3).flatmap(
    lambda rest: st.fixed_dictionaries(
        {},
        optional={
            "mcpServers": st.dictionaries(
                st.sampled_from(["other", "x"]), st.dictionaries(st.text(max_size=2), SCALARS)
            ),
            "inputs": st.lists(st.fixed_dictionaries({"id": st.sampled_from(["x", "y"])})),
        },
    ).map(lambda ours: {**rest, **ours})
)


def without(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """What is left of a value when the container at the path's beginning is disregarded."""
    return {name: it for name, it in value.items() if name != path[0]}


@pytest.mark.parametrize(
    ("path", "value"), [(SERVER, ENTRY), (INPUT, ASKED)], ids=["member", "item"]
)
@given(text=documents(CONFIGS))
@example("{}")
@example("{ }")
@example("{\n}\n")
@example('{"mcpServers":{}, "inputs": []}')
@example('{"mcpServers": { // none\n}, "inputs": [/* none */]}')
@example('{"mcpServers": {/* none */\n}, "inputs": [ // none\n ]}')
@example('\ufeff{\r\n\t"mcpServers": {\r\n\t\t"x": {},\r\n\t},\r\n}\r\n')
def test_what_is_put_can_be_taken_and_nothing_else_has_changed(
    path: Path, value: dict[str, Any], text: str
) -> None:
    before: Any = parse(text).root.plain
    changed = put(text, path, value)
    after: Any = parse(changed).root.plain

    assert without(after, path) == without(before, path)
    if path is SERVER:
        assert after["mcpServers"] == before.get("mcpServers", {}) | {"kie": value}
    else:
        assert after["inputs"] == [*before.get("inputs", []), value]
    assert put(changed, path, value) == changed
    assert take(changed, path) == text


@given(text=documents(CONFIGS))
def test_two_edits_are_undone_in_reverse(text: str) -> None:
    changed = put(put(text, SERVER, ENTRY), INPUT, ASKED)

    assert take(take(changed, INPUT), SERVER) == text


@given(text=documents(CONFIGS))
def test_every_byte_of_the_original_is_kept_in_its_order(text: str) -> None:
    assert is_subsequence(text, put(text, SERVER, ENTRY))


def is_object(value: object) -> bool:
    return isinstance(value, dict)


def is_subsequence(one: str, other: str) -> bool:
    rest = iter(other)
    return all(char in rest for char in one)


@given(text=documents(CONFIGS), value=VALUES)
def test_another_value_takes_the_place_of_the_first_one(text: str, value: Any) -> None:
    first = put(text, SERVER, ENTRY)
    second = put(first, SERVER, value)
    plain: Any = parse(second).root.plain

    assert plain["mcpServers"]["kie"] == value
    assert take(second, SERVER) == text


@given(text=documents())
def test_whatever_stands_in_the_way_is_refused_and_never_replaced(text: str) -> None:
    plain = parse(text).root.plain
    servers = as_object(plain).get("mcpServers", {})
    assume(not isinstance(servers, dict) or not is_object(plain))
    with pytest.raises(JsoncError, match="an object should stand here"):
        put(text, SERVER, ENTRY)


@pytest.mark.parametrize("blank", ["", " ", "\n", "\ufeff", "\ufeff\r\n"])
def test_a_blank_file_becomes_a_document_and_nothing_again(blank: str) -> None:
    text = put(put(blank, SERVER, ENTRY), INPUT, ASKED)

    assert json.loads(text.removeprefix("\ufeff")) == {
        "mcpServers": {"kie": ENTRY},
        "inputs": [ASKED],
    }
    assert text.endswith("}\n")
    assert take(take(text, INPUT), SERVER) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{\n\t"a": 1 // one\n}\n',
            '{\n\t"a": 1, // one\n\t"mcpServers": {\n\t\t"kie": {\n\t\t\t"x": []\n\t\t}\n\t}\n}\n',
        ),
        (
            '{"a":1}',
            '{"a":1, "mcpServers": {"kie": {"x": []}}}',
        ),
        (
            '{\n    "mcpServers": {\n        "b": {},  \n    },\n}',
            '{\n    "mcpServers": {\n        "b": {},\n        "kie": {\n            "x": []\n'
            "        },  \n    },\n}",
        ),
        (
            '{"mcpServers": {}}\r\n',
            '{"mcpServers": { \r\n  "kie": {\r\n    "x": []\r\n  }\r\n}}\r\n',
        ),
    ],
    ids=["tabs", "one line", "trailing commas", "empty"],
)
def test_the_files_own_layout_is_followed(text: str, expected: str) -> None:
    assert put(text, SERVER, {"x": []}) == expected


def test_taking_what_others_wrote_leaves_the_rest() -> None:
    text = '{"mcpServers": {\n  // ours\n  "kie": {}, // here\n  "b": {}\n}}'

    assert take(text, SERVER) == '{"mcpServers": {\n  // ours // here\n  "b": {}\n}}'
    assert take(text, ("mcpServers", "b")) == (
        '{"mcpServers": {\n  // ours\n  "kie": {} // here\n}}'
    )
    assert take(text, ("mcpServers", "c")) == text
    assert take(text, ("servers", "kie")) == text


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(JsoncError, match="line 2, column 2: kie stands here twice"):
        put('{"mcpServers": {"kie": 1,\n "kie": 2}}', SERVER, ENTRY)


def test_equal_is_what_json_calls_equal() -> None:
    text = '{"mcpServers": {"kie": {"a": 1, "b": true}}}'

    assert put(text, SERVER, {"b": True, "a": 1}) == text
    assert put(text, SERVER, {"b": 1, "a": 1}) != text


def test_one_item_of_many_is_found_by_its_name() -> None:
    text = '{"inputs": [1, {"id": "x"}, {"id": "kie-key", "old": 1}, "kie-key"]}'
    plain: Any = parse(put(text, INPUT, ASKED)).root.plain
    left: Any = parse(take(text, INPUT)).root.plain

    assert plain["inputs"] == [1, {"id": "x"}, ASKED, "kie-key"]
    assert left["inputs"] == [1, {"id": "x"}, "kie-key"]


def steps(*names: str) -> Sequence[str]:
    return names


def test_the_path_may_be_of_any_length() -> None:
    text = put("{}", steps("a", "b", "c"), 1)

    assert parse(text).root.plain == {"a": {"b": {"c": 1}}}
    assert take(text, steps("a", "b", "c")) == "{}"
