"""The gate in front of the API: settles the clock, counts requests, plays faults."""

import asyncio
import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kie_runway_sandbox import wire
from kie_runway_sandbox.faults import Endpoint, Fault, Faults, endpoint_of
from kie_runway_sandbox.log import Answer, Log, LogEntry
from kie_runway_sandbox.reset import disconnected, reset_connection

RECEIPT = "kie_runway_sandbox.receipt"
CHUNK_BYTES = 65_536
HEADER_BYTES = 8_000
"""Size of one of the many headers of `huge_headers`."""
EDGE_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"


@dataclass
class Receipt:
    """Carries the log's entry of a create from its handler back to the gate."""

    entry: LogEntry | None = None


@dataclass
class _Answer:
    """An answer caught before it is sent."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    body: bytes = b""

    async def catch(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def start(self, *added: tuple[bytes, bytes], length: int | None = None) -> Message:
        """The head, with another length or (None) chunked."""
        kept = [pair for pair in self.headers if pair[0] != b"content-length"]
        if length is not None:
            kept.append((b"content-length", str(length).encode()))
        return {"type": "http.response.start", "status": self.status, "headers": [*kept, *added]}


class Gate:
    """Middleware around the routes."""

    def __init__(self, app: ASGIApp, faults: Faults, log: Log, settle: Callable[[], None]) -> None:
        self._app = app
        self._faults = faults
        self._log = log
        self._settle = settle
        self.requests: Counter[Endpoint] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, well or badly."""
        endpoint = endpoint_of(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        self._settle()
        self.requests[endpoint] += 1
        receipt = scope[RECEIPT] = Receipt()
        fault = self._faults.take(endpoint)
        if fault is None:
            await self._app(scope, receive, send)
            answer: Answer = "delivered"
        else:
            self._log.add("fault", endpoint=endpoint, fault=fault.kind)
            answer = await self._play(fault, scope, receive, send)
        if receipt.entry is not None:
            self._log.set_answer(receipt.entry, answer)

    async def _play(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> Answer:
        caught = _Answer()
        if fault.handles:
            await self._app(scope, receive, caught.catch)
        else:
            await Request(scope, receive).body()
            server_error = wire.Json(wire.refusal(500, "server error"))
            await server_error(scope, receive, caught.catch)

        match fault.kind:
            case "lost_answer" | "reset_before":
                await reset_connection(scope, receive)
                return "lost"
            case "cut_body":
                await send(caught.start(length=len(caught.body)))
                await _send_body(send, caught.body[: len(caught.body) // 2], more=True)
                await reset_connection(scope, receive)
                return "lost"
            case "slow_head" | "slow_body" | "endless_body" | "gzip_bomb":
                return await _stream(fault, caught, receive, send)
            case "truncated_json":
                half = caught.body[: len(caught.body) // 2]
                await send(caught.start(length=len(half)))
                await _send_body(send, half)
            case "huge_headers":
                count = fault.size_bytes // HEADER_BYTES + 1
                filler = [(f"x-filler-{n}".encode(), b"x" * HEADER_BYTES) for n in range(count)]
                await send(caught.start(*filler, length=len(caught.body)))
                await _send_body(send, caught.body)
            case "edit":
                edited = _edited(fault, caught.body)
                await send(caught.start(length=len(edited)))
                await _send_body(send, edited)
            case "not_json" | "html_502" | "cdn_403" | "redirect" | "refuse":
                await _made_up(fault)(scope, receive, send)
        return "spoiled"


def _made_up(fault: Fault) -> Response:
    """An answer that owes nothing to the request."""
    match fault.kind:
        case "html_502":
            return HTMLResponse(EDGE_PAGE, 502)
        case "cdn_403":
            return PlainTextResponse("error code: 1010", 403)
        case "redirect":
            return RedirectResponse(fault.location, 307)
        case "refuse":
            if fault.code is None:
                return Response(status_code=fault.status, headers=fault.headers)
            body = wire.refusal(fault.code, fault.message)
            return wire.Json(body, fault.status, fault.headers)
        case _:
            return PlainTextResponse("upstream connect error")


async def _stream(fault: Fault, caught: _Answer, receive: Receive, send: Send) -> Answer:
    """Play what takes time, until it is over or the client leaves."""
    gone = asyncio.create_task(disconnected(receive))
    try:
        if fault.kind == "slow_head":
            await asyncio.wait([gone], timeout=fault.seconds)
            if gone.done():
                return "lost"
        compressed = [(b"content-encoding", b"gzip")] if fault.kind == "gzip_bomb" else []
        await send(caught.start(*compressed))
        async for chunk in _chunks(fault, caught.body):
            if gone.done():
                return "lost"
            await _send_body(send, chunk, more=True)
            # The pause is also what lets the server see that the client has left.
            await asyncio.wait([gone], timeout=fault.seconds if fault.kind == "slow_body" else 0)
        if gone.done():
            return "lost"
        await _send_body(send, b"")
    finally:
        gone.cancel()
    return "delivered" if fault.kind in ("slow_head", "slow_body") else "spoiled"


async def _chunks(fault: Fault, body: bytes) -> AsyncIterator[bytes]:
    match fault.kind:
        case "slow_body":
            for byte in body:
                yield bytes([byte])
        case "endless_body":
            while True:
                yield b" " * CHUNK_BYTES
        case "gzip_bomb":
            # Spaces before a JSON document are allowed: who inflates it all gets the answer.
            gzip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
            for start in range(0, fault.size_bytes, CHUNK_BYTES):
                yield gzip.compress(b" " * min(CHUNK_BYTES, fault.size_bytes - start))
            yield gzip.compress(body) + gzip.flush()
        case _:
            yield body


def _edited(fault: Fault, body: bytes) -> bytes:
    answer: dict[str, Any] = json.loads(body)
    data = answer.get("data")
    if isinstance(data, dict):
        changed = {**cast(dict[str, Any], data), **fault.merge}
        answer["data"] = {key: changed[key] for key in changed if key not in fault.drop}
    return bytes(wire.Json(answer).body)


async def _send_body(send: Send, body: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
