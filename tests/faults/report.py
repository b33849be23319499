"""What the fault runs found, in numbers, and the table of them in docs/reliability.md."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.checker import Summary

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
LOST_PER_1000 = 5
PARTS = {
    "attempts": "storm, 95 % of callback attempts arrive",
    "tasks": "storm, 5 % of tasks never called back",
    "all": "storm, no callbacks",
    "killed": "process killed",
    "swept": "one database or socket operation fails",
}
"""Each part of a report, a storm by what it misses, with the name that the table shows."""
_TABLE = re.compile(r"(<!-- faults -->\n).*?(<!-- /faults -->)", re.DOTALL)


@dataclass
class Report:
    """All runs."""

    seed: str = ""
    parts: dict[str, Summary] = field(default_factory=lambda: dict.fromkeys(PARTS, Summary()))
    kinds: Counter[str] = field(default_factory=Counter[str])
    moments: Counter[str] = field(default_factory=Counter[str])
    """What else happened in storms."""
    kills: Counter[str] = field(default_factory=Counter[str])
    kills_beside: int = 0
    """Those among them next to a living process on the same ledger."""
    sweeps: Counter[str] = field(default_factory=Counter[str])
    broken_off: list[str] = field(default_factory=list[str])
    """Runs that did not come to their end."""

    def add(self, other: "Report") -> None:
        """Count other runs in."""
        for name, part in other.parts.items():
            self.parts[name] += part
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
        for name, title in PARTS.items():
            part = self.parts[name]
            is_storm = part.intents and title.startswith("storm")
            per_1000 = f"{1000 * part.paid_but_lost / part.intents:.1f}" if is_storm else ""
            figures = (part.intents, part.creates, part.duplicates, part.paid_but_lost)
            shown = " | ".join(f"{figure:,}" for figure in figures)
            lines.append(
                f"| {title} | {shown} | {per_1000} | {part.unknown:,} | {len(part.violations)} |"
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
        called_back = self.parts["attempts"]
        lost = called_back.paid_but_lost
        if 1000 * lost > LOST_PER_1000 * called_back.intents:
            found.append(f"{lost} tasks were lost although they were called back.")
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
