"""`kie-runway-mcp tasks`: what people and scripts see of a ledger, which stays as it is."""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from tests.server.ledger.rows import ENDED, LIMIT, NOW, at_kie, intent, opened, submitting
from tests.terminals import on_terminal
from tests.wire import COMMAND, Wire

from kie_runway.errors import LedgerError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.migrations import MIGRATIONS
from kie_runway.ledger.records import Entry, Transition
from kie_runway.ledger.snapshot import open_snapshot
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import ErrorInfo, Task, TaskState
from kie_runway.task_report import list_tasks, show_task

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
HOSTILE = (
    "[bold red]x[/] :boat: \x1b[31mred [link=https://evil.example]y[/link] \x1b]0;title\x07"
    "\x9b31m \u202ebidi\u2066 \u200bzero\x7f\r\nlines\tand tabs"
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SAY_TERMINAL = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")
Fill = Callable[[Ledger], Awaitable[Any]]


@dataclass(frozen=True)
class Desk:
    """A ledger's file, and the commands on it, on a terminal of 80 columns."""

    path: Path
    capsys: pytest.CaptureFixture[str]

    def fill(self, *steps: Fill) -> None:
        async def fill() -> None:
            ledger = SqliteLedger(self.path)
            await ledger.open()
            for step in steps:
                await step(ledger)
            await ledger.aclose()

        asyncio.run(fill())

    def list(
        self, state: TaskState | None = None, *, limit: int = 20, as_json: bool = False
    ) -> str:
        assert list_tasks(self.path, state=state, limit=limit, as_json=as_json) == 0
        return self.capsys.readouterr().out

    def show(self, any_id: str, *, as_json: bool = False) -> str:
        assert show_task(self.path, any_id, as_json=as_json) == 0
        return self.capsys.readouterr().out


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    for name in SAY_TERMINAL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")
    return Desk(tmp_path / "home" / "ledger.db", capsys)


def queued(request_id: str, prompt: str = "a boat") -> Fill:
    return lambda ledger: opened(ledger, intent(request_id, prompt=prompt))


def ended(request_id: str, state: TaskState, prompt: str = "a boat", **changes: Any) -> Fill:
    async def end(ledger: Ledger) -> Entry | None:
        entry = await at_kie(ledger, intent(request_id, prompt=prompt), f"task-{request_id}")
        changes.setdefault("finished_at", NOW + timedelta(seconds=66))
        at = NOW + timedelta(seconds=66)
        return await ledger.transition(
            Transition(entry.id, (TaskState.WAIT,), state, at, changes, "KIE said so")
        )

    return end


async def superseded(ledger: Ledger) -> None:
    """A request whose answer was lost, and the one that the user paid for in its place."""
    entry = await submitting(ledger, intent("lost"))
    await ledger.transition(
        Transition(
            entry.id, (TaskState.SUBMITTING,), TaskState.UNKNOWN, NOW, {"error": ENDED}, "no answer"
        )
    )
    later = NOW + timedelta(hours=1)
    again = await ledger.open_intent(intent("lost"), now=later, since=later, supersede_before=later)
    await ledger.take_turn(
        again.entry.id, owner="me", lease=timedelta(), limit=LIMIT, now=lambda: later
    )


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as people start it, piped, 80 columns wide and in UTC."""
    clean = {name: value for name, value in os.environ.items() if name not in SAY_TERMINAL}
    return subprocess.run(
        (*COMMAND, "tasks", *arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=clean | {"COLUMNS": "80", "TZ": "UTC"} | env,
    )


def terminal(columns: int, *arguments: str, **env: str) -> list[str]:
    """The lines that the command writes to a terminal of that size."""
    return on_terminal(columns, *COMMAND, "tasks", *arguments, **env).stdout.splitlines()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_the_latest_tasks_come_first_each_with_what_to_know_it_by(desk: Desk) -> None:
    saved = str(desk.path.parent / "boat one.mp4")
    desk.fill(
        ended("one", TaskState.SUCCESS, file=saved, video_url="https://a.example/1.mp4"),
        ended("two", TaskState.SUCCESS, prompt="a ship", expires_at=LATER),
        ended("three", TaskState.FAIL, prompt="a raft", error=ENDED),
        queued("four", "a canoe"),
    )
    lines = desk.list().splitlines()

    ids = [line.split()[-1] for line in lines if line.startswith("20")]
    assert ids == ["four", "task-three", "task-two", "task-one"]
    assert lines[0].split()[2:] == ["queued", "generate", "four"]
    assert [line.strip() for line in lines[1:-2] if not line.startswith("20")] == [
        "a canoe",
        "a raft",
        "It ended.",
        "a ship",
        f"KIE deletes it {LATER.astimezone():%Y-%m-%d %H:%M}.",
        "a boat",
        f"Saved: {saved}",
    ]


def test_the_list_can_be_cut_and_narrowed_and_says_when_there_is_more(desk: Desk) -> None:
    desk.fill(
        *(queued(f"r-{number}", f"boat {number}") for number in range(5)),
        ended("x", TaskState.FAIL),
    )

    assert desk.list(limit=2).count("boat") == 2
    assert "More: --limit 4" in desk.list(limit=2)
    assert "More" not in desk.list(limit=6)
    assert desk.list(TaskState.FAIL).count("2026-") == 1
    assert "No task is in the state expired." in desk.list(TaskState.EXPIRED)


def test_without_a_ledger_there_are_no_tasks_and_none_is_made(desk: Desk) -> None:
    assert desk.list().startswith("No tasks yet.\n")
    assert json.loads(desk.list(as_json=True)) == []
    assert show_task(desk.path, "x", as_json=False) == 1
    assert not desk.path.parent.exists()


def test_an_unknown_id_is_said_on_stderr_without_its_control_characters(desk: Desk) -> None:
    desk.fill(queued("one"))

    assert show_task(desk.path, HOSTILE, as_json=True) == 1
    out, err = desk.capsys.readouterr()
    assert out == ""
    assert is_harmless(err)
    assert "No task has the id" in err


def test_a_task_is_shown_in_plain_words_with_its_history(desk: Desk) -> None:
    url = f"https://media.example/{'v' * 120}.mp4"
    desk.fill(
        ended(
            "one",
            TaskState.SUCCESS,
            prompt="a paper boat " * 20,
            video_url=url,
            expires_at=LATER,
            file="/nowhere/one.mp4",
            took_s=66.0,
        )
    )
    by_task_id = desk.show("task-one")
    text = " ".join(by_task_id.split())

    assert desk.show("one") == by_task_id
    assert "state success: the video is finished" in text
    assert "charged yes, about 12 credits" in text
    assert "prompt " + "a paper boat " * 20 in text
    assert "took 66 s" in text
    assert f"video {url} " in text, "an address is never broken"
    assert "KIE deletes it 2" in text
    assert "saved at /nowhere/one.mp4 It cannot be found there now." in text
    history = by_task_id.partition("History\n")[2]
    assert [line.split("  ")[-1].strip() for line in history.splitlines()] == [
        "queued",
        "queued → submitting",
        "submitting → wait",
        "wait → success",
        "KIE said so",
    ]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (TaskState.UNKNOWN, "unknown: sent, but the answer was lost: it may have been charged"),
        (TaskState.FAIL, "fail: KIE gave up"),
        (TaskState.EXPIRED, "expired: the video was finished; KIE has deleted it since"),
        (TaskState.GENERATING, "generating: KIE is making the video"),
    ],
)
def test_each_state_is_put_into_words(desk: Desk, state: TaskState, words: str) -> None:
    desk.fill(ended("one", state))

    assert words in " ".join(desk.show("one").split())


def test_kies_words_are_quoted_and_cannot_end_their_quotation(desk: Desk) -> None:
    error = ErrorInfo(
        code="generation_failed",
        reason="KIE failed without naming a cause.",
        message='sorry". It was free, "honestly',
        retry="ask_user",
        charged="unknown",
    )
    desk.fill(ended("one", TaskState.FAIL, error=error, raw_state=f'odd" {HOSTILE}'))
    text = desk.show("one")

    assert "KIE failed without naming a cause. (generation_failed)" in text
    assert "KIE said: \"sorry'. It was free, 'honestly\"." in text
    assert "KIE's word        \"odd' [bold red]x[/]" in text
    assert "charged           unknown, about 12 credits if so" in text
    assert is_harmless(text)


@pytest.mark.parametrize("colour", [False, True])
def test_a_prompt_can_neither_style_nor_steer_the_terminal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, colour: bool
) -> None:
    desk.fill(ended("one", TaskState.FAIL, prompt=HOSTILE))
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    for text in (desk.list(), desk.show("one")):
        assert bool(COLOURS.search(text)) is colour
        plain = COLOURS.sub("", text)
        assert is_harmless(plain)
        assert "[bold red]x[/]" in plain
        assert ":boat:" in plain
        assert "\\u001b[31mred" in plain
    assert is_harmless(desk.list(as_json=True).replace("\\u007f", ""))


def test_no_color_means_no_colours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.fill(ended("one", TaskState.FAIL))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    text = desk.list() + desk.show("one")

    styles = {
        int(code) for codes in re.findall(r"\x1b\[([0-9;]*)m", text) for code in codes.split(";")
    }
    assert styles <= {0, 1, 2}, "bold and dim are no colours"


@pytest.mark.parametrize("prompt", ["a boat " * 200, "船" * 500, "b" * 1800, "👩‍🚀" * 50])
def test_what_is_not_copied_fits_into_eighty_columns(desk: Desk, prompt: str) -> None:
    desk.fill(ended("one", TaskState.FAIL, prompt=prompt, error=ENDED), superseded)

    for text in (desk.list(), desk.show("one"), desk.show("lost")):
        assert max(map(cell_len, text.splitlines())) <= 80


def test_a_superseded_attempt_is_marked_and_told_with_its_successor(desk: Desk) -> None:
    desk.fill(superseded)
    listed, shown = desk.list(), desk.show("lost")
    values = json.loads(desk.list(as_json=True))
    value = json.loads(desk.show("lost", as_json=True))

    assert listed.count(" lost\n") == 2
    assert listed.count("Superseded 20") == 1
    assert "state             submitting" in shown
    assert "Earlier attempt (unknown, charged: unknown)" in shown
    assert "no answer" in shown
    assert ["superseded_at" in task for task in values] == [False, True]
    assert [task["state"] for task in value["earlier_attempts"]] == ["unknown"]
    assert value["earlier_attempts"][0]["history"][-1]["after"] == "unknown"


def test_a_superseded_attempt_that_was_found_after_all_says_so(desk: Desk) -> None:
    async def find(ledger: Ledger) -> None:
        (lost,) = await ledger.list("local", states=(TaskState.UNKNOWN,), limit=1)
        changes = {"task_id": "task-lost", "credits_before": 500.0, "credits_after": 488.0}
        await ledger.transition(
            Transition(lost.id, (TaskState.UNKNOWN,), TaskState.WAIT, NOW, changes)
        )

    desk.fill(superseded, find)
    text = desk.show("task-lost")

    assert re.search(r"^superseded +20\S+ \S+, by a newer attempt$", text, re.MULTILINE)
    assert re.search(r"^balance +500 before, 488 after$", text, re.MULTILINE)


def test_a_lost_answer_is_marked_in_the_list_and_a_deleted_video_in_its_story(desk: Desk) -> None:
    desk.fill(
        ended("lost", TaskState.UNKNOWN, error=ENDED),
        ended("old", TaskState.SUCCESS, expires_at=LONG_AGO),
        ended("elsewhere", TaskState.SUCCESS, fingerprint=None),
    )

    assert "It may have been charged." in desk.list()
    assert "KIE deleted it 2" in desk.list()
    assert "KIE deleted it 2" in desk.show("old")
    assert "elsewhere; known here" in desk.show("elsewhere")


def test_json_holds_tasks_as_the_tools_return_them_in_utc_with_the_whole_prompt(
    desk: Desk,
) -> None:
    prompt = "ein Boot\nfährt 🚤 " * 50
    desk.fill(
        ended("one", TaskState.SUCCESS, prompt, video_url="https://a.example/1.mp4"),
        ended("two", TaskState.FAIL, error=ENDED),
    )
    two, one = json.loads(desk.list(as_json=True))
    shown = json.loads(desk.show("one", as_json=True))

    assert Task.model_validate({"next": "", **one}).video_url == "https://a.example/1.mp4"
    assert (one["prompt"], one["created_at"]) == (prompt, "2026-11-21T12:00:00Z")
    assert (two["charged"], two["error"]["code"]) == ("unknown", "ended")
    assert {name: shown[name] for name in one} == one
    assert [event["after"] for event in shown["history"]] == [
        "queued",
        "submitting",
        "wait",
        "success",
    ]
    assert shown["history"][0] == {"at": "2026-11-21T12:00:00Z", "after": "queued"}


def test_a_task_of_another_account_is_not_shown(desk: Desk) -> None:
    desk.fill(lambda ledger: opened(ledger, intent("theirs", account="other")))

    assert desk.list().startswith("No tasks yet.")
    assert show_task(desk.path, "theirs", as_json=False) == 1


def test_reading_leaves_no_trace(desk: Desk) -> None:
    desk.fill(queued("one"))
    before = files(desk.path.parent)
    desk.list()
    desk.show("one")

    assert files(desk.path.parent) == before
    assert list(before) == ["ledger.db"]


def test_an_older_ledger_is_read_and_stays_old(desk: Desk) -> None:
    desk.path.parent.mkdir()
    with closing(sqlite3.connect(desk.path)) as old, old:
        for statement in MIGRATIONS[0].split(";"):
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
        old.execute(
            "INSERT INTO entries (account, request_id, kind, state, arguments, created_at)"
            " VALUES ('local', 'old', 'generate', 'fail', '{\"prompt\": \"an old boat\"}', 0)"
        )
    before = files(desk.path.parent)

    assert "an old boat" in desk.list()
    assert "an old boat" in desk.show("old")
    assert files(desk.path.parent) == before


def test_a_ledger_that_a_killed_server_left_behind_is_read_with_its_last_commit(
    desk: Desk, tmp_path: Path
) -> None:
    desk.fill(queued("one"))
    left = tmp_path / "left"
    left.mkdir()
    with closing(sqlite3.connect(desk.path)) as server:
        server.execute("UPDATE entries SET request_id = 'two'")
        server.commit()
        for path in desk.path.parent.iterdir():
            if not path.name.endswith("-shm"):
                (left / path.name).write_bytes(path.read_bytes())

    assert "two" in Desk(left / "ledger.db", desk.capsys).list()
    assert (left / "ledger.db-wal").exists()


@pytest.mark.parametrize("is_torn", [False, True])
def test_a_server_that_starts_meanwhile_is_noticed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, is_torn: bool
) -> None:
    desk.fill(queued("one"))
    look = import_module("kie_runway.ledger.reading")._look
    with closing(sqlite3.connect(desk.path)) as server:

        def look_then_start(*args: Any) -> Any:
            found = look(*args)
            server.execute("UPDATE entries SET request_id = 'two'")
            server.commit()
            monkeypatch.setattr("kie_runway.ledger.reading._look", look)
            if is_torn:
                raise sqlite3.DatabaseError("database disk image is malformed")
            return found

        monkeypatch.setattr("kie_runway.ledger.reading._look", look_then_start)

        assert " two\n" in desk.list()


def test_a_ledger_is_read_while_another_process_is_writing(desk: Desk) -> None:
    desk.fill(queued("one"))
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as server:
        server.execute("BEGIN IMMEDIATE")
        server.execute("UPDATE entries SET request_id = 'not committed'")
        text = desk.list()
        server.execute("COMMIT")

        assert " one\n" in text
        assert " not committed\n" in desk.list()


def some_file(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)


def newer_ledger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (some_file, "not a database"),
        (Path.mkdir, "no regular file"),
        (os.mkfifo, "no regular file"),
        (newer_ledger, "newer version; upgrade first"),
    ],
    ids=["other file", "directory", "fifo", "newer"],
)
def test_a_ledger_that_cannot_be_read_is_named_with_the_reason(
    desk: Desk, spoil: Callable[[Path], object], reason: str
) -> None:
    desk.path.parent.mkdir()
    spoil(desk.path)

    assert list_tasks(desk.path, state=None, limit=20, as_json=True) == 2
    assert show_task(desk.path, "one", as_json=False) == 2
    out, err = desk.capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    assert str(desk.path) in err
    assert reason in err


def test_a_home_that_is_a_file_is_named_with_the_reason(desk: Desk) -> None:
    desk.path.parent.write_text("in the way", encoding="utf-8")

    assert list_tasks(desk.path, state=None, limit=20, as_json=False) == 2
    assert str(desk.path) in desk.capsys.readouterr().err


@pytest.mark.anyio
async def test_a_snapshot_ends_with_its_context(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.open()
    await ledger.aclose()
    async with open_snapshot(path) as snapshot:
        assert snapshot is not None
        await opened(snapshot, intent("only in the copy"))

    with pytest.raises(LedgerError):
        await snapshot.at_kie()
    async with open_snapshot(path) as snapshot:
        assert snapshot is not None
        assert await snapshot.find("local", "only in the copy") is None


def test_the_command_reads_the_ledger_of_a_running_server(desk: Desk) -> None:
    desk.fill(ended("one", TaskState.FAIL))
    with Wire(env={"KIE_API_URL": "http://127.0.0.1:9"}) as wire:
        wire.open()
        held = wire.tool("list_tasks")["tasks"]
        assert (desk.path.parent / "ledger.db-wal").exists()
        alone, listed, shown = run(), run("list", "--json"), run("show", "one", "--json")
        again = wire.tool("list_tasks")["tasks"]

    assert (alone.returncode, alone.stderr) == (0, "")
    assert "task-one" in alone.stdout
    assert [task["request_id"] for task in json.loads(listed.stdout)] == ["one"]
    assert json.loads(shown.stdout)["task_id"] == "task-one"
    assert held == again


def test_the_command_shows_local_times_and_says_how_far_from_utc(desk: Desk) -> None:
    desk.fill(queued("one"))

    assert terminal(80, TERM="dumb", TZ="CET-1")[0].startswith("2026-11-21 13:00  queued")
    assert "2026-11-21 13:00:00+01:00  queued" in run("show", "one", TZ="CET-1").stdout
    assert "2026-11-21 12:00:00+00:00  queued" in run("show", "one", TZ="UTC").stdout


def test_a_pipe_gets_each_task_in_one_whole_line_and_nothing_else(desk: Desk) -> None:
    saved = f"/videos/{'v' * 100}.mp4"
    desk.fill(
        ended("one", TaskState.SUCCESS, prompt="a boat " * 50, file=saved),
        ended("two", TaskState.FAIL, prompt=HOSTILE, error=ENDED),
        queued("three"),
    )
    done = run(COLUMNS="20", TERM="xterm-256color", TZ="CET-1")
    rows = [line.split("\t") for line in done.stdout.splitlines()]

    assert [len(row) for row in rows] == [7, 7, 7]
    assert rows[0] == ["2026-11-21T12:00:00Z", "queued", "generate", "three", "a boat", "", ""]
    assert rows[1][6] == "It ended."
    assert rows[2][4:] == [" ".join(["a boat"] * 50), saved, ""]
    assert is_harmless(done.stdout.replace("\t", ""))
    assert done.stderr == ""


def test_a_pipe_is_told_on_stderr_of_what_is_no_task(desk: Desk) -> None:
    none = run()
    desk.fill(queued("one"), queued("two", "a ship"))
    cut = run("list", "--limit", "1")

    assert (none.stdout, none.stderr.splitlines()[0]) == ("", "No tasks yet.")
    assert (cut.stdout.count("\n"), cut.stderr) == (1, "More: --limit 2.\n")


def test_a_story_that_is_piped_keeps_its_lines_whole(desk: Desk) -> None:
    prompt = " ".join(["a paper boat"] * 40)
    desk.fill(ended("one", TaskState.FAIL, prompt=prompt, error=ENDED))

    assert f"prompt            {prompt}\n" in run("show", "one", COLUMNS="20", TERM="dumb").stdout


@pytest.mark.parametrize(
    ("columns", "env"),
    [
        *((columns, {"TERM": "xterm-256color"}) for columns in (40, 80, 120)),
        (80, {"TERM": "dumb"}),
        (80, {"NO_COLOR": "1"}),
    ],
)
def test_a_terminal_of_any_width_is_not_overrun_and_ids_stay_whole(
    desk: Desk, columns: int, env: dict[str, str]
) -> None:
    ids = ["c0d088df35254cc3e7187fb7116b2efa", "r-82ucpukvunvg"]
    desk.fill(
        ended(ids[0], TaskState.SUCCESS, prompt="船" * 100, expires_at=LATER),
        queued(ids[1], HOSTILE),
        superseded,
    )
    listed, shown = (terminal(columns, *args, **env) for args in (("list",), ("show", "lost")))
    plain = [COLOURS.sub("", line) for line in (*listed, *shown)]

    assert max(map(cell_len, plain)) <= columns
    for any_id in ids:
        assert any(line.endswith(any_id) for line in plain)
    assert ("\x1b[32m" in "".join(listed)) is (env == {"TERM": "xterm-256color"})
    assert not any("\x1b" in line for line in plain)


def test_the_command_survives_a_pipe_that_takes_ascii_alone(desk: Desk) -> None:
    desk.fill(queued("one", "ein Boot fährt 🚤"))
    done = run(PYTHONIOENCODING="ascii:strict")

    assert done.returncode == 0
    assert "f\\xe4hrt \\U0001f6a4" in done.stdout


def test_the_command_finds_the_ledger_by_its_url(desk: Desk, tmp_path: Path) -> None:
    desk.fill(queued("one"))
    url = f"sqlite:///{desk.path}"

    assert "\tone\t" in run(KIE_HOME=str(tmp_path / "other"), KIE_DATABASE_URL=url).stdout
    assert "No tasks yet." in run(KIE_HOME=str(tmp_path / "other")).stderr


def test_wrong_settings_are_named_without_their_values(desk: Desk) -> None:
    done = run(KIE_LOG_LEVEL="sekret")

    assert done.returncode == 2
    assert "KIE_LOG_LEVEL" in done.stderr
    assert "sekret" not in done.stderr + done.stdout


def test_the_program_tells_its_version() -> None:
    done = subprocess.run((*COMMAND, "--version"), capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert re.fullmatch(r"kie-runway-mcp \d+\.\d+\.\d+\S*\n", done.stdout)
