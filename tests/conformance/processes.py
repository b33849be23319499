"""The server under test and the suite, as subprocesses that never outlive their caller."""

import asyncio
import os
import re
import sys
from asyncio import Future, StreamReader
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
NODE_PACKAGES = ROOT / "tests" / "node" / "node_modules"
NODE = NODE_PACKAGES / "node" / "bin" / "node"
SUITE = NODE_PACKAGES / "@modelcontextprotocol" / "conformance"

FIXTURES = ("tests.conformance.server",)
PRODUCT = ("kie_runway", "serve", "--http", "--port", "0", "--sandbox")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/mcp")
MAX_LINE_BYTES = 1 << 20

START_S = 60
SUITE_S = 240
STOP_S = 30
LOG_LINES = 40


class ServerFailedError(Exception):
    """The server under test ended, or did not say where it listens."""


@asynccontextmanager
async def running_server(command: Sequence[str], home: Path) -> AsyncGenerator[str]:
    """
    The address of a server under test.

    Args:
        command: The module to run and its arguments; it logs the address it serves on.
        home: Where it may write.

    Raises:
        ServerFailedError: It did not start; the text is the end of its log.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("KIE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command),
        cwd=ROOT,
        env=env | {"KIE_HOME": str(home)},
        stdout=PIPE,
        stderr=STDOUT,
        limit=MAX_LINE_BYTES,
    )
    assert process.stdout is not None
    address = Future[str]()
    watching = asyncio.create_task(_watch(process.stdout, address))
    try:
        yield await _in_time(address)
    finally:
        await _stop(process)
        await watching


async def run_suite(url: str, revision: str, results: Path) -> int | None:
    """
    Run what a revision requires against a server; its output goes to `suite.log`.

    Returns:
        The suite's exit code; None if it had to be ended.
    """
    with (results / "suite.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(NODE, SUITE / "dist" / "index.js", "server", "--url", url),
            *("--requirements", revision, "--output-dir", results),
            stdout=log,
            stderr=STDOUT,
        )
    try:
        async with asyncio.timeout(SUITE_S):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        await _stop(process)


def end_of(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:])


def missing_packages() -> str | None:
    """What to install before the suite can run, in words; None if nothing."""
    missing = [path for path in (NODE, SUITE / "dist" / "index.js") if not path.is_file()]
    if not missing:
        return None
    names = ", ".join(str(path.relative_to(ROOT)) for path in missing)
    return (
        f"Missing: {names}.\nInstall npm (it comes with Node.js), then run `make conformance`, or "
        "by hand: npm install --prefix tests/node --no-audit --no-fund --no-package-lock"
    )


async def _in_time(address: Future[str]) -> str:
    try:
        async with asyncio.timeout(START_S):
            return await address
    except TimeoutError:
        raise ServerFailedError(f"It logged no address within {START_S} s.") from None


async def _watch(output: StreamReader, address: Future[str]) -> None:
    """Find the address in a server's log, and read on, or the server would block one day."""
    last = deque[str](maxlen=LOG_LINES)
    async for line in output:
        last.append(line.decode(errors="replace"))
        if not address.done() and (found := ADDRESS.search(last[-1])):
            address.set_result(found[0])
    if not address.done():
        address.set_exception(ServerFailedError("".join(last)))


async def _stop(process: Process) -> None:
    with suppress(ProcessLookupError):  # it has ended already
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
