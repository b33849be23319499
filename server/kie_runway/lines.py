"""Lines of JSON-RPC: what they are, and answers to those that are none, which the SDK drops."""

import json
import re
from typing import Any, cast

import mcp.types as t
from pydantic import ValidationError

# As the SDK writes them: what follows the id tells an answer from a request of ours.
_ANSWER = re.compile(r'\{"jsonrpc":"2\.0","id":(?:-?\d+|"(?:[^"\\]|\\.)*"),"(?:result|error)":')
TOO_LONG = "message too long"  # what stands for a line that was never read; no JSON


def read_message(line: str) -> t.JSONRPCMessage | None:
    """What the SDK will understand of a line; None when that is nothing."""
    try:
        return t.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return None


def is_answer(line: str) -> bool:
    """Whether a line of ours answers a request."""
    return _ANSWER.match(line) is not None


def is_handshake(line: str) -> bool:
    """Whether a line opens a connection of the era before 2026-07-28."""
    message = read_message(line)
    return isinstance(message, t.JSONRPCRequest) and message.method == "initialize"


def refusal(line: str) -> str | None:
    """
    The error to answer a line with that is no message, so that nobody waits in vain.

    Returns:
        One line of JSON-RPC; None for what expects no answer: blank lines, broken notifications
        and broken answers.
    """
    if not line.strip():
        return None
    try:
        message: object = json.loads(line)
    except (ValueError, RecursionError):
        return _error(None, t.PARSE_ERROR, "The message is no JSON, or is longer than 16 MiB.")
    if not isinstance(message, dict):
        return _error(None, t.INVALID_REQUEST, "The message must be one JSON object.")
    fields = cast("dict[str, Any]", message)
    if "method" not in fields or "id" not in fields:
        return None
    number = fields["id"] if type(fields["id"]) in (str, int) else None
    return _error(number, t.INVALID_REQUEST, "The message is no JSON-RPC 2.0 request.")


def _error(number: str | int | None, code: int, message: str) -> str:
    answer = {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
    return json.dumps(answer) + "\n"
