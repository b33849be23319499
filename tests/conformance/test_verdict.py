"""Only a run in which everything asked for was checked, and passed, is a success."""

from pathlib import Path

import pytest
from tests.conformance.captured import (
    FAILED,
    GOOD,
    REQUIREMENTS,
    SKIPPED,
    WARNED,
    WIRE,
    write_results,
)
from tests.conformance.requirements import Requirements
from tests.conformance.verdict import judge, read_results


def test_a_good_run_is_counted_check_by_check(tmp_path: Path) -> None:
    write_results(tmp_path, GOOD)

    verdict = judge(read_results(tmp_path), GOOD).with_exit_code(0)

    assert (verdict.passed, verdict.skipped, verdict.faults) == (5, 0, ())


@pytest.mark.parametrize(
    ("checks", "fault"),
    [
        (FAILED, "/ tools-call-simple-text: Failed: Unknown tool; tools/list names them."),
        (WARNED, "/ sep-2322-missing-response-rerequests: Server returned JSON-RPC error instead"),
        (SKIPPED, ": checked nothing"),
        ([WIRE], ": checked nothing"),
        ([], ": checked nothing"),
    ],
    ids=["failed", "warned", "skipped", "only what every scenario checks", "empty"],
)
def test_one_bad_scenario_spoils_the_run(
    tmp_path: Path, checks: list[dict[str, str]], fault: str
) -> None:
    write_results(tmp_path, GOOD | {"tools-call-simple-text": checks})

    verdict = judge(read_results(tmp_path), GOOD)

    assert verdict.failed == 1
    assert verdict.faults[0].startswith(f"tools-call-simple-text {fault}".replace(" :", ":"))


def test_a_scenario_without_a_result_is_a_fault(tmp_path: Path) -> None:
    write_results(tmp_path, {"tools-list": GOOD["tools-list"]})

    verdict = judge(read_results(tmp_path), GOOD)

    assert verdict.faults == ("tools-call-simple-text: checked nothing",)


def test_a_result_that_is_cut_off_is_a_fault(tmp_path: Path) -> None:
    write_results(tmp_path, GOOD)
    for path in tmp_path.glob("*tools-list*/checks.json"):
        path.write_text(path.read_text("utf-8")[:-10], encoding="utf-8")

    verdict = judge(read_results(tmp_path), GOOD)

    assert verdict.faults == ("tools-list: checked nothing",)


def test_a_run_of_nothing_is_a_fault(tmp_path: Path) -> None:
    nothing = judge(read_results(tmp_path), GOOD)
    not_even_asked = judge(read_results(tmp_path), ())

    assert (nothing.passed, nothing.failed) == (0, 2)
    assert (not_even_asked.passed, not_even_asked.failed) == (0, 1)


def test_excused_checks_and_other_scenarios_do_not_count(tmp_path: Path) -> None:
    mixed = [*GOOD["tools-list"], FAILED[0]]
    write_results(tmp_path, {"tools-list": mixed, "tasks-lifecycle": FAILED})

    verdict = judge(read_results(tmp_path), ["tools-list"], excused=["tools-call-simple-text"])

    assert (verdict.passed, verdict.failed) == (3, 0)


@pytest.mark.parametrize(
    ("code", "fault"),
    [(1, "the suite ended with code 1"), (None, "the suite had to be stopped")],
)
def test_the_suites_own_verdict_counts_too(tmp_path: Path, code: int | None, fault: str) -> None:
    write_results(tmp_path, GOOD)

    assert judge(read_results(tmp_path), GOOD).with_exit_code(code).faults == (fault,)


def test_unscored_scenarios_count_unless_they_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "revision.yaml"
    path.write_text(REQUIREMENTS, encoding="utf-8")
    requirements = Requirements.read(path)

    left_out = [name for names in requirements.left_out().values() for name in names]

    assert requirements.held_to() == {*GOOD, "json-schema-2020-12"}
    assert sorted(left_out) == ["server-sse-polling", "tasks-status-notifications"]
