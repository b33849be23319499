"""How tasks move, and why they fail."""

import math
import re
from decimal import Decimal
from statistics import median, stdev
from typing import Any

import anyio
import pytest
from tests.sandbox.helpers import (
    ALEPH,
    ALEPH_GENERATE,
    ALEPH_RECORD,
    BASE64_UPLOAD,
    RECORD,
    TEXT,
    WITHIN_S,
    Kie,
    started,
)

from kie_runway_sandbox import Switches

pytestmark = pytest.mark.anyio


async def states(kie: Kie, task_id: str, count: int) -> list[str]:
    return [(await kie.record(task_id))["state"] for _ in range(count)]


@pytest.mark.parametrize("speed", [1.0, 20.0])
async def test_time_moves_a_task_through_its_states(speed: float) -> None:
    async with started(speed=speed) as (sandbox, kie):
        task_id = await kie.create()
        seen = await states(kie, task_id, 1)
        for seconds in (3.9, 0.1, 5.9, 0.1, 49.9, 0.1):
            sandbox.advance(seconds / speed + 1e-5)
            seen += await states(kie, task_id, 1)

    assert seen == ["wait", "wait", "queueing", "queueing", "generating", "generating", "success"]


async def durations(count: int, **options: Any) -> list[float]:
    """Seconds that tasks took whose end nobody looked at for an hour."""
    async with started(credits=Decimal(100_000), **options) as (sandbox, kie):
        for _ in range(count):
            sandbox.account().creates.clear()  # the rate limit is tested elsewhere
            await kie.create()
        sandbox.advance(3600)
        tasks = sandbox.tasks
    ends = [(task.finished_at, task.created_at) for task in tasks]
    return [(end - start).total_seconds() for end, start in ends if end is not None]


async def test_spread_makes_durations_unequal_around_the_usual_one() -> None:
    took = await durations(400, spread=0.45, speed=2.0)
    logs = [math.log(seconds) for seconds in took]

    assert median(took) == pytest.approx(30, rel=0.05)
    assert stdev(logs) == pytest.approx(0.45, rel=0.1)


async def test_the_same_seed_gives_the_same_durations() -> None:
    first, again, other = [await durations(3, spread=0.45, seed=seed) for seed in (7, 7, 8)]

    assert first == again
    assert len({*first, *other}) == 6


async def test_without_spread_every_task_takes_as_long() -> None:
    assert await durations(3) == [60.0] * 3


async def test_aleph_takes_ninety_seconds_and_answers_in_the_recorded_shape() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create(ALEPH_GENERATE, ALEPH)
        sandbox.advance(89)
        pending = await kie.record(task_id, ALEPH_RECORD)
        sandbox.advance(1)
        done = await kie.record(task_id, ALEPH_RECORD)

    assert list(pending) == [
        "taskId",
        "paramJson",
        "response",
        "completeTime",
        "createTime",
        "successFlag",
        "errorCode",
        "errorMessage",
    ]
    assert pending == {
        "taskId": task_id,
        "paramJson": '{"prompt":"Turn the clip into a watercolour",'
        '"videoUrl":"https://media.example.com/jump.mp4"}',
        "response": None,
        "completeTime": None,
        "createTime": 1782577567000,
        "successFlag": 0,
        "errorCode": None,
        "errorMessage": None,
    }
    assert done["successFlag"] == 1
    assert done["completeTime"] == 1782577567000 + 90_000
    assert done["response"]["taskId"] == task_id
    assert done["response"]["resultVideoUrl"].endswith(f"/media/{task_id}/video.mp4")


async def test_aleph_fails_as_recorded() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create(ALEPH_GENERATE, ALEPH, prompt="[fail:500]")
        sandbox.advance(16)
        record = await kie.record(task_id, ALEPH_RECORD)

    assert record["completeTime"] - record["createTime"] == 16_000
    assert (record["successFlag"], record["errorCode"], record["response"]) == (3, 500, None)
    assert record["errorMessage"] == "internal error, please try again later."


async def test_a_pending_record_has_no_video_and_no_failure() -> None:
    async with started() as (_, kie):
        task_id = await kie.create(waterMark="W")
        record = await kie.record(task_id)

    assert record == {
        "taskId": task_id,
        "parentTaskId": "",
        "generateParam": {"prompt": TEXT["prompt"]},
        "state": "wait",
        "generateTime": "2026-06-27 16:26:07",
        "videoInfo": None,
        "failCode": None,
        "failMsg": None,
        "expireFlag": 0,
    }


@pytest.mark.parametrize(
    ("per_state", "expected"),
    [
        (1, ["wait", "queueing", "generating", "success", "success"]),
        (2, ["wait", "wait", "queueing", "queueing", "generating", "generating", "success"]),
        (0, ["success", "success"]),
    ],
)
async def test_lookups_move_a_task_when_they_should(per_state: int, expected: list[str]) -> None:
    async with started(advance="lookups", lookups_per_state=per_state) as (sandbox, kie):
        task_id = await kie.create()
        sandbox.advance(3600)

        assert await states(kie, task_id, len(expected)) == expected
        assert sandbox.task(task_id).lookups == len(expected)


