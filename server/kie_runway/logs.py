"""Structured log lines on stderr, redacted; stdout belongs to JSON-RPC."""

import json
import logging
import sys
from contextlib import suppress
from functools import cached_property
from typing import TextIO

from kie_runway.redaction import Redactor


def configure_logging(level: str, redact: Redactor) -> None:
    """Send every log line of the process to stderr, one line each, without secrets."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(_Formatter(redact))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("asyncio", "httpcore", "httpx", "mcp", "uvicorn"):  # they narrate
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; one that cannot be formatted is lost, not printed raw with its secrets."""

    def handleError(self, record: logging.LogRecord) -> None:
        broken = type(sys.exc_info()[1]).__name__
        line = {"event": f"a log line was lost ({broken})", "logger": record.name}
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps(line) + self.terminator)


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
