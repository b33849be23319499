"""
Runs the official MCP conformance suite: `python -m tests.conformance.run`.

Each protocol revision runs against the product's server class with the suite's own fixtures,
and, as far as that can be told without them, against the product itself.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conformance.processes import (
    FIXTURES,
    PRODUCT,
    SUITE,
    ServerFailedError,
    end_of,
    missing_packages,
    run_suite,
    running_server,
)
from tests.conformance.requirements import (
    PRODUCT_EXCUSED,
    PRODUCT_SCENARIOS,
    REVISIONS,
    Requirements,
)
from tests.conformance.verdict import Verdict, judge, read_results

EXIT_NOT_INSTALLED = 2


def main() -> int:
    """
    Run everything and report on stdout.

    Returns:
        0 if every check that counts has passed, else 1; 2 when something is not installed.
    """
    if missing := missing_packages():
        print(missing, file=sys.stderr)
        return EXIT_NOT_INSTALLED
    with TemporaryDirectory(prefix="conformance-") as directory:
        return asyncio.run(_run_all(Path(directory)))


async def _run_all(directory: Path) -> int:
    passed = failed = 0
    try:
        async for verdict in _verdicts(directory):
            passed += verdict.passed
            failed += verdict.failed
    except ServerFailedError as exc:
        print(f"The server under test did not start:\n{exc}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


async def _verdicts(directory: Path) -> AsyncGenerator[Verdict]:
    for kind, command in (("fixtures", FIXTURES), ("product", PRODUCT)):
        async with running_server(command, directory) as url:
            for revision in REVISIONS:
                results = directory / f"{kind}-{revision}"
                results.mkdir()
                yield _report(kind, revision, await run_suite(url, revision, results), results)


def _report(kind: str, revision: str, exit_code: int | None, results: Path) -> Verdict:
    requirements = Requirements.read(SUITE / "requirements" / f"{revision}.yaml")
    if kind == "product":
        # It lacks the suite's tools, so the exit code is that of a failure.
        scenarios = requirements.held_to() & PRODUCT_SCENARIOS
        verdict = judge(read_results(results), scenarios, PRODUCT_EXCUSED)
    else:
        scenarios = requirements.held_to()
        verdict = judge(read_results(results), scenarios).with_exit_code(exit_code)
    print(
        f"{revision}, {kind}: {verdict.passed} passed, {verdict.failed} failed, "
        f"{verdict.skipped} skipped (scenarios: {len(scenarios)})",
        flush=True,
    )
    for fault in verdict.faults:
        print(f"  {fault}")
    if not verdict.passed:
        print(end_of(results / "suite.log"))
    if kind == "fixtures":
        for reason, left_out in requirements.left_out().items():
            print(f"  left out: {', '.join(left_out)} ({reason})")
    return verdict


if __name__ == "__main__":
    # A cancelled CI job, too, ends the server and the suite.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