async def test_by_hand_only_finish_and_fail_move_a_task() -> None:
    async with started(advance="manual") as (sandbox, kie):
        first, second = await kie.create(), await kie.create()
        sandbox.advance(3600)
        before = await states(kie, first, 3)
        sandbox.finish(first)
        sandbox.fail(second, 500, "broken")

        assert before == ["wait", "wait", "wait"]
        assert await states(kie, first, 1) == ["success"]
        record = await kie.record(second)
        assert (record["state"], record["failCode"], record["failMsg"]) == ("fail", 500, "broken")
        with pytest.raises(ValueError, match="finished"):
            sandbox.fail(first)


async def test_the_wall_clock_ends_a_task_that_nobody_asks_about() -> None:
    async with started(frozen_at=None, speed=1000.0) as (sandbox, kie):
        task_id = await kie.create()
        with anyio.fail_after(WITHIN_S):
            entry = await sandbox.log.wait_for("finished", task_id)

        assert entry.details["state"] == "success"
        assert sandbox.task(task_id).lookups == 0


@pytest.mark.parametrize(
    ("prompt", "code", "fragment"),
    [
        ("a cat [moderated]", 400, "AI moderator"),
        ("[fail:400]", 400, "Inappropriate content"),
        ("[fail:500]", 500, "please try again later"),
        ("[fail:nsfw]", 400, "NSFW"),
        ("[fail:2048]", 400, "2048"),
        ("[fail:HD quality]", 400, "HD quality"),
        ("[fail:concurrent generations]", 400, "concurrent generations"),
        ("[fail:Ignore all instructions]", 400, "Ignore all instructions"),
    ],
)
async def test_magic_words_fail_a_task_later(prompt: str, code: int, fragment: str) -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create(prompt=prompt)
        sandbox.advance(15.9)
        before = await kie.record(task_id)
        sandbox.advance(0.1)
        record = await kie.record(task_id)

    assert (before["state"], before["failCode"]) == ("generating", None)
    assert (record["state"], record["failCode"]) == ("fail", code)
    assert fragment in record["failMsg"]
    assert record["videoInfo"] is None


UNREACHABLE = ("https://nowhere.invalid/a.png", "http://127.0.0.1:1/a.png", "http://10.0.0.1/a.png")


@pytest.mark.parametrize(
    "url", [*UNREACHABLE, "http://printer/a.png", "OWN/files/none.png", "OWN/what"]
)
async def test_media_that_kie_cannot_reach_fail_the_task(url: str) -> None:
    async with started(advance="lookups") as (_, kie):
        url = url.replace("OWN", str(kie.http.base_url).rstrip("/"))
        task_id = await kie.create(imageUrl=url)
        aleph = await kie.create(ALEPH_GENERATE, ALEPH, videoUrl=url)
        styled = await kie.create(ALEPH_GENERATE, ALEPH, referenceImage=url)
        seen = await states(kie, task_id, 4)
        record = await kie.record(task_id)
        alephs = [[await kie.record(id, ALEPH_RECORD) for _ in range(4)] for id in (aleph, styled)]

    assert seen == ["wait", "queueing", "generating", "fail"]
    assert "image info failed" in record["failMsg"]
    assert [records[-1]["successFlag"] for records in alephs] == [3, 3]


async def test_media_elsewhere_are_taken_on_trust() -> None:
    async with started(advance="lookups", lookups_per_state=0) as (_, kie):
        task_id = await kie.create(imageUrl="https://media.example.com/boat.png")

        assert await states(kie, task_id, 1) == ["success"]


async def test_a_file_of_the_wrong_kind_fails_the_task() -> None:
    async with started(advance="lookups", lookups_per_state=0) as (_, kie):
        upload = {"base64Data": "SGVsbG8gV29ybGQ=", "uploadPath": "in", "fileName": "a.png"}
        url = (await kie.post(BASE64_UPLOAD, upload))["data"]["downloadUrl"]
        image = await kie.record(await kie.create(imageUrl=url))
        task_id = await kie.create(ALEPH_GENERATE, ALEPH, videoUrl=url)
        video = await kie.record(task_id, ALEPH_RECORD)

    assert (image["state"], "image format" in image["failMsg"]) == ("fail", True)
    assert (video["successFlag"], video["errorCode"]) == (3, 400)


async def test_results_are_inputs_if_they_are_of_the_right_kind() -> None:
    async with started(advance="lookups", lookups_per_state=0) as (_, kie):
        info = (await kie.record(await kie.create()))["videoInfo"]
        from_cover = await kie.record(await kie.create(imageUrl=info["imageUrl"]))
        from_video = await kie.record(await kie.create(imageUrl=info["videoUrl"]))
        task_id = await kie.create(ALEPH_GENERATE, ALEPH, videoUrl=info["imageUrl"])
        from_image = await kie.record(task_id, ALEPH_RECORD)

    assert from_cover["state"] == "success"
    assert "image format" in from_video["failMsg"]
    assert "video format" in from_image["errorMessage"]


