"""`python -m tests.bench [--quick]`: measures, prints, and writes bench/RESULTS.md."""

import argparse
import os
import sys
import time
from tempfile import TemporaryDirectory

from tests.bench.cold_start import cold_start
from tests.bench.durable_create import durable_create
from tests.bench.following import following
from tests.bench.longest_results import longest_results
from tests.bench.look_up import look_up
from tests.bench.report import RESULTS, Section, render, write_comparison
from tests.bench.result_tokens import journey_tokens, result_tokens
from tests.bench.round_trip import round_trip
from tests.bench.sandbox import bench_sandbox
from tests.bench.tokens import tool_tokens
from tests.bench.waits import waits


def main() -> None:
    """Run all measurements, in some six minutes; `--quick` in under two."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs, nothing is written")
    parser.add_argument("--tokens", action="store_true", help="tokens alone; fails above a target")
    arguments = parser.parse_args()
    quick: bool = arguments.quick or arguments.tokens
    for name in [name for name in os.environ if name.startswith("KIE_")]:
        del os.environ[name]
    began = time.monotonic()
    with TemporaryDirectory(prefix="kie-bench-") as home:
        os.environ["KIE_HOME"] = home
        sections = tokens() if arguments.tokens else measure(quick)
    command = "make tokens" if arguments.tokens else "make bench"
    report = render(sections, command, time.monotonic() - began)
    print(report)
    if arguments.tokens:
        write_comparison(sections)
        if any(row.met is False for part in sections for row in part.rows):
            sys.exit(1)
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(report, encoding="utf-8")


def tokens() -> list[Section]:
    """What a model pays for the tools, for results, and for a journey."""
    return [tool_tokens(), result_tokens(), longest_results(), journey_tokens()]


def measure(quick: bool) -> list[Section]:
    """Every section of the report; tokens are counted by `make tokens`, the same on any machine."""
    with bench_sandbox() as sandbox:
        return [
            cold_start(runs=3 if quick else 21),
            round_trip(sandbox, batches=4 if quick else 40),
            look_up(sandbox, calls=50 if quick else 500),
            durable_create(sandbox, creates=30 if quick else 300),
            waits(sandbox, count=100 if quick else 1000),
            following(count=20 if quick else 200),
        ]


if __name__ == "__main__":
    main()
