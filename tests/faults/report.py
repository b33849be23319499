"""What the fault runs found, in numbers, and the table of them in docs/reliability.md."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from tests.faults.checker import summarize
from tests.faults.evidence import Evidence
from tests.faults.storm import Missed

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
LOST_PER_1000 = 5
_TABLE = re.compile(r"(<!-- faults -->\n).*?(<!-- /faults -->)", re.DOTALL)


@dataclass
class Numbers:
    """
    Counts of one run, or of several.

    Attributes:
        paid: Tasks that KIE made and booked.
        duplicates: Those among them that were one too many.
        lost: Those whose id the ledger does not have.
        unknown: Intents whose outcome stays unknown.
    """

    intents: int = 0
    paid: int = 0
    duplicates: int = 0
    lost: int = 0
    unknown: int = 0
    violations: list[str] = field(default_factory=list[str])

    @classmethod
    def of(cls, name: str, evidence: Evidence) -> Self:
        """The numbers of a run, checked; `name` says in violations which one it was."""
        summary = summarize(evidence)
        return cls(
            summary.intents,
            summary.creates,
            summary.duplicates,
            summary.paid_but_lost,
            summary.unknown,
            [f"{name}: {violation}" for violation in summary.violations],
        )

    def add(self, other: "Numbers") -> None:
        """Count another run in."""
        self.intents += other.intents
        self.paid += other.paid
        self.duplicates += other.duplicates
        self.lost += other.lost
        self.unknown += other.unknown
        self.violations += other.violations


@dataclass
class Report:
    """All runs."""

    seed: str
    storms: Mapping[Missed, Numbers] = field(
        default_factory=lambda: {"attempts": Numbers(), "tasks": Numbers(), "all": Numbers()}
    )
    killed: Numbers = field(default_factory=Numbers)
    swept: Numbers = field(default_factory=Numbers)
    kinds: Counter[str] = field(default_factory=Counter[str])
    moments: Counter[str] = field(default_factory=Counter[str])
    """What else happened in storms."""
    kills: Counter[str] = field(default_factory=Counter[str])
    kills_beside: int = 0
    """Those among them next to a living process on the same ledger."""
    sweeps: Counter[str] = field(default_factory=Counter[str])
    broken_off: list[str] = field(default_factory=list[str])
    """Runs that did not come to their end."""

    @property
    def parts(self) -> Mapping[str, Numbers]:
        """By the name that the table shows."""
        return {
            "storm, 95 % of callback attempts arrive": self.storms["attempts"],
            "storm, 5 % of tasks never called back": self.storms["tasks"],
            "storm, no callbacks": self.storms["all"],
            "process killed": self.killed,
            "one database or socket operation fails": self.swept,
        }

    def add(self, other: "Report") -> None:
        """Count other runs in."""
        for name, numbers in other.parts.items():
            self.parts[name].add(numbers)
        self.kinds += other.kinds
        self.moments += other.moments
        self.kills += other.kills
        self.kills_beside += other.kills_beside
        self.sweeps += other.sweeps

    def table(self) -> str:
        """Everything, in Markdown."""
        lines = [
            f"{datetime.now(UTC):%Y-%m-%d}, seed `{self.seed}`.",
            "",
            "| run | intents | paid | paid twice | paid but lost | per 1,000 intents "
            "| left `unknown` | promises broken |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, part in self.parts.items():
            is_storm = part.intents and any(part is storm for storm in self.storms.values())
            per_1000 = f"{1000 * part.lost / part.intents:.1f}" if is_storm else ""
            figures = (part.intents, part.paid, part.duplicates, part.lost)
            shown = " | ".join(f"{figure:,}" for figure in figures)
            lines.append(
                f"| {name} | {shown} | {per_1000} | {part.unknown:,} | {len(part.violations)} |"
            )
        lines += _counts("fault of a paid request", "intents", self.kinds)
        lines += _counts("in storms", "times", self.moments)
        lines += _counts("process killed", "times", self.kills)
        if self.kills_beside:
            lines += ["", f"{self.kills_beside:,} of them died beside a living one on the ledger."]
        lines += _counts("operation failed", "journeys", self.sweeps)
        return "\n".join(lines)

    def wrong(self) -> Sequence[str]:
        """Every broken promise, by run, and every run that could not be judged."""
        found = [violation for part in self.parts.values() for violation in part.violations]
        twice = sum(part.duplicates for part in self.parts.values())
        if twice:
            found.append(f"{twice} tasks were one too many.")
        called_back = self.storms["attempts"]
        if 1000 * called_back.lost > LOST_PER_1000 * called_back.intents:
            found.append(f"{called_back.lost} tasks were lost although they were called back.")
        return [*found, *self.broken_off]


def write(report: Report) -> None:
    """Put today's table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    replaced, count = _TABLE.subn(lambda m: f"{m[1]}{report.table()}\n{m[2]}", text)
    assert count == 1
    PAGE.write_text(replaced, encoding="utf-8")


def _counts(what: str, unit: str, counts: Counter[str]) -> list[str]:
    rows = [f"| {name} | {count:,} |" for name, count in sorted(counts.items())]
    return ["", f"| {what} | {unit} |", "| --- | ---: |", *rows]