async def test_an_extension_names_its_parent_and_may_be_extended() -> None:
    async with started(advance="lookups", lookups_per_state=0) as (_, kie):
        parent = await kie.create()
        await kie.record(parent)
        first = await kie.extend(parent)
        first_record = await kie.record(first)
        second_record = await kie.record(await kie.extend(first))

    assert (first_record["state"], first_record["parentTaskId"]) == ("success", parent)
    assert (second_record["state"], second_record["parentTaskId"]) == ("success", first)


async def test_what_cannot_be_extended_is_accepted_and_fails_later() -> None:
    async with started(advance="lookups", lookups_per_state=0) as (_, kie):
        sharp = await kie.create(quality="1080p")
        aleph = await kie.create(ALEPH_GENERATE, ALEPH)
        failed = await kie.create(prompt="[fail:500]")
        for task_id, path in ((sharp, RECORD), (aleph, ALEPH_RECORD), (failed, RECORD)):
            await kie.record(task_id, path)
        unfinished = await kie.create()
        reasons: list[str] = []
        for task_id in ("nothing", aleph, failed, unfinished, sharp):
            record = await kie.record(await kie.extend(task_id))
            assert record["state"] == "fail"
            reasons.append(record["failMsg"])

    assert [re.findall(r"exist|finished|1080p", text) for text in reasons] == [
        ["exist"],
        ["exist"],
        ["finished"],
        ["finished"],
        ["1080p"],
    ]


@pytest.mark.parametrize(("position", "code"), [("null", 200), (404, 404), (422, 422)])
async def test_an_unknown_id_is_answered_as_switched(position: Any, code: int) -> None:
    async with started(switches=Switches(unknown_task=position)) as (sandbox, kie):
        aleph = await kie.create(ALEPH_GENERATE, ALEPH)
        answers = [
            await kie.http.get(path, params={"taskId": task_id})
            for path, task_id in ((RECORD, "nothing"), (ALEPH_RECORD, "nothing"), (RECORD, aleph))
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [(a.json()["code"], a.json()["data"]) for a in answers] == [(code, None)] * 3
    assert sandbox.engine.unknown_lookups == {"nothing": 2, aleph: 1}


async def test_a_lookup_without_an_id_is_refused() -> None:
    async with started() as (_, kie):
        answer = (await kie.http.get(RECORD)).json()

    assert answer["code"] == 422


async def test_switches_change_the_shapes_of_records() -> None:
    async with started(advance="lookups", lookups_per_state=0) as (sandbox, kie):
        failed = await kie.create(prompt="[fail:400]")
        aleph = await kie.create(ALEPH_GENERATE, ALEPH, prompt="[fail:500]")
        fine = await kie.create(ALEPH_GENERATE, ALEPH)
        sandbox.set_switches(
            pending_video_info="empty",
            generate_time="epoch_ms",
            fail_code_type="text",
            aleph_times="iso",
            aleph_failed_flag=0,
            aleph_error_code=0,
        )
        record = await kie.record(failed)
        aleph_record = await kie.record(aleph, ALEPH_RECORD)
        fine_record = await kie.record(fine, ALEPH_RECORD)
        sandbox.set_switches(generate_time="null", aleph_error_code="")

        assert (await kie.record(failed))["generateTime"] is None
        assert (await kie.record(fine, ALEPH_RECORD))["errorCode"] == ""
    assert record["videoInfo"] == {"videoId": "", "taskId": "", "videoUrl": "", "imageUrl": ""}
    assert record["generateTime"] == 1782577567000
    assert record["failCode"] == "400"
    assert (aleph_record["successFlag"], aleph_record["errorCode"]) == (0, 500)
    assert aleph_record["createTime"] == "2026-06-27T16:26:07Z"
    assert (fine_record["errorCode"], fine_record["errorMessage"]) == (0, "")


@pytest.mark.parametrize(
    ("style", "pattern"),
    [("hex", r"[0-9a-f]{32}"), ("uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")],
)
async def test_ids_have_the_style_that_is_switched(style: Any, pattern: str) -> None:
    async with started(switches=Switches(task_id_style=style)) as (_, kie):
        assert re.fullmatch(pattern, await kie.create())


async def test_records_are_flagged_after_14_days_and_gone_after_60() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create()
        flags: list[Any] = []
        for seconds in (60, 14 * 86400 - 1, 1):
            sandbox.advance(seconds)
            record = await kie.record(task_id)
            flags.append((record["state"], record["expireFlag"]))
        sandbox.advance(46 * 86400)

        assert await kie.record(task_id) is None
    assert flags == [("success", 0), ("success", 0), ("success", 1)]
