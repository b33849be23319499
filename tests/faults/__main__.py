"""`python -m tests.faults [--quick] [--seed S]`: every fault run; writes docs/reliability.md."""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.faults.jobs import all_jobs, be_quiet, quick_jobs
from tests.faults.report import Report, write

PROCESSES = 2


def main() -> int:
    """Run everything, in under 25 minutes on two cores; `--quick` in under four."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each, nothing is written")
    parser.add_argument("--seed", default=time.strftime("%Y%m%d"))
    options = parser.parse_args()
    quick: bool = options.quick
    seed: str = options.seed
    for name in [name for name in os.environ if name.startswith("KIE_")]:
        del os.environ[name]
    report = Report(seed)
    began = time.monotonic()
    jobs = quick_jobs(seed) if quick else all_jobs(seed)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn, initializer=be_quiet) as pool:
        running = {pool.submit(job): job for job in jobs}
        for number, done in enumerate(as_completed(running), 1):
            try:
                report.add(done.result())
            except Exception as exc:
                report.broken_off.append(f"{running[done]} broke off: {exc!r}")
            print(f"{time.monotonic() - began:5.0f} s: {number} of {len(jobs)}", file=sys.stderr)
    print(report.table())
    print(*report.wrong(), sep="\n")
    if not quick:
        write(report)
    return 1 if report.wrong() else 0


if __name__ == "__main__":
    sys.exit(main())
