"""
What a run of the suite amounts to, from the result files it leaves.

The suite's exit code alone would call a run that checked nothing a success.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

# The suite adds it to every scenario, so it says nothing about the scenario's own subject.
COMMON_CHECK = "wire-schema-valid"


class Check(BaseModel):
    """One thing that the suite looked at."""

    id: str
    status: str
    error: str | None = Field(None, alias="errorMessage")


@dataclass(frozen=True)
class Verdict:
    """How many checks came out how, and in words what is wrong."""

    passed: int
    skipped: int
    faults: tuple[str, ...]

    @property
    def failed(self) -> int:
        return len(self.faults)

    def with_exit_code(self, code: int | None) -> "Verdict":
        """The verdict with what the suite itself says of the run."""
        if code == 0:
            return self
        ending = "had to be stopped" if code is None else f"ended with code {code}"
        return replace(self, faults=(*self.faults, f"the suite {ending}"))


def read_results(directory: Path) -> dict[str, list[Check]]:
    """The checks by scenario; a result that cannot be read is no result."""
    results: dict[str, list[Check]] = {}
    for path in sorted(directory.glob("*/checks.json")):
        named = _RESULT_NAME.fullmatch(path.parent.name)
        if named is None:
            continue
        try:
            results[named["scenario"]] = _CHECKS.validate_json(path.read_bytes())
        except ValidationError:
            continue
    return results


def judge(
    results: dict[str, list[Check]],
    scenarios: Collection[str],
    excused: Collection[str] = (),
) -> Verdict:
    """
    The verdict on the scenarios asked for; others are not looked at.

    A scenario without a result, or without a passed check of its own, is a fault. So is a
    warning: that is how the suite says that a SHOULD was ignored.

    Args:
        results: As `read_results` gives them.
        scenarios: The scenarios that count.
        excused: Ids of checks that do not count.
    """
    passed = skipped = 0
    faults: list[str] = [] if scenarios else ["no scenario was asked for"]
    for scenario in sorted(scenarios):
        checks = [check for check in results.get(scenario, ()) if check.id not in excused]
        bad = [check for check in checks if check.status in ("FAILURE", "WARNING")]
        passed += sum(check.status == "SUCCESS" for check in checks)
        skipped += sum(check.status == "SKIPPED" for check in checks)
        faults += [f"{scenario} / {check.id}: {check.error or 'no reason given'}" for check in bad]
        if not bad and not _proved_something(checks):
            faults.append(f"{scenario}: checked nothing")
    return Verdict(passed, skipped, tuple(faults))


_CHECKS = TypeAdapter(list[Check])
_RESULT_NAME = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


def _proved_something(checks: Iterable[Check]) -> bool:
    return any(check.status == "SUCCESS" and check.id != COMMON_CHECK for check in checks)
