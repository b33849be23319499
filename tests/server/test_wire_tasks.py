"""What look-ups say, for every shape that the contract documents or records."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kie_runway.errors import UnavailableError
from kie_runway.models import (
    TaskKind,
    TaskState,
    TaskUpdate,
)
from kie_runway.redaction import Redactor
from kie_runway.wire import (
    read_task,
)

VIDEO = "https://file.example/v.mp4"
COVER = "https://file.example/v.jpg"
DONE = datetime(2026, 8, 18, 22, 51, 56, tzinfo=UTC)
RUNWAY: dict[str, Any] = {
    "taskId": "t-1",
    "parentTaskId": "",
    "generateParam": {"prompt": "a red kite", "imageUrl": None, "expandPrompt": True},
    "state": "wait",
    "generateTime": "2026-08-18 22:51:56",
    "videoInfo": None,
    "failCode": None,
    "failMsg": None,
    "expireFlag": 0,
}
RUNWAY_DONE = RUNWAY | {
    "state": "success",
    "videoInfo": {"videoId": "v", "taskId": "t-1", "videoUrl": VIDEO, "imageUrl": COVER},
}
# As recorded (contract §6.3).
ALEPH: dict[str, Any] = {
    "taskId": "t-1",
    "paramJson": '{"videoUrl":"https://a.b/c","uploadCn":false,"prompt":"make it snow"}',
    "response": None,
    "completeTime": None,
    "createTime": 1787093500000,
    "successFlag": 0,
    "errorCode": None,
    "errorMessage": None,
}
ALEPH_FAILED = ALEPH | {
    "completeTime": 1787093516000,
    "successFlag": 3,
    "errorCode": 500,
    "errorMessage": "internal error, please try again later.",
}
ALEPH_DONE = ALEPH | {
    "completeTime": "2026-08-18T22:51:56Z",
    "successFlag": 1,
    "response": {"taskId": "t-1", "resultVideoUrl": VIDEO, "resultImageUrl": COVER},
    "errorCode": 0,
    "errorMessage": "",
}
NO_URLS: list[object] = [
    *(None, "", " ", 7, True, [], {}, "file.example/v.mp4", "ftp://file.example/v.mp4"),
    *("data:video/mp4;base64,AA", f"{VIDEO}\n#", f"{VIDEO}?{'x' * 8192}", "https://a/\x00"),
]


ASKED = {"videoUrl": "https://a.b/c", "uploadCn": False, "prompt": "make it snow"}


def runway(**changes: object) -> TaskUpdate:
    update = read_task(TaskKind.GENERATE, "t-1", RUNWAY | changes)
    assert update is not None
    return update


def aleph(**changes: object) -> TaskUpdate:
    update = read_task(TaskKind.ALEPH, "t-1", ALEPH | changes)
    assert update is not None
    return update


@pytest.mark.parametrize("kind", TaskKind)
def test_a_task_without_data_is_not_visible(kind: TaskKind) -> None:
    assert read_task(kind, "t-1", None) is None


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("wait", TaskState.WAIT),
        ("waiting", TaskState.WAIT),
        ("queueing", TaskState.QUEUEING),
        ("queuing", TaskState.QUEUEING),
        ("generating", TaskState.GENERATING),
        ("fail", TaskState.FAIL),
        (" FAIL ", TaskState.FAIL),
    ],
)
def test_every_spelling_of_a_runway_state_is_known(word: str, state: TaskState) -> None:
    update = runway(state=word)

    assert (update.state, update.raw_state) == (state, None)


@pytest.mark.parametrize(
    ("word", "raw"),
    [("upscaling", "upscaling"), ("x" * 500, "x" * 40), (7, "7"), ("a\x1b[1mb", "ab")],
)
def test_an_unknown_runway_state_is_kept_and_counts_as_generating(word: object, raw: str) -> None:
    update = runway(state=word)

    assert (update.state, update.raw_state) == (TaskState.GENERATING, raw)


def test_a_runway_success_has_its_video_and_cover() -> None:
    update = read_task(TaskKind.EXTEND, "t-1", RUNWAY_DONE | {"parentTaskId": "t-0"})

    assert update == TaskUpdate(
        task_id="t-1",
        state=TaskState.SUCCESS,
        video_url=VIDEO,
        thumbnail_url=COVER,
        parent_task_id="t-0",
        prompt="a red kite",
        parameters=RUNWAY["generateParam"],
    )


@pytest.mark.parametrize("url", NO_URLS)
def test_a_success_without_a_video_is_not_a_success_yet(url: object) -> None:
    for update in (
        runway(state="success", videoInfo={"videoUrl": url}),
        runway(state="success", videoInfo=url),
        aleph(successFlag=1, response={"resultVideoUrl": url}),
        aleph(successFlag=1, response=url),
    ):
        assert (update.state, update.raw_state) == (TaskState.GENERATING, "success")
        assert (update.video_url, update.completed_at) == (None, None)


@pytest.mark.parametrize("flag", [1, "1", 1.0])
@pytest.mark.parametrize("video", [RUNWAY_DONE["videoInfo"], None, {"videoUrl": ""}])
def test_an_expired_success_is_expired_with_or_without_its_dead_url(
    flag: object, video: object
) -> None:
    update = runway(state="success", videoInfo=video, expireFlag=flag)

    assert update.state is TaskState.EXPIRED


@pytest.mark.parametrize("flag", [0, "0", None, "", 2, True, "x"])
def test_any_other_expire_flag_changes_nothing(flag: object) -> None:
    assert runway(**RUNWAY_DONE | {"expireFlag": flag}).state is TaskState.SUCCESS


def test_only_a_success_expires() -> None:
    assert runway(state="fail", expireFlag=1).state is TaskState.FAIL
    assert runway(state="wait", expireFlag=1).state is TaskState.WAIT


@pytest.mark.parametrize(
    ("code", "expected"),
    [(400, 400), ("400", 400), (0, None), ("0", None), ("", None), (None, None), ([], None)],
)
def test_failure_codes_come_in_any_type(code: object, expected: int | None) -> None:
    assert runway(state="fail", failCode=code).fail_code == expected
    assert aleph(successFlag=3, errorCode=code).fail_code == expected


def test_failure_messages_are_cleaned_and_lose_the_key() -> None:
    redact = Redactor([SecretStr("key-1234567890")])
    words = "\x1b[31mbad\n key-1234567890 "
    for kind, record in (
        (TaskKind.GENERATE, RUNWAY | {"state": "fail", "failMsg": words}),
        (TaskKind.ALEPH, ALEPH | {"successFlag": 2, "errorMessage": words}),
    ):
        update = read_task(kind, "t-1", record, redact=redact)
        assert update is not None
        assert update.state is TaskState.FAIL
        assert update.fail_message == "bad [redacted]"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1787093516000, DONE),
        ("1787093516000", DONE),
        ("2026-08-18T22:51:56Z", DONE),
        ("2026-08-18T22:51:56+00:00", DONE),
        ("2026-08-18 22:51:56", None),  # no zone is named, so it is not known when this was
        (None, None),
        (0, None),
        ("", None),
    ],
)
def test_a_runway_time_counts_only_with_a_known_zone(
    time: object, expected: datetime | None
) -> None:
    assert runway(**RUNWAY_DONE | {"generateTime": time}).completed_at == expected
    assert runway(generateTime=time).completed_at is None  # pending: KIE means another time


@pytest.mark.parametrize(
    "time",
    [1787093516000, "1787093516000", "2026-08-18T22:51:56Z", "2026-08-18T22:51:56"],
)
def test_an_aleph_time_without_a_zone_is_utc(time: object) -> None:
    assert aleph(**ALEPH_DONE | {"completeTime": time}).completed_at == DONE


def test_a_recorded_pending_aleph_task_is_generating() -> None:
    assert aleph() == TaskUpdate(
        task_id="t-1", state=TaskState.GENERATING, prompt="make it snow", parameters=ASKED
    )


def test_a_recorded_failed_aleph_task_has_failed() -> None:
    assert read_task(TaskKind.ALEPH, "t-1", ALEPH_FAILED) == TaskUpdate(
        task_id="t-1",
        state=TaskState.FAIL,
        prompt="make it snow",
        parameters=ASKED,
        fail_code=500,
        fail_message="internal error, please try again later.",
        completed_at=DONE,
    )


def test_an_aleph_success_has_its_video_and_cover() -> None:
    assert read_task(TaskKind.ALEPH, "t-1", ALEPH_DONE) == TaskUpdate(
        task_id="t-1",
        state=TaskState.SUCCESS,
        prompt="make it snow",
        parameters=ASKED,
        video_url=VIDEO,
        thumbnail_url=COVER,
        completed_at=DONE,
    )


FOUND = {"resultVideoUrl": VIDEO}


@pytest.mark.parametrize(
    ("changes", "state", "raw_state"),
    [
        ({"successFlag": 0}, TaskState.GENERATING, None),
        ({"successFlag": "0"}, TaskState.GENERATING, None),
        ({"successFlag": None}, TaskState.GENERATING, None),
        ({"successFlag": 0, "errorCode": 0, "errorMessage": ""}, TaskState.GENERATING, None),
        ({"successFlag": 0, "errorCode": "0", "errorMessage": " "}, TaskState.GENERATING, None),
        ({"successFlag": 0, "errorCode": 400}, TaskState.FAIL, None),
        ({"successFlag": 0, "errorCode": "400"}, TaskState.FAIL, None),
        ({"successFlag": 0, "errorMessage": "no"}, TaskState.FAIL, None),
        ({"successFlag": None, "errorCode": 400}, TaskState.FAIL, None),
        ({"successFlag": 1, "response": FOUND}, TaskState.SUCCESS, None),
        ({"successFlag": "1", "response": FOUND, "errorCode": 5}, TaskState.SUCCESS, None),
        ({"successFlag": 2}, TaskState.FAIL, None),
        ({"successFlag": 3, "response": FOUND}, TaskState.FAIL, None),
        ({"successFlag": 4}, TaskState.FAIL, None),
        ({"successFlag": 4, "response": FOUND}, TaskState.SUCCESS, None),
        ({"successFlag": 5}, TaskState.FAIL, None),
        ({"successFlag": -1}, TaskState.GENERATING, "-1"),
        ({"successFlag": "DONE"}, TaskState.GENERATING, "DONE"),
        ({"successFlag": True}, TaskState.GENERATING, None),
        ({"successFlag": [1]}, TaskState.GENERATING, None),
    ],
)
def test_aleph_flags(changes: dict[str, object], state: TaskState, raw_state: str | None) -> None:
    update = aleph(**changes)

    assert (update.state, update.raw_state) == (state, raw_state)


@pytest.mark.parametrize(
    ("parameters", "prompt"),
    [
        ({"prompt": "a\nb \u202e"}, "a\nb \u202e"),  # kept: it is compared with what was sent
        ('{"prompt":"x"}', "x"),
        ({"prompt": "x" * 5000}, "x" * 1800),
        ({"prompt": "a\ud800b\x00c"}, "a?bc"),
        ({"prompt": ""}, None),
        ({"prompt": 5}, None),
        ({}, None),
        ("", None),
        ("{broken", None),
        ("[" * 100_000, None),
        ('"text"', None),
        (None, None),
        ([1], None),
    ],
    ids=repr,
)
def test_the_recorded_prompt_is_found_where_there_is_one(
    parameters: object, prompt: str | None
) -> None:
    assert runway(generateParam=parameters).prompt == prompt
    assert aleph(paramJson=parameters).prompt == prompt


@pytest.mark.parametrize("parent", ["", None, " ", 0, [], "x" * 201])
def test_no_parent_is_no_parent_however_kie_says_it(parent: object) -> None:
    assert runway(parentTaskId=parent).parent_task_id is None


@pytest.mark.parametrize("kind", TaskKind)
@pytest.mark.parametrize("data", [{}, [], [RUNWAY], "wait", 0, 7, False, True, ""])
def test_data_that_is_no_record_is_unusable_and_not_invisible(kind: TaskKind, data: object) -> None:
    with pytest.raises(UnavailableError):
        read_task(kind, "t-1", data)


@pytest.mark.parametrize("state", [None, "", " ", True, 1.5, [], {}, "\x00"])
def test_a_runway_record_without_a_state_is_unusable(state: object) -> None:
    with pytest.raises(UnavailableError):
        runway(state=state)


@pytest.mark.parametrize("record", [RUNWAY_DONE, ALEPH_DONE])
def test_the_record_of_another_task_is_unusable(record: dict[str, Any]) -> None:
    kind = TaskKind.ALEPH if "successFlag" in record else TaskKind.GENERATE

    with pytest.raises(UnavailableError):
        read_task(kind, "t-1", record | {"taskId": "t-2"})
    for unnamed in ({"taskId": None}, {"taskId": ""}, {"taskId": ["t-1"]}):
        assert read_task(kind, "t-1", record | unnamed) is not None


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())  # half pairs included
    | st.sampled_from(
        ["success", "fail", "wait", "1", "0", "t-1", VIDEO, "{}", '{"prompt":"\\ud800"}']
    )
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
NESTED = ["videoUrl", "imageUrl", "resultVideoUrl", "resultImageUrl", "prompt"]
RECORDS = st.dictionaries(
    st.sampled_from([*RUNWAY, *ALEPH]),
    ANYTHING | st.dictionaries(st.sampled_from(NESTED), ANYTHING),
)


@given(kind=st.sampled_from(TaskKind), data=ANYTHING | RECORDS)
def test_no_record_does_worse_than_being_unusable(kind: TaskKind, data: object) -> None:
    try:
        update = read_task(kind, "t-1", data)
    except UnavailableError:
        return

    if update is None:
        assert data is None
        return
    assert update.task_id == "t-1"
    assert update.state in set(TaskState) - {
        TaskState.QUEUED,
        TaskState.SUBMITTING,
        TaskState.UNKNOWN,
        TaskState.REJECTED,
    }
    assert update.state is not TaskState.SUCCESS or update.video_url is not None
    update.model_dump_json().encode()  # all of it can be stored and sent on
