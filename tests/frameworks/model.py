"""
A model that follows a script, behind the wire format that frameworks speak to a real one.

It answers OpenAI's `/responses` on loopback, so that an example runs unchanged, and what a test
sees is what a model would: after everything its framework did to it.
"""

import json
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


@dataclass(frozen=True)
class Call:
    """A tool call, as the model makes it."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Result:
    """A tool's answer, as the model gets it."""

    text: str
    images: tuple[str, ...] = ()
    """Data URLs."""


@dataclass(frozen=True)
class Tool:
    """A tool, as the model is offered it."""

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool


Script = Generator[list[Call], list[Result], str]
"""Yields each turn's calls, is sent their results, and returns what to say at the end."""


class RefusedError(Exception):
    """The request is one that OpenAI would refuse, or not the one that comes next."""


class ScriptedModel:
    """Plays a script to whoever asks."""

    def __init__(self, script: Script) -> None:
        self.url = ""
        self.tools: list[Tool] = []
        """What was offered with the latest request."""
        self.refused: list[str] = []
        """Why requests were not answered."""
        self._script = script
        self._turns = 0
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """
        The next answer to a request.

        Raises:
            RefusedError: It is malformed, or not the one that comes next.
        """
        with self._lock:
            turns, results = _history(body["input"])
            if turns != self._turns:
                raise RefusedError(f"{turns} turns in the history, but {self._turns} were taken")
            self.tools = [
                Tool(
                    tool["name"], tool["description"], tool["parameters"], bool(tool.get("strict"))
                )
                for tool in body["tools"]
            ]
            output = self._next(results)
            self._turns += 1
            return _response(output, self._turns)

    def _next(self, results: list[Result]) -> list[dict[str, Any]]:
        try:
            calls = self._script.send(results) if self._turns else next(self._script)
        except StopIteration as end:
            return [_message(str(end.value), self._turns)]
        return [_function_call(call, f"{self._turns}_{n}") for n, call in enumerate(calls)]


def _history(conversation: str | Sequence[dict[str, Any]]) -> tuple[int, list[Result]]:
    """How often the model has called tools, and the results of its last calls."""
    turns, results = 0, list[Result]()
    follows_call = False
    for item in () if isinstance(conversation, str) else conversation:
        is_call = item.get("type") == "function_call"
        if is_call and not follows_call:
            turns, results = turns + 1, []
        if item.get("type") == "function_call_output":
            results.append(_result(item["output"]))
        follows_call = is_call
    return turns, results


def _result(output: str | list[dict[str, Any]]) -> Result:
    if isinstance(output, str):
        return Result(output)
    texts, images = list[str](), list[str]()
    for part in output:
        match part["type"]:
            case "input_text":
                texts.append(part["text"])
            case "input_image":
                images.append(part["image_url"])
            case _:
                raise RefusedError(f"no answer of a tool: {json.dumps(part)[:200]}")
    return Result("\n".join(texts), tuple(images))


def _message(text: str, number: int) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{number}",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def _function_call(call: Call, number: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": call.tool,
        "arguments": json.dumps(call.arguments),
        "status": "completed",
    }


def _response(output: list[dict[str, Any]], number: int) -> dict[str, Any]:
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "model": "scripted",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE,
    }


class _Handler(BaseHTTPRequestHandler):
    model: ScriptedModel

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            if not self.path.endswith("/responses"):
                raise RefusedError(f"no such endpoint: {self.path}")
            self._write(200, self.model.answer(body))
        except Exception as exc:  # whatever it is, the test will show it
            self.model.refused.append(repr(exc))
            self._write(400, {"error": {"message": str(exc)}})

    def _write(self, status: int, answer: dict[str, Any]) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:
        """Leave stderr to failures."""


@contextmanager
def scripted_model(script: Script) -> Generator[ScriptedModel]:
    """A scripted model on a free loopback port."""
    model = ScriptedModel(script)
    handler = type("Handler", (_Handler,), {"model": model})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield model
        finally:
            server.shutdown()
            thread.join()
