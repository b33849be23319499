"""The report as a whole: what it says, how it looks, what it returns."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len
from tests.journeys.processes import Standalone, standalone_sandbox
from tests.support import KEY
from tests.wire import COMMAND, WITHIN_S

from kie_runway.doctor.finding import Finding, State
from kie_runway.doctor.run import run_doctor

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(name="kie", scope="module")
def _kie() -> Iterator[Standalone]:
    with standalone_sandbox() as sandbox:
        yield sandbox


def run(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as people start it: piped, 80 columns wide, in a home of its own."""
    clean = {name: os.environ[name] for name in ("PATH",)}
    return subprocess.run(
        (*COMMAND, "doctor", *arguments),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=WITHIN_S,
        cwd=home,
        env=clean | {"HOME": str(home), "COLUMNS": "80", "PYTHONUTF8": "1"} | env,
    )


def states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}


def find(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    """Let the doctor find this, on nothing that says how wide it is or whether it has colours."""

    async def examine(*, sandbox: bool) -> Sequence[Finding]:
        return findings

    monkeypatch.setattr("kie_runway.doctor.run.examine", examine)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def test_where_all_is_well_it_says_so(tmp_path: Path, kie: Standalone) -> None:
    done = run(tmp_path, **kie.env)

    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    assert "✓  key            KIE accepts it" in done.stdout
    assert done.stdout.endswith("\nAll is well.\n")
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def test_the_sandbox_can_be_examined_without_a_key(tmp_path: Path) -> None:
    done = run(tmp_path, "--sandbox", "--json", KIE_API_URL=NOWHERE)

    assert done.returncode == 0, done.stdout
    assert states(done)["key"] == states(done)["KIE"] == "ok"
    assert "the sandbox's own, which ends with it" in done.stdout
    assert not list(tmp_path.iterdir())


def test_what_is_broken_comes_with_its_cure(tmp_path: Path) -> None:
    done = run(tmp_path, KIE_API_URL=NOWHERE, KIE_UPLOAD_URL=NOWHERE)
    text = " ".join(done.stdout.split())

    assert done.returncode == 1
    assert "✗ key none is set here Make one at https://kie.ai/api-key" in text
    assert "✗ KIE 127.0.0.1:1 cannot be reached Look at the network" in text
    assert "! uploads 127.0.0.1:1 cannot be reached" in text
    assert "2 things are broken, 1 warning." in text


def test_a_wrong_key_is_told_and_never_shown(tmp_path: Path, kie: Standalone) -> None:
    done = run(tmp_path, "--json", **kie.env | {"KIE_API_KEY": KEY})

    assert done.returncode == 1
    assert states(done)["key"] == "failed"
    assert "is refused" in done.stdout
    assert KEY[:6] not in done.stdout + done.stderr


def test_wrong_settings_are_findings_too(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", KIE_MAX_WAIT_S="soon", KIE_DAILY_CREDITS="-1", KIE_API_KEY=KEY)
    report = json.loads(done.stdout)
    says = [check["says"] for check in report["checks"] if check["name"] == "settings"]

    assert done.returncode == 1
    assert report["ok"] is False
    assert [line.split(":")[0] for line in says] == ["KIE_DAILY_CREDITS", "KIE_MAX_WAIT_S"]
    assert states(done)["Cursor"] == "off"


def test_warnings_do_not_fail(tmp_path: Path, kie: Standalone) -> None:
    done = run(tmp_path, "--json", **kie.env | {"KIE_UPLOAD_URL": NOWHERE})

    assert done.returncode == 0
    assert states(done)["uploads"] == "warning"


@pytest.mark.parametrize("columns", [80, 50])
def test_every_line_fits_the_terminal_and_carries_no_colour_into_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    path = "/" + "p" * 200
    words = " ".join(["映画", "word"] * 40)
    find(monkeypatch, *(Finding("name", state, f"{words} {path}", words) for state in State))
    monkeypatch.setenv("COLUMNS", str(columns))
    run_doctor(sandbox=False, as_json=False)
    out = capsys.readouterr().out
    lines = out.splitlines()

    assert not COLOUR.search(out)
    assert sum(line.strip() == path for line in lines) == len(State)
    widest = max(cell_len(line) for line in lines if path not in line)
    assert columns - cell_len(" word") < widest <= columns
    assert not [line for line in lines if line != line.rstrip()]


def test_a_command_can_be_copied_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "kie-runway-mcp " + "word " * 40 + "end"
    find(monkeypatch, Finding("name", State.FAILED, "says", "Run:", command))
    run_doctor(sandbox=False, as_json=False)
    assert command in [line.strip() for line in capsys.readouterr().out.splitlines()]

    run_doctor(sandbox=False, as_json=True)
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert check == {
        "name": "name",
        "state": "failed",
        "says": "says",
        "cure": "Run:",
        "command": command,
    }


def test_colours_can_be_had_and_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find(monkeypatch, *(Finding("name", state, "says", "cure") for state in State))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    run_doctor(sandbox=False, as_json=False)
    coloured = capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    run_doctor(sandbox=False, as_json=False)
    plain = capsys.readouterr().out

    assert "\x1b[32m✓" in coloured
    assert "\x1b[3" not in plain
    assert COLOUR.sub("", coloured) == COLOUR.sub("", plain)


def test_where_only_ascii_can_be_written_the_marks_are_ascii(
    tmp_path: Path, kie: Standalone
) -> None:
    env = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = run(tmp_path, **kie.env | env)

    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "+  key            KIE accepts it" in done.stdout


@pytest.mark.parametrize(
    ("found", "code", "summary"),
    [
        ([State.OK, State.OFF], 0, "All is well."),
        ([State.OK, State.WARNING], 0, "1 warning."),
        ([State.FAILED, State.WARNING, State.WARNING], 1, "1 thing is broken, 2 warnings."),
        ([State.FAILED, State.FAILED], 1, "2 things are broken."),
    ],
)
def test_the_last_line_counts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: Sequence[State],
    code: int,
    summary: str,
) -> None:
    find(monkeypatch, *(Finding("name", it, "says\x1b[31m", "cure", "x\x1b[31m") for it in found))

    assert run_doctor(sandbox=False, as_json=False) == code
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == summary
    assert "\x1b" not in out
