"""What outlives the process, and what does not."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from tests.sandbox.helpers import (
    BASE64_UPLOAD,
    FROZEN_AT,
    GENERATE,
    KEY,
    TEXT,
    WITHIN_S,
    client,
    draw,
    receiving,
    started,
)

from kie_runway_sandbox import Sandbox, SandboxOptions, serve

pytestmark = pytest.mark.anyio


async def test_a_data_directory_keeps_everything_and_urls_stay_good(tmp_path: Path) -> None:
    async with started(data_dir=tmp_path) as (sandbox, kie):
        finished, pending = await kie.create(), await kie.create()
        sandbox.finish(finished)
        video_url = str((await kie.record(finished))["videoInfo"]["videoUrl"])
        upload = {"base64Data": "SGVsbG8=", "uploadPath": "in"}
        upload_url = (await kie.post(BASE64_UPLOAD, upload))["data"]["downloadUrl"]
        sandbox.advance(5)
        log = list(sandbox.log.entries)
    video, upload_path = urlsplit(video_url).path, urlsplit(str(upload_url)).path

    options = SandboxOptions(frozen_at=FROZEN_AT, data_dir=tmp_path)
    with Sandbox(options, renderer=draw) as again:
        assert again.log.entries == log
        assert again.task(finished).lookups == 1
        async with serve(again) as running, client(running.url) as kie:
            assert await kie.credits() == 976.0
            assert (await kie.record(pending))["state"] == "queueing"
            assert (await kie.http.get(video)).text.startswith("generate")
            assert (await kie.http.get(upload_path)).content == b"Hello"
            again.advance(55)
            assert (await kie.record(pending))["state"] == "success"


async def test_a_task_takes_its_own_time_across_a_restart(tmp_path: Path) -> None:
    async with started(data_dir=tmp_path, spread=0.45) as (sandbox, kie):
        task_id = await kie.create()
        stretch = sandbox.task(task_id).stretch
    async with started(data_dir=tmp_path) as (sandbox, _):
        sandbox.advance(3600)
        task = sandbox.task(task_id)

    assert stretch != 1
    assert task.finished_at == FROZEN_AT + timedelta(seconds=60 * stretch)


async def test_the_rate_limit_survives_too(tmp_path: Path) -> None:
    async with started(data_dir=tmp_path) as (_, kie):
        for _ in range(20):
            await kie.create()
    async with started(data_dir=tmp_path) as (_, kie):
        answer = await kie.post(GENERATE, TEXT)

    assert answer["code"] == 429


async def test_a_task_that_ended_while_the_sandbox_was_away_calls_back(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with started(data_dir=tmp_path, frozen_at=None, speed=0.001) as (_, kie):
            await kie.create(callBackUrl=receiver.url)
        async with started(data_dir=tmp_path, frozen_at=None, speed=1e6) as (sandbox, kie):
            with anyio.fail_after(WITHIN_S):
                await sandbox.log.wait_for("callback")

    assert receiver.received[0][1]["code"] == 200


KILLED = """
import sys
from pathlib import Path
from kie_runway_sandbox import Sandbox, SandboxOptions, run
with Sandbox(SandboxOptions(data_dir=Path(sys.argv[1]))) as sandbox:
    run(sandbox, lambda line: print(line, flush=True), port=0)
"""


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        headers = {"Authorization": f"Bearer {KEY}"}
        try:
            url = process.stdout.readline().split()[-1]
            with httpx.Client(
                base_url=url, headers=headers, trust_env=False, timeout=WITHIN_S
            ) as http:
                answers = [http.post(GENERATE, json=TEXT).json() for _ in range(5)]
        finally:
            process.kill()

    ids = [answer["data"]["taskId"] for answer in answers]
    with Sandbox(SandboxOptions(data_dir=tmp_path)) as sandbox:
        assert [entry.task_id for entry in sandbox.log.select("create")] == ids
        assert {task.task_id for task in sandbox.tasks} == set(ids)
        assert sandbox.account().credits == 940


async def test_a_reset_empties_the_directory_for_the_next_process(tmp_path: Path) -> None:
    async with started(data_dir=tmp_path) as (sandbox, kie):
        await kie.create()
        sandbox.reset()
    async with started(data_dir=tmp_path) as (sandbox, kie):
        assert await kie.credits() == 1000.0
        assert (sandbox.tasks, sandbox.log.entries) == ([], [])


async def test_without_a_directory_nothing_is_left() -> None:
    async with started() as (sandbox, kie):
        upload = {"base64Data": "SGVsbG8=", "uploadPath": "in"}
        await kie.post(BASE64_UPLOAD, upload)
        (stored,) = sandbox.engine.uploads.directory.iterdir()
        assert stored.read_bytes() == b"Hello"

    assert not stored.exists()
