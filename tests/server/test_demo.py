"""The demo, as a newcomer runs it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import anyio
import pytest

pytestmark = pytest.mark.anyio


async def run_demo(home: Path, *arguments: str, **variables: str) -> tuple[int | None, str]:
    environment = os.environ | {"KIE_HOME": str(home), "COLUMNS": "200"} | variables
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kie_runway", "demo", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
    )
    with anyio.fail_after(90):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_it_makes_three_videos_and_says_where_they_are(tmp_path: Path) -> None:
    code, out = await run_demo(tmp_path, KIE_MAX_WAIT_S="1", KIE_DATABASE_URL="sqlite:///no/way.db")
    videos = sorted((tmp_path / "sandbox" / "videos").iterdir())

    assert code == 0
    assert [path.name.split("-")[0] for path in videos] == ["aleph", "extend", "generate"]
    assert all(str(path) in out for path in videos)
    assert all(path.read_bytes()[4:8] == b"ftyp" for path in videos)


async def test_a_step_that_fails_is_told_and_fails_the_demo(tmp_path: Path) -> None:
    code, out = await run_demo(tmp_path, "[moderated] a boat")

    assert code == 1
    assert "The demo stopped." in out
    assert "refused by moderation" in out
