"""What is told of directories, the ledger and what is installed; nothing is made or changed."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.server.doctor.looking import told
from tests.server.test_task_report import Desk, ended, queued

from kie_runway.doctor import places
from kie_runway.doctor.finding import State
from kie_runway.doctor.places import check_directories, check_extras, check_ledger
from kie_runway.ledger.migrations import MIGRATIONS
from kie_runway.models import TaskState
from kie_runway.settings import Settings

OFF, OK, WARNING, FAILED = State.OFF, State.OK, State.WARNING, State.FAILED
Snapshot = dict[str, tuple[bytes, float]]


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    return Settings().model_copy(update={"home": tmp_path / "home"})


@pytest.fixture(name="desk")
def _desk(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(settings.ledger_path, capsys)


def snapshot(folder: Path) -> Snapshot:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_not_there_yet_can_be_made_and_is_not(settings: Settings, tmp_path: Path) -> None:
    directories, ledger = check_directories(settings), check_ledger(settings)

    assert told(directories) == [("home", OK), ("videos", OK), ("local files", OFF)]
    assert told(ledger) == [("ledger", OK)]
    assert "made when needed" in ledger[0].says
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_none_is_told(settings: Settings) -> None:
    home = settings.home_dir
    home.write_text("a file")
    findings = check_directories(settings)

    assert told(findings)[:2] == [("home", FAILED), ("videos", FAILED)]
    assert "is no directory" in findings[0].says
    assert "KIE_HOME" in findings[0].cure
    assert "KIE_OUTPUT_DIR" in findings[1].cure


def test_a_directory_that_cannot_be_written_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        return False

    monkeypatch.setattr(os, "access", refuse)  # root may write anywhere
    findings = check_directories(settings.model_copy(update={"upload_roots": (Path("/x"),)}))

    assert told(findings) == [("home", FAILED), ("videos", FAILED), ("local files", FAILED)]
    assert "if no ledger was ever there, set KIE_HOME" in findings[0].cure
    assert "or set KIE_OUTPUT_DIR" in findings[1].cure


def test_videos_do_not_go_where_a_link_leads(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    findings = check_directories(settings.model_copy(update={"output_dir": tmp_path / "link"}))

    assert told(findings)[1] == ("videos", FAILED)


def test_a_full_disk_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(_: object) -> SimpleNamespace:
        return SimpleNamespace(free=12_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    findings = check_directories(settings)

    assert told(findings)[:2] == [("home", WARNING), ("videos", WARNING)]
    assert findings[0].says.endswith("has 12 MB left")
    assert "KIE_HOME" not in findings[0].cure  # a ledger may be there
    assert "KIE_OUTPUT_DIR" in findings[1].cure


def test_directories_of_uploads_are_looked_at(settings: Settings, tmp_path: Path) -> None:
    roots = (tmp_path, tmp_path / "nowhere")
    findings = check_directories(settings.model_copy(update={"upload_roots": roots}))

    assert told(findings)[2:] == [("local files", OK), ("local files", FAILED)]


def test_a_ledger_is_counted_and_stays_as_it_is(desk: Desk, settings: Settings) -> None:
    desk.fill(queued("one"))
    before = snapshot(settings.home_dir)
    one = check_ledger(settings)

    assert [it.says for it in one] == ["1 task"]
    assert snapshot(settings.home_dir) == before
    desk.fill(queued("two"), ended("three", TaskState.SUCCESS))
    assert [it.says for it in check_ledger(settings)] == ["3 tasks"]


def test_a_ledger_that_a_server_has_open_can_be_looked_into(desk: Desk, settings: Settings) -> None:
    desk.fill(queued("one"))
    with closing(sqlite3.connect(settings.ledger_path)) as server:
        server.execute("UPDATE entries SET state = 'unknown'")
        server.commit()
        findings = check_ledger(settings)

    assert told(findings) == [("ledger", WARNING)]
    assert findings[0].says == "1 task, 1 of which may have been charged: their answers were lost"
    assert findings[0].command.endswith("kie-runway-mcp tasks list --state unknown")


def test_an_older_ledger_is_known_and_left_as_it_is(desk: Desk, settings: Settings) -> None:
    desk.path.parent.mkdir()
    with closing(sqlite3.connect(desk.path)) as old:
        old.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
    before = snapshot(settings.home_dir)
    findings = check_ledger(settings)

    assert told(findings) == [("ledger", OK)]
    assert "an older version's" in findings[0].says
    assert snapshot(settings.home_dir) == before


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as ledger:
        ledger.execute("PRAGMA user_version = 99")


def no_database(path: Path) -> None:
    path.write_bytes(b"not SQLite" * 1000)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (newer, "newer version"),
        (no_database, "not a database"),
        (os.mkfifo, "no regular file"),
        (Path.mkdir, "no regular file"),
    ],
)
def test_a_ledger_that_is_none_is_told_at_once(
    settings: Settings, make: Callable[[Path], object], says: str
) -> None:
    settings.ledger_path.parent.mkdir()
    make(settings.ledger_path)
    findings = check_ledger(settings)

    assert told(findings) == [("ledger", FAILED)]
    assert says in findings[0].says
    assert "KIE_HOME" not in findings[0].cure


def test_what_is_not_installed_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(_: str) -> None:
        return None

    assert told(check_extras()) == [("contact sheets", OK), ("sandbox", OK)]
    monkeypatch.setattr(places, "find_spec", find_nothing)
    findings = check_extras()

    assert told(findings) == [("contact sheets", OFF), ("sandbox", OFF)]
    assert " install 'av<" in findings[0].command
    assert "kie-runway-mcp" not in findings[0].command.rpartition(" install ")[2]
