"""The demo, as a newcomer runs it."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import anyio
import pytest
from tests.terminals import on_terminal

WITHIN_S = 300.0
SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
pytestmark = pytest.mark.anyio


async def run_demo(home: Path, *arguments: str, **variables: str) -> tuple[int | None, str]:
    environment = os.environ | {"KIE_HOME": str(home), "COLUMNS": "40"} | variables
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kie_runway", "demo", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
    )
    try:
        with anyio.fail_after(WITHIN_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, out.decode()


async def test_it_makes_three_videos_and_says_where_they_are(tmp_path: Path) -> None:
    code, out = await run_demo(tmp_path, KIE_MAX_WAIT_S="1", KIE_DATABASE_URL="sqlite:///no/way.db")
    videos = sorted((tmp_path / "sandbox" / "videos").iterdir())

    assert code == 0
    assert [path.name.split("-")[0] for path in videos] == ["aleph", "extend", "generate"]
    assert sorted(line.strip() for line in out.splitlines()[-3:]) == [str(path) for path in videos]
    assert "\x1b" not in out
    assert "waiting" not in out
    assert all(path.read_bytes()[4:8] == b"ftyp" for path in videos)


def test_a_step_that_fails_is_told_and_fails_the_demo_and_its_bar_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    done = on_terminal(
        80,
        *(sys.executable, "-m", "kie_runway", "demo", "[moderated] a boat"),
        KIE_HOME=str(tmp_path),
        KIE_MAX_WAIT_S="1",
    )
    _, erased, after_bar = done.stdout.rpartition("\x1b[2K")
    told = [SEQUENCES.sub("", line).strip() for line in after_bar.splitlines()]
    told = [line for line in told if line]

    assert done.returncode == 1
    assert "waiting" in done.stdout
    assert erased
    assert len(told) == 1, "one line, however long"
    assert told[0].startswith("The demo stopped. ")
    assert "refused by moderation" in told[0]
    assert told[0].isprintable()
