"""Callbacks: addresses, ids, and what is stored of them."""

import json
import re
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.desk import NOW
from tests.server.hooks import HMAC_KEY, SUCCESS, TASK_ID, Hooks, open_hooks, raw, signature

from kie_runway.ledger.sqlite_inbox import SqliteInbox
from kie_runway.signature import BadSignatureError
from kie_runway.webhooks import (
    TOKEN_LIVES,
    BadCallbackError,
    UnknownTokenError,
    callback_address,
    hash_token,
    new_token,
    read_task_id,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(name="hooks")
async def _hooks(tmp_path: Path) -> AsyncGenerator[Hooks]:
    async with open_hooks(tmp_path) as hooks:
        yield hooks


@pytest.fixture(name="strict")
async def _strict(tmp_path: Path) -> AsyncGenerator[Hooks]:
    async with open_hooks(tmp_path, ["an-old-key", HMAC_KEY]) as hooks:
        yield hooks


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_tokens_are_long_unlike_each_other_and_fit_into_an_address() -> None:
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43,}", token) for token in tokens)


def test_the_address_is_below_the_public_base() -> None:
    assert callback_address("https://hooks.example", "t") == "https://hooks.example/hooks/kie/t"


def test_a_hash_does_not_show_its_token() -> None:
    token = new_token()

    assert re.fullmatch(r"[0-9a-f]{64}", hash_token(token))
    assert token not in hash_token(token)
    assert hash_token(token) == hash_token(token)


@pytest.mark.parametrize(
    "callback",
    [
        body(code=200, msg="", data={"task_id": "t-1", "video_id": "v", "video_url": "https://a"}),
        body(code=400, msg="NSFW", data={"task_id": "t-1", "video_id": "", "video_url": ""}),
        body(code=500, msg="", data={"task_id": "t-1"}),
        body(code=200, msg="success", data={"result_video_url": "https://a"}, taskId="t-1"),
        body(code=400, msg="no", data=None, taskId="t-1"),
        body(data={"taskId": "t-1"}),
        body(task_id="t-1"),
        body(data={"task_id": "t-1", "taskId": "t-1"}, taskId="t-1", task_id="t-1"),
        body(data={"task_id": "", "taskId": None}, taskId="t-1"),
        body(data="text", taskId="t-1"),
        body(data=[{"task_id": "t-2"}], taskId="t-1"),
        body(taskId="t-1").decode().encode("utf-16"),
    ],
)
def test_every_layout_of_kies_names_its_task(callback: bytes) -> None:
    assert read_task_id(callback) == "t-1"


def test_a_number_is_an_id_as_in_an_answer() -> None:
    assert read_task_id(body(data={"task_id": 17})) == "17"


@pytest.mark.parametrize(
    ("callback", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"<html>", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[" * 60_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'"t-1"', "no JSON object"),
        (body(), "names no task"),
        (body(code=400, msg="no", data=None), "names no task"),
        (body(data={"task_id": ""}, taskId=None), "names no task"),
        (body(data={"task_id": "t-1"}, taskId="t-2"), "several"),
        (body(data={"task_id": "t-1", "taskId": "t-2"}), "several"),
        (body(data={"task_id": "t-1"}, taskId=["t-1"]), "several"),
        (body(data={"task_id": ["t-1"]}), "cannot be an id"),
        (body(data={"task_id": " "}), "cannot be an id"),
        (body(data={"task_id": "t 1"}), "cannot be an id"),
        (body(data={"task_id": "t" * 201}), "cannot be an id"),
        (body(data={"task_id": True}), "cannot be an id"),
        (body(data={"task_id": "\ud800"}), "cannot be an id"),
    ],
)
def test_what_names_no_one_task_is_refused(callback: bytes, reason: str) -> None:
    with pytest.raises(BadCallbackError, match=reason):
        read_task_id(callback)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMED = st.fixed_dictionaries(
    {},
    optional={
        "data": JSON | st.fixed_dictionaries({}, optional={"task_id": JSON, "taskId": JSON}),
        "taskId": JSON,
        "task_id": JSON,
    },
)


@given(st.binary() | (JSON | NAMED).map(lambda value: json.dumps(value).encode()))
def test_rubbish_is_refused_in_one_way_or_names_an_id(callback: bytes) -> None:
    try:
        task_id = read_task_id(callback)
    except BadCallbackError:
        return

    assert task_id.isascii()
    assert 1 <= len(task_id) <= 200


async def test_a_callback_is_stored_and_wakes_who_confirms(hooks: Hooks) -> None:
    await hooks.webhooks.receive(await hooks.entry(), [], SUCCESS)
    (stored,) = await hooks.stored()

    assert (stored.entry_id, stored.task_id) == (hooks.row.id, TASK_ID)
    assert len(hooks.woken) == 1


A = "a" * 43


@pytest.mark.parametrize(
    "token", ["", "a", A[1:], A + "a", A[1:] + "/", A[1:] + "=", "ä" * 43, A + "\n", "\x00" * 43]
)
async def test_a_misshapen_token_is_unknown_without_a_look(
    hooks: Hooks, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(SqliteInbox, "entry_of")  # a look would fail

    with pytest.raises(UnknownTokenError):
        await hooks.webhooks.entry_of(token)


async def test_a_token_that_nobody_was_given_is_unknown(hooks: Hooks) -> None:
    with pytest.raises(UnknownTokenError):
        await hooks.webhooks.entry_of(new_token())


async def test_a_token_lives_fourteen_days(hooks: Hooks) -> None:
    hooks.clock.at = NOW + TOKEN_LIVES
    entry = await hooks.entry()
    hooks.clock.at += timedelta(seconds=1)

    assert entry.id == hooks.row.id
    with pytest.raises(UnknownTokenError):
        await hooks.entry()


async def test_with_a_key_a_signed_callback_is_stored_once(strict: Hooks) -> None:
    for _ in range(3):
        await strict.webhooks.receive(await strict.entry(), raw(signature()), SUCCESS)

    assert len(await strict.stored()) == 1
    assert len(strict.woken) == 1


async def test_with_a_key_an_unsigned_callback_is_refused(strict: Hooks) -> None:
    with pytest.raises(BadSignatureError):
        await strict.webhooks.receive(await strict.entry(), [], SUCCESS)

    assert not await strict.stored()
    assert not strict.woken


async def test_the_signature_is_that_of_the_task_in_the_body(strict: Hooks) -> None:
    with pytest.raises(BadSignatureError):
        await strict.webhooks.receive(
            await strict.entry(), raw(signature()), body(data={"task_id": "another"})
        )

    assert not await strict.stored()


@pytest.mark.parametrize("keys", [[], [HMAC_KEY]])
async def test_a_callback_about_another_task_is_refused(tmp_path: Path, keys: list[str]) -> None:
    async with open_hooks(tmp_path, keys) as hooks:
        await hooks.is_at_kie()
        with pytest.raises(BadCallbackError, match="another task"):
            await hooks.webhooks.receive(
                await hooks.entry(),
                raw(signature("another")),
                body(data={"task_id": "another"}),
            )

        assert not await hooks.stored()
        assert not hooks.woken


async def test_a_callback_before_kies_answer_is_stored_for_the_row_of_its_address(
    hooks: Hooks,
) -> None:
    entry = await hooks.entry()
    await hooks.webhooks.receive(entry, [], SUCCESS)
    (stored,) = await hooks.stored()

    assert entry.task_id is None
    assert stored.task_id == TASK_ID
