"""The runner's exit code and closing line, with stand-ins for the suite and for the servers."""

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.conformance import processes, run
from tests.conformance.captured import FAILED, GOOD, REQUIREMENTS, WIRE, write_results
from tests.conformance.requirements import REVISIONS

HELD_TO = GOOD | {"json-schema-2020-12": [WIRE | {"id": "json-schema-2020-12-tool-found"}]}

# Called as the suite is: a folder of results named last is filled from the one next to the script.
SUITE_SCRIPT = """
import shutil, sys
from pathlib import Path

shutil.copytree(Path(__file__).parent / "results", sys.argv[-1], dirs_exist_ok=True)
print("suite was here")
"""


@pytest.fixture
def install_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a script in the place of the suite, and nothing in that of the servers."""

    def install(results: dict[str, list[dict[str, str]]], script: str = SUITE_SCRIPT) -> None:
        for revision in REVISIONS:
            path = tmp_path / "requirements" / f"{revision}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(REQUIREMENTS, encoding="utf-8")
        (tmp_path / "dist" / "results").mkdir(parents=True)
        write_results(tmp_path / "dist" / "results", results)
        (tmp_path / "dist" / "index.js").write_text(script, encoding="utf-8")
        monkeypatch.setattr(processes, "NODE", Path(sys.executable))
        for module in (processes, run):
            monkeypatch.setattr(module, "SUITE", tmp_path)
        monkeypatch.setattr(run, "running_server", no_server)

    return install


@asynccontextmanager
async def no_server(_command: Sequence[str], _home: Path) -> AsyncGenerator[str]:
    yield "http://127.0.0.1:1/mcp"


def test_a_good_run_ends_with_zero(
    install_suite: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install_suite(HELD_TO)

    code = run.main()
    lines = capsys.readouterr().out.splitlines()

    assert code == 0
    assert lines[0] == "2025-11-25, fixtures: 6 passed, 0 failed, 0 skipped (scenarios: 3)"
    assert lines[-2:] == [
        "2026-07-28, product: 3 passed, 0 failed, 0 skipped (scenarios: 1)",
        "18 passed, 0 failed",
    ]


def test_one_failed_check_ends_with_one(
    install_suite: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install_suite(HELD_TO | {"tools-call-simple-text": FAILED})

    code = run.main()
    said = capsys.readouterr().out

    assert code == 1
    assert "  tools-call-simple-text / tools-call-simple-text: Failed: Unknown tool;" in said
    assert said.endswith("\n16 passed, 2 failed\n")


def test_a_run_without_results_ends_with_one_and_shows_the_suites_output(
    install_suite: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install_suite({})

    code = run.main()
    said = capsys.readouterr().out

    assert code == 1
    assert "suite was here" in said
    assert said.endswith("\n0 passed, 8 failed\n")


def test_a_crash_of_the_suite_ends_with_one(
    install_suite: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install_suite(HELD_TO, SUITE_SCRIPT + "sys.exit(7)")

    code = run.main()

    assert code == 1
    assert "the suite ended with code 7" in capsys.readouterr().out


def test_a_suite_that_hangs_is_ended(
    install_suite: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "SUITE_S", 0.2)
    install_suite(HELD_TO, "import threading; threading.Event().wait()")

    code = run.main()

    assert code == 1
    assert "the suite had to be stopped" in capsys.readouterr().out


def test_without_the_packages_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "NODE", processes.ROOT / "no-node")

    code = run.main()
    said = capsys.readouterr()

    assert (code, said.out) == (2, "")
    assert "Missing: no-node" in said.err
    assert "npm install --prefix tests/node" in said.err
