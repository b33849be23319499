"""What is written to disk: where, for whom, and only whole."""

# ruff: noqa: ASYNC240 - what a test sets up and looks at may block the loop

import asyncio
import errno
import json
import os
import sqlite3
import stat
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.kie import Hurry, raw_kie
from tests.journeys.processes import standalone_sandbox
from tests.sockets import envelope, http
from tests.support import MP4, Agent, connect, settings_for
from tests.wire import WITHIN_S, Wire

from kie_runway import media
from kie_runway.folder import Folder
from kie_runway.settings import MAX_WAIT_S, Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_tools.catalog import build_tools

pytestmark = pytest.mark.anyio

DAYS_15_S = 15 * 24 * 3600


async def finished(agent: Agent, sandbox: Sandbox) -> str:
    """The id of a task whose video can be saved."""
    task = await agent.call("generate_video", prompt="a boat")
    sandbox.finish(task["task_id"])
    await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
    task_id: str = task["task_id"]
    return task_id


def videos(settings: Settings) -> list[str]:
    directory = settings.videos_dir
    return sorted(os.listdir(directory)) if directory.exists() else []


def test_no_argument_names_a_file_to_write() -> None:
    tools = {tool.name: tool for tool in build_tools(MAX_WAIT_S)}
    arguments = {name for tool in tools.values() for name in tool.parameters["properties"]}

    assert set(tools["save_video"].parameters["properties"]) == {"task_id"}
    assert not [name for name in arguments if {"output", "dir", "folder"} & set(name.split("_"))]


@pytest.mark.parametrize(
    "task_id", ["../../evil", "/etc/passwd", "..", "a/../../b", "C:\\evil", "~root", "-rf"]
)
async def test_an_id_that_looks_like_a_path_is_only_an_id(
    sandbox: Sandbox, settings: Settings, task_id: str
) -> None:
    async with connect(settings) as agent:
        error = (await agent.fail("save_video", task_id=task_id))["error"]

    assert error["code"] == "unknown_task"
    assert not settings.videos_dir.exists()


@pytest.mark.parametrize("task_id", ["../../evil", "/etc/cron.d/evil", "..", "a\\..\\b"])
async def test_a_task_id_of_kies_that_is_a_path_stays_in_the_directory(
    settings: Settings, task_id: str
) -> None:
    record = {"taskId": task_id, "state": "success"}

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"GET /clip"):
            writer.write(http(MP4))
            return
        host = request.lower().split(b"\r\nhost: ")[1].split(b"\r\n")[0].decode()
        video = {"videoInfo": {"videoUrl": f"http://{host}/clip"}}
        writer.write(http(envelope(record | video), "Content-Type: application/json"))

    async with raw_kie(answer) as kie, connect(settings_for(kie.url)) as agent:
        saved = await agent.call("save_video", task_id=task_id)

    path = Path(saved["file"])
    assert path.parent == settings.videos_dir
    assert videos(settings) == [path.name]
    assert path.read_bytes() == MP4


@contextmanager
def trouble(
    kind: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Generator[None]:
    """An output directory that cannot take a video, until the context ends."""
    directory = settings.videos_dir

    def fail(number: int) -> Any:
        def failing(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        return failing

    with monkeypatch.context() as patch:
        match kind:
            case "a full disk":
                patch.setattr(os, "write", fail(errno.ENOSPC))
            case "a used up quota":
                patch.setattr(os, "write", fail(errno.EDQUOT))
            case "no permission":
                patch.setattr(Folder, "create", fail(errno.EACCES))
            case "a read-only disk":
                patch.setattr(Folder, "create", fail(errno.EROFS))
            case "a file in its place":
                directory.write_text("mine", encoding="utf-8")
            case "a link in its place":
                (tmp_path / "elsewhere").mkdir()
                directory.symlink_to(tmp_path / "elsewhere")
            case _:
                directory.mkdir()
                patch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)
        yield
    if directory.is_symlink() or directory.is_file():
        directory.unlink()


@pytest.mark.parametrize(
    "kind",
    [
        "a full disk",
        "a used up quota",
        "no permission",
        "a read-only disk",
        "a file in its place",
        "a link in its place",
        "another user's directory",
    ],
)
async def test_a_directory_that_cannot_take_the_video_is_the_users_to_mend(
    sandbox: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
) -> None:
    async with connect(settings) as agent:
        task_id = await finished(agent, sandbox)
        with trouble(kind, settings, monkeypatch, tmp_path):
            error = (await agent.fail("save_video", task_id=task_id))["error"]
            left = [path.name for path in tmp_path.rglob("*.mp4*")]
        saved = await agent.call("save_video", task_id=task_id)

    assert (error["code"], error["retry"], error["charged"]) == ("cannot_store", "ask_user", "no")
    assert "KIE_OUTPUT_DIR" in error["reason"]
    assert left == []
    assert Path(saved["file"]).read_bytes() == MP4


async def test_a_foreign_file_in_the_way_is_the_users_to_move(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with connect(settings) as agent:
        task_id = await finished(agent, sandbox)
        settings.videos_dir.mkdir()
        path = settings.videos_dir / f"generate-{task_id}.mp4"
        path.write_text("my notes", encoding="utf-8")
        error = (await agent.fail("save_video", task_id=task_id))["error"]

    assert (error["code"], error["retry"]) == ("cannot_store", "ask_user")
    assert "move it away" in error["reason"]
    assert path.read_text(encoding="utf-8") == "my notes"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cut_body", "cut off"),
        ("lost_answer", "cut off"),
        ("not_json", "not an MP4"),
        ("gzip_bomb", "compressed"),
        ("html_502", "answered 502"),
    ],
)
async def test_a_download_that_fails_leaves_no_part_and_works_later(
    sandbox: Sandbox, settings: Settings, kind: Any, reason: str
) -> None:
    async with connect(settings) as agent:
        task_id = await finished(agent, sandbox)
        sandbox.inject(Fault(kind, "media"))
        error = (await agent.fail("save_video", task_id=task_id))["error"]
        left = videos(settings)
        saved = await agent.call("save_video", task_id=task_id)

    assert (error["code"], error["retry"], error["charged"]) == ("download_failed", "later", "no")
    assert reason in error["reason"]
    assert left == []
    assert Path(saved["file"]).read_bytes() == MP4


