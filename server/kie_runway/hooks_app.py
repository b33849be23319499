"""Where KIE's callbacks arrive: POST /hooks/kie/{token}; nothing sent there is ever logged."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from kie_runway.errors import LedgerError
from kie_runway.signature import BadSignatureError
from kie_runway.webhooks import HOOKS_PATH, BadCallbackError, UnknownTokenError, Webhooks

log = logging.getLogger(__name__)

# `path` takes what has a slash in it, too, so that every wrong token gets the same answer.
HOOKS_ROUTE = HOOKS_PATH + "/{token:path}"
BODY_MAX_BYTES = 64 * 1024  # a callback has about one
BODY_DEADLINE_S = 10.0  # KIE gives a receiver 15 s
AT_ONCE = 32

_ANSWERS: Mapping[int, str] = {
    200: "received",
    400: "not a callback",
    401: "not signed with a known key",
    404: "not found",
    408: "too slow",
    413: "too large",
    503: "busy",
}


class HooksEndpoint:
    """
    Answers callbacks over HTTP, few at once: what is refused, KIE sends again.

    Args:
        webhooks: The open app's; asked for with each callback, since the app may not be open yet.
        deadline_s: How long a sender may take for the body.
    """

    def __init__(
        self,
        webhooks: Callable[[], Awaitable[Webhooks]],
        *,
        deadline_s: float = BODY_DEADLINE_S,
    ) -> None:
        self._webhooks = webhooks
        self._deadline_s = deadline_s
        self._under_way = 0

    async def receive(self, request: Request) -> Response:
        """Answer one callback; 200 means that it is stored."""
        if self._under_way >= AT_ONCE:
            return _answer(503)
        self._under_way += 1
        try:
            return _answer(await self._status(request))
        finally:
            self._under_way -= 1

    async def _status(self, request: Request) -> int:
        try:
            webhooks = await self._webhooks()
            entry = await webhooks.entry_of(request.path_params["token"])
            body = await self._body(request)
            await webhooks.receive(entry, request.headers.raw, body)
        except UnknownTokenError:
            return 404
        except BadSignatureError as exc:
            log.warning("a callback was refused", extra={"reason": str(exc)})
            return 401
        except BadCallbackError as exc:
            log.warning("a callback was refused", extra={"reason": str(exc)})
            return 400
        except _TooLargeError:
            return 413
        except (_TooSlowError, ClientDisconnect):
            return 408
        except LedgerError as exc:
            log.error("a callback could not be stored", extra={"reason": exc.reason})
            return 503
        return 200

    async def _body(self, request: Request) -> bytes:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > BODY_MAX_BYTES:
            raise _TooLargeError
        body = bytearray()
        try:
            async with asyncio.timeout(self._deadline_s):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > BODY_MAX_BYTES:
                        raise _TooLargeError
                    body += chunk
        except TimeoutError as exc:
            raise _TooSlowError from exc
        return bytes(body)


class _TooLargeError(Exception):
    """The body is longer than any callback."""


class _TooSlowError(Exception):
    """The body did not come in time."""


def _answer(status: int) -> Response:
    # A sender that was too slow would otherwise keep the connection, and go on.
    headers = {"Connection": "close"} if status == 408 else None
    return JSONResponse({"status": _ANSWERS[status]}, status, headers)
