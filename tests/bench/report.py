"""What a measurement found, as a table for people."""

import os
import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "RESULTS.md"
COMPARISON = ROOT / "docs" / "comparison.md"
_TOKENS = re.compile(r"(<!-- tokens -->\n).*?(<!-- /tokens -->)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One figure; `target` and `met` only where the figure is judged."""

    what: str
    value: str
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Section:
    """One measurement."""

    title: str
    how: str
    rows: list[Row] = field(default_factory=list[Row])


def at_most(what: str, value: float, target: float, unit: str = "", digits: int = 2) -> Row:
    """A figure that should not be above its target."""
    shown = f"{value:,.{digits}f}{unit}"
    return Row(what, shown, f"≤ {target:,g}{unit}", value <= target)


def spread(what: str, seconds: list[float], unit: str = "ms") -> Row:
    """Median and range of some durations."""
    scale = 1e3 if unit == "ms" else 1e6
    low, mid, high = (
        f"{scale * value:,.0f}" for value in (min(seconds), median(seconds), max(seconds))
    )
    return Row(what, f"{mid} {unit} ({low} to {high}, {len(seconds)} times)")


def render(sections: list[Section], command: str, took_s: float) -> str:
    """The whole report in Markdown."""
    lines = [
        "# Measurements",
        "",
        f"Made by `{command}` on {datetime.now(UTC):%Y-%m-%d} in {took_s:.0f} s; "
        "each run overwrites this file. Ratios compare interleaved runs, so a busy machine "
        "moves them little; absolute times are this machine's.",
        "",
        f"Machine: {_machine()}.",
    ]
    return "\n".join(lines) + "\n" + _tables(sections, "##")


def write_comparison(sections: list[Section]) -> None:
    """Put what tokens were counted into docs/comparison.md."""
    text = COMPARISON.read_text(encoding="utf-8")
    table = _tables(sections, "###")
    COMPARISON.write_text(_TOKENS.sub(lambda m: f"{m[1]}{table}{m[2]}", text), encoding="utf-8")


def _tables(sections: list[Section], heading: str) -> str:
    lines: list[str] = []
    for section in sections:
        lines += ["", f"{heading} {section.title}", "", section.how, ""]
        lines += ["| what | measured | target | met |", "| --- | --- | --- | --- |"]
        for row in section.rows:
            met = {None: "", True: "yes", False: "**no**"}[row.met]
            lines.append(f"| {row.what} | {row.value} | {row.target} | {met} |")
    return "\n".join(lines) + "\n"


def _machine() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"mcp {version('mcp')}, pydantic {version('pydantic')}, httpx {version('httpx')}"
    )
