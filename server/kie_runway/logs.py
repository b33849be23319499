"""
Structured log lines on stderr, redacted; stdout belongs to JSON-RPC.

Lines are made where they are logged and written by a thread: whoever started the process may never
read its stderr, and the server must not wait for that.
"""

import json
import logging
import os
import select
import sys
from asyncio import CancelledError
from contextlib import suppress
from functools import cached_property
from queue import SimpleQueue
from threading import Thread

from kie_runway.redaction import Redactor

WAITING_MAX = 1000  # lines nobody has read yet; further ones are dropped and counted
CLOSE_S = 1.0  # what a blocked stderr may cost at the end


def configure_logging(level: str, redact: Redactor) -> None:
    """
    Send every log line of the process to stderr, one line each, without secrets.

    A reader that falls behind loses lines, and is told how many. The end of the process, as that of
    the handler, waits until all are written, but no longer than `CLOSE_S`.
    """
    handler = _Handler(sys.stderr.fileno())
    handler.setFormatter(_Formatter(redact))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    least = logging.getLogger().level
    for noisy in ("asyncio", "httpcore", "httpx", "mcp"):  # they narrate
        logging.getLogger(noisy).setLevel(max(logging.WARNING, least))
    for noisy in ("uvicorn", "uvicorn.error"):  # they warn of every bad request, and anyone can ask
        logging.getLogger(noisy).setLevel(max(logging.ERROR, least))
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Calls that outlast a server's grace are counted in a line; each one's traceback says less."""
    return record.exc_info is None or not isinstance(record.exc_info[1], CancelledError)


class _Handler(logging.Handler):
    """Queues lines; one that cannot be formatted is lost, not printed raw with its secrets."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._dropped = 0
        # Of all queues only this one may be filled from a finalizer that interrupts a reader.
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._writer = Thread(target=self._write_lines, name="stderr", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() >= WAITING_MAX:
            self._dropped += 1
            return
        self._tell_dropped()
        try:
            self._lines.put(self.format(record))
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        broken = type(sys.exc_info()[1]).__name__
        line = {"event": f"a log line was lost ({broken})", "logger": record.name}
        self._lines.put(json.dumps(line))

    def close(self) -> None:
        """Called by `logging` when the process ends; what is logged later is lost."""
        self._tell_dropped()
        self._lines.put(None)
        self._writer.join(CLOSE_S)
        super().close()

    def _tell_dropped(self) -> None:
        if dropped := self._dropped:
            self._dropped = 0
            line = {"event": "log lines were dropped: nobody read them", "lines": dropped}
            self._lines.put(json.dumps(line | {"level": "warning", "logger": __name__}))

    def _write_lines(self) -> None:
        while (line := self._lines.get()) is not None:
            with suppress(OSError):  # nobody is there
                self._write(f"{line}\n".encode(errors="backslashreplace"))

    def _write(self, line: bytes) -> None:
        # Past sys.stderr: the interpreter cannot end while a thread holds that one's buffer.
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # it shares a terminal with a stdout that must not block
                select.select([], [self._fd], [])


class _Formatter(logging.Formatter):
    """structlog's rendering, imported with the first line: most runs never write one early."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    @cached_property
    def _structlog(self) -> logging.Formatter:
        import structlog

        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.ExtraAdder(),
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self._structlog.format(record))