async def test_a_result_larger_than_the_cap_is_refused_and_leaves_nothing(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "VIDEO_MAX_BYTES", 1_000_000)
    async with connect(settings) as agent:
        task_id = await finished(agent, sandbox)
        sandbox.inject(Fault("endless_body", "media"))
        error = (await agent.fail("save_video", task_id=task_id))["error"]

    assert error["code"] == "download_failed"
    assert videos(settings) == []


async def test_a_video_that_kie_deleted_says_so_for_good_without_being_asked_for_again(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with connect(settings) as agent:
        task_id = await finished(agent, sandbox)
        sandbox.advance(DAYS_15_S)  # KIE's clock only: its host says gone before ours does
        asked_before = sandbox.requests["media"]
        errors = [await agent.fail("save_video", task_id=task_id) for _ in range(3)]
        asked = sandbox.requests["media"] - asked_before
        task = await agent.call("get_task", task_id=task_id)
    async with connect(settings) as agent:
        later = await agent.fail("save_video", task_id=task_id)
        longer = await agent.fail("extend_video", task_id=task_id, prompt="on")

    for answer in (*errors, later, longer):
        error = answer["error"]
        assert (error["code"], error["retry"], error["charged"]) == ("expired", "never", "no")
    assert asked == 1
    assert (task["state"], "video_url" in task) == ("expired", False)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_fresh_video_that_its_host_denies_is_not_given_up(
    sandbox: Sandbox, settings: Settings, status: int
) -> None:
    async with connect(settings) as agent:
        task_id = await finished(agent, sandbox)
        sandbox.inject(Fault("refuse", "media", status=status, code=None))
        error = (await agent.fail("save_video", task_id=task_id))["error"]
        saved = await agent.call("save_video", task_id=task_id)

    assert (error["code"], error["retry"]) == ("download_failed", "later")
    assert saved["state"] == "success"


async def test_a_saved_file_outlives_kies_copy(
    sandbox: Sandbox, settings: Settings, hurry: Hurry
) -> None:
    async with connect(settings) as agent:
        task_id = await finished(agent, sandbox)
        saved = await agent.call("save_video", task_id=task_id)
    sandbox.advance(DAYS_15_S)
    hurry.moved += timedelta(seconds=DAYS_15_S)
    async with connect(settings) as agent:
        asked_before = sandbox.requests["media"]
        answers = [await agent.call(tool, task_id=task_id) for tool in ("get_task", "save_video")]

    for task in answers:
        assert (task["state"], task["file"]) == ("expired", saved["file"])
        assert task["next"] == "Give the user the file; KIE has deleted its own copy."
        assert "video_url" not in task
    assert sandbox.requests["media"] == asked_before


async def test_all_that_is_written_is_for_its_owner_alone_whatever_the_umask(
    sandbox: Sandbox, settings: Settings
) -> None:
    before = os.umask(0)
    try:
        async with connect(settings) as agent:
            await agent.call("save_video", task_id=await finished(agent, sandbox))
            paths = [settings.home_dir, *settings.home_dir.rglob("*")]
            modes = {(path.is_dir(), oct(stat.S_IMODE(path.stat().st_mode))) for path in paths}
    finally:
        os.umask(before)

    assert modes == {(True, "0o700"), (False, "0o600")}


def test_a_server_killed_during_a_download_saves_the_whole_video_after_the_restart(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "home" / "videos"
    with standalone_sandbox() as sandbox:
        sandbox.inject("slow_body", "media", seconds=60)
        with Wire(env=sandbox.env) as wire:
            wire.open()
            task = wire.tool("generate_video", prompt="a boat")
            sandbox.finish(task["task_id"])
            wire.ask_tool("save_video", task_id=task["task_id"])
            sandbox.await_event("fault")
            wire.process.kill()
            wire.process.wait(WITHIN_S)
        left = os.listdir(directory)
        with closing(sqlite3.connect(tmp_path / "home" / "ledger.db")) as ledger, ledger:
            # The dead process held the row for minutes; they have passed.
            ledger.execute("UPDATE entries SET save_after = 0 WHERE save_after IS NOT NULL")
        with Wire(env=sandbox.env) as wire:
            wire.open()
            file = _file_once_saved(wire)

    assert all(name.endswith(".mp4.part") for name in left)
    assert file == str(directory / f"generate-{task['task_id']}.mp4")
    assert Path(file).read_bytes()[4:8] == b"ftyp"


def _file_once_saved(wire: Wire) -> str:
    """Where the newest task's video is, once it was saved without being asked."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        (task,) = wire.tool("list_tasks", limit=1)["tasks"]
        if "file" in task:
            return str(task["file"])
        assert time.monotonic() < deadline, json.dumps(task)
