"""What a create refuses, rule by rule."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sandbox.helpers import ALEPH, EXTEND, GENERATE, TEXT, started

from kie_runway_sandbox import Switches
from kie_runway_sandbox.accounts import TaskKind, price
from kie_runway_sandbox.validation import Refused, check_create

EXTENSION = {"taskId": "x", "prompt": "On it goes", "quality": "720p"}
IMAGE = {"prompt": "It turns", "imageUrl": "https://a.example/b.png", "duration": 5}
IMAGE["quality"] = "1080p"
BODIES: dict[TaskKind, dict[str, Any]] = {"generate": TEXT, "extend": EXTENSION, "aleph": ALEPH}

DURATIONS: list[Any] = [None, 7, 8, "5", 5.5, -5, True, float("inf"), []]
REFUSED: list[tuple[TaskKind, str, Any]] = [
    *((kind, "prompt", bad) for kind in BODIES for bad in (None, "", "  \n", 5, ["x"])),
    ("generate", "prompt", "x" * 1801),
    ("extend", "prompt", "x" * 1801),
    *(("generate", "duration", bad) for bad in DURATIONS),
    *((kind, "quality", bad) for kind in ("generate", "extend") for bad in (None, "4k", 720)),
    *(("generate", "aspectRatio", bad) for bad in (None, "", "21:9", "16x9", 1)),
    *(("aleph", "aspectRatio", bad) for bad in ("5:4", 1)),
    *(("extend", "taskId", bad) for bad in (None, "", 5)),
    *((kind, "waterMark", 5) for kind in BODIES),
    *((kind, "callBackUrl", bad) for kind in BODIES for bad in ("ftp://a.example/", "x", 5)),
    *(
        ("generate", "imageUrl", bad)
        for bad in ("data:image/png;base64,AA", "x", "http://", "http://a.example:99999/", 5)
    ),
    *(("aleph", "videoUrl", bad) for bad in (None, "", "file:///etc/passwd", "http://[", 5)),
    *(("aleph", "referenceImage", bad) for bad in ("x", 5)),
    *(("aleph", "seed", bad) for bad in (-1, 1.5, "1", True)),
    *(("aleph", "uploadCn", bad) for bad in ("true", 1)),
]

ACCEPTED: list[tuple[TaskKind, dict[str, Any]]] = [
    ("generate", {"prompt": "x" * 1800}),
    ("generate", {"duration": 10}),
    ("generate", {"duration": 5.0}),
    ("generate", {"quality": "1080p"}),
    *(("generate", {"aspectRatio": ratio}) for ratio in ("4:3", "1:1", "3:4", "9:16")),
    ("generate", {"imageUrl": "", "waterMark": "", "callBackUrl": ""}),
    ("generate", {"model": "runway-duration-5-generate", "expandPrompt": True}),
    ("extend", {"prompt": "x" * 1800}),
    ("extend", {"quality": "1080p", "waterMark": "W", "callBackUrl": "https://a.example/"}),
    ("aleph", {"prompt": "x" * 5000}),
    ("aleph", {"aspectRatio": "21:9", "seed": 0, "uploadCn": True}),
    ("aleph", {"seed": 4294967295, "referenceImage": "https://a.example/b.png"}),
    ("aleph", {"waterMark": "W", "callBackUrl": "http://a.example/"}),
]


@pytest.mark.parametrize(("kind", "name", "value"), REFUSED)
def test_a_wrong_field_is_refused_by_name(kind: TaskKind, name: str, value: Any) -> None:
    with pytest.raises(Refused, match=name) as refused:
        check_create(kind, {**BODIES[kind], name: value})

    assert refused.value.code == 422


@pytest.mark.parametrize(("kind", "changes"), ACCEPTED)
def test_a_right_field_is_accepted(kind: TaskKind, changes: dict[str, Any]) -> None:
    check_create(kind, {**BODIES[kind], **changes})


def test_an_image_makes_the_ratio_needless_but_not_free() -> None:
    check_create("generate", IMAGE)
    check_create("generate", {**IMAGE, "aspectRatio": "1:1"})

    with pytest.raises(Refused, match="aspectRatio"):
        check_create("generate", {**IMAGE, "aspectRatio": "21:9"})


def test_ten_seconds_and_1080p_exclude_each_other() -> None:
    with pytest.raises(Refused, match="1080p"):
        check_create("generate", {**TEXT, "duration": 10, "quality": "1080p"})


def test_eight_seconds_need_the_legacy_switch_and_720p() -> None:
    check_create("generate", {**TEXT, "duration": 8}, legacy_8s=True)

    with pytest.raises(Refused, match="1080p"):
        check_create("generate", {**TEXT, "duration": 8, "quality": "1080p"}, legacy_8s=True)
    with pytest.raises(Refused, match="duration"):
        check_create("generate", {**TEXT, "duration": 8})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
URLS = st.text().map(lambda text: f"http://{text}") | st.just("https://a.example/b.png")
NAMES = ("prompt", "duration", "quality", "aspectRatio", "imageUrl", "seed", "taskId", "videoUrl")


@given(
    kind=st.sampled_from(("generate", "extend", "aleph")),
    changes=st.dictionaries(st.sampled_from(NAMES), JSON | URLS, max_size=3),
)
def test_any_json_is_accepted_or_refused(kind: TaskKind, changes: dict[str, Any]) -> None:
    """And what is accepted has a price."""
    body = {**BODIES[kind], **changes}
    with suppress(Refused):
        check_create(kind, body)
        assert price(kind, body) > 0


@pytest.mark.anyio
async def test_a_refusal_is_http_200_with_code_422_and_costs_nothing() -> None:
    async with started() as (sandbox, kie):
        response = await kie.http.post(GENERATE, json={**TEXT, "duration": 7})

        assert response.status_code == 200
        assert response.json()["code"] == 422
        assert response.json()["data"] is None
        assert await kie.credits() == 1000.0
        assert [entry.event for entry in sandbox.log.entries] == ["refused"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b'{"prompt": "\\ud800"}', b"[" * 9999]
)
async def test_a_body_that_is_no_json_object_is_400(content: bytes) -> None:
    async with started() as (sandbox, kie):
        answer = (await kie.http.post(EXTEND, content=content)).json()

    assert (answer["code"], answer["data"]) == (400, None)
    assert sandbox.tasks == []


@pytest.mark.anyio
async def test_legacy_eight_seconds_are_sold_like_ten() -> None:
    async with started(switches=Switches(legacy_8s=True)) as (_, kie):
        await kie.create(duration=8)

        assert await kie.credits() == 970.0
