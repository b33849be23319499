"""Log lines reach who reads them, and wait for nobody."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.wire import WITHIN_S, Wire

from kie_runway.logs import CLOSE_S

LINES = 200
# Serves as always, but writes many kilobytes about each message, where the event loop runs.
CHATTY = f"""
import logging, sys
import kie_runway.cli, kie_runway.logs, kie_runway.stdio

kie_runway.logs.CLOSE_S = float(sys.argv.pop())

read = kie_runway.stdio.read_message

def chatty(line):
    for number in range({LINES}):
        logging.getLogger("chatty").debug("%d %s", number, "x" * 500)
    return read(line)

kie_runway.stdio.read_message = chatty
kie_runway.cli.main()
"""
MANY = """
import logging, sys
from kie_runway import logs
from kie_runway.redaction import Redactor

logs.CLOSE_S = float(sys.argv[1])
logs.configure_logging("INFO", Redactor([]))
for number in range(900):
    logging.getLogger("many").info("line", extra={"number": number})
"""
MESSAGES = 20


@contextmanager
def unread_pipe(path: Path) -> Generator[int]:
    """A small pipe with a name; its reader, who does not read by itself."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reader
    finally:
        os.close(reader)


def chatter(stderr: Path, close_s: float) -> Wire:
    command = (sys.executable, "-c", CHATTY, f"{close_s}")
    return Wire(command, env={"KIE_LOG_LEVEL": "DEBUG"}, stderr=stderr)


def read_all(fd: int) -> bytes:
    return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))


def test_a_stderr_that_nobody_reads_keeps_no_answer_and_no_signal_waiting(tmp_path: Path) -> None:
    with unread_pipe(tmp_path / "stderr"), chatter(tmp_path / "stderr", CLOSE_S) as wire:
        wire.open()
        for _ in range(MESSAGES):
            wire.call("ping")
        answer = wire.tool("list_tasks")
        wire.process.terminate()
        code = wire.end()

    assert answer["tasks"] == []
    assert code == 0


def test_who_reads_late_is_told_how_many_lines_are_missing(tmp_path: Path) -> None:
    with (
        unread_pipe(tmp_path / "stderr") as reader,
        ThreadPoolExecutor(1) as threads,
        chatter(tmp_path / "stderr", WITHIN_S) as wire,
    ):
        wire.open()
        for _ in range(MESSAGES):
            wire.call("ping")
        reading = threads.submit(read_all, reader)
        wire.close_stdin()
        code = wire.end()
        lines = [json.loads(line) for line in reading.result(WITHIN_S).splitlines()]
    dropped = [line["lines"] for line in lines if "were dropped" in line["event"]]
    kept = [line for line in lines if line["logger"] == "chatty"]

    assert code == 0
    assert dropped
    assert len(kept) + sum(dropped) >= (MESSAGES + 2) * LINES  # a handshake is two messages


def test_what_was_logged_before_the_end_is_there_in_order() -> None:
    command = (sys.executable, "-c", MANY, f"{WITHIN_S}")
    done = subprocess.run(command, capture_output=True, timeout=WITHIN_S, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert [line["number"] for line in lines] == list(range(900))
