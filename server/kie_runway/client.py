"""
KieClient: the HTTP core, and the only module that speaks to KIE.

Section numbers are those of the wire contract.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, BinaryIO, Final, Literal, Self

import httpx
from pydantic import SecretStr

from kie_runway.answers import NOT_VISIBLE, Use, failure
from kie_runway.errors import (
    BadInputError,
    NoKeyError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
    UnavailableError,
    WrongKeyError,
)
from kie_runway.exchange import NOT_SENT, Exchange
from kie_runway.models import PaidRequest, TaskKind, TaskUpdate
from kie_runway.redaction import Redactor
from kie_runway.values import provider_text, web_address
from kie_runway.wire import (
    Envelope,
    Uploaded,
    read_created,
    read_credits,
    read_download_url,
    read_envelope,
    read_task,
    read_uploaded,
    request_body,
)

# For one request as a whole: a peer that sends a byte now and then meets no other time-out.
CREATE_DEADLINE_S = 62.0  # a shutdown waits a little longer
READ_DEADLINE_S = 20.0
UPLOAD_DEADLINE_S = 300.0
MAX_RETRIES = 2
BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 8.0
RETRIES_SAVED_UP = 10  # what an outage may cost at once ...
SUCCESSES_PER_RETRY = 10  # ... and what earns one more, so retries stay below a tenth
FILE_NAME_MAX_CHARS = 200

_FULL_QUOTA = RETRIES_SAVED_UP * SUCCESSES_PER_RETRY
_CREATE_PATHS: Final = {
    TaskKind.GENERATE: "/api/v1/runway/generate",
    TaskKind.EXTEND: "/api/v1/runway/extend",
    TaskKind.ALEPH: "/api/v1/aleph/generate",
}
_LOOK_UP_PATHS: Final = {
    TaskKind.GENERATE: "/api/v1/runway/record-detail",
    TaskKind.EXTEND: "/api/v1/runway/record-detail",
    TaskKind.ALEPH: "/api/v1/aleph/record-info",
}
_UPLOAD_PATH: Final = re.compile(r"[A-Za-z0-9_-]{1,100}(/[A-Za-z0-9_-]{1,100}){0,5}")
_MIME_TYPE: Final = re.compile(r"[A-Za-z0-9.+-]{1,100}/[A-Za-z0-9.+-]{1,100}")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """
    The longest that one request may take, from connecting to the last byte, in seconds.

    Time in which the process stood still counts for a second at most (`patience`).
    """

    create_s: float = CREATE_DEADLINE_S
    read_s: float = READ_DEADLINE_S
    upload_s: float = UPLOAD_DEADLINE_S


class KieClient:
    """
    KIE's API as typed calls (contract §3-6, §9, §10).

    A paid request is sent once and never again: what is not clear afterwards is an
    `OutcomeUnknownError`. What costs nothing and changes nothing is tried up to three times.

    Calls raise `NoKeyError` without a key and `WrongKeyError` with one that cannot be a key, both
    before anything is sent. The key is in no exception and no log line. Environment variables
    for proxies and certificates are ignored, for every call alike.
    """

    def __init__(
        self,
        api_key: SecretStr | None,
        *,
        api_url: str,
        upload_url: str,
        user_agent: str,
        transport: httpx.AsyncBaseTransport | None = None,
        deadlines: Deadlines | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Prepare; nothing is opened before the first call.

        Args:
            api_key: White space around it is ignored.
            api_url: Base URL without a slash at its end.
            upload_url: The same for the file upload host.
            user_agent: KIE's CDN blocks clients that send none.
            transport: Replaces the network, paid requests included; for tests.
            deadlines: Per request.
            sleep: Waits the given seconds before a retry.
            jitter: A number from 0 to 1 that spreads retries.

        Raises:
            ValueError: The user agent cannot be sent in a header.
        """
        if not _is_header_text(user_agent):
            raise ValueError("The user agent takes printable ASCII characters only.")
        self._key = api_key.get_secret_value().strip() if api_key is not None else ""
        self._redact = Redactor([SecretStr(self._key)])
        self._api_url = api_url
        self._upload_url = upload_url
        self._user_agent = user_agent
        self._exchange = Exchange(transport)
        self._deadlines = deadlines or Deadlines()
        self._sleep = sleep
        self._jitter = jitter
        self._retry_quota = _FULL_QUOTA  # counted in successes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the kept connections; a later call would open new ones."""
        await self._exchange.aclose()

    def require_key(self) -> None:
        """
        Return if there is a key that could be sent.

        Raises:
            NoKeyError: None is configured.
            WrongKeyError: It holds characters that no key has.
        """
        if not self._key:
            raise NoKeyError(
                "No KIE API key is configured: make one at https://kie.ai/api-key and set "
                "KIE_API_KEY, or start the server with --sandbox to try everything for free."
            )
        if not _is_header_text(self._key) or " " in self._key:
            raise WrongKeyError(
                "KIE_API_KEY holds characters that no key has: copy it again from "
                "https://kie.ai/api-key."
            )

    async def create(self, request: PaidRequest, *, callback_url: str | None = None) -> str:
        """
        Start a paid task with at most one POST, within 62 seconds (contract §3-5).

        Args:
            request: Its kind chooses the endpoint.
            callback_url: Where KIE reports the end; None sends no such field.

        Returns:
            KIE's id of the task.

        Raises:
            NotSentError: Certainly not sent; it may be sent again.
            OutcomeUnknownError: Sent, and perhaps billed. Never send it again.
            RateLimitedError: Refused, not queued.
            KieError: Refused for another reason, told by the subclass; nothing was billed.
        """
        envelope = await self._request(
            Use.PAID,
            "POST",
            self._api_url + _CREATE_PATHS[request.kind],
            self._deadlines.create_s,
            json=request_body(request, callback_url),
        )
        task_id = read_created(envelope.data)
        if task_id is None:
            raise OutcomeUnknownError(
                "KIE accepted the request without a usable task id.",
                message=self._text(envelope.message),
                body_code=envelope.code,
            )
        return task_id

    async def look_up(self, kind: TaskKind, task_id: str) -> TaskUpdate | None:
        """
        How a task stands (contract §6).

        Returns:
            None when KIE does not show it: the id is unknown, foreign, too new or too old.

        Raises:
            GenerationFailedError: The task is over without a video.
            RateLimitedError: Look later, after `retry_after_s` where KIE says so.
            UnavailableError: No usable answer; this says nothing about the task.
            KieError: Refused for another reason, told by the subclass.
        """
        try:
            data = await self._read(
                Use.LOOK_UP, "GET", _LOOK_UP_PATHS[kind], params={"taskId": task_id}
            )
        except RefusedError as exc:
            if exc.body_code in NOT_VISIBLE:
                return None
            raise
        return read_task(kind, task_id, data, redact=self._redact)

    async def credits(self, *, patient: bool = True) -> Decimal:
        """
        The account's balance in credits, which may be fractional (contract §10).

        Args:
            patient: Ask again after a failure.

        Raises:
            UnavailableError: No usable answer.
            KieError: Refused, told by the subclass.
        """
        tries = MAX_RETRIES if patient else 0
        return read_credits(
            await self._read(Use.READ, "GET", "/api/v1/chat/credit", max_retries=tries)
        )

    async def download_url(self, url: str) -> str:
        """
        An address, valid for 20 minutes, of a file that KIE generated (contract §10).

        Raises:
            RefusedError: Not a file of KIE's, it says; the original URL is all there is.
            UnavailableError: No usable answer.
            KieError: Refused for another reason, told by the subclass.
        """
        return read_download_url(
            await self._read(Use.READ, "POST", "/api/v1/common/download-url", json={"url": url})
        )

    async def upload_stream(
        self, file: BinaryIO, *, file_name: str, mime_type: str, upload_path: str
    ) -> Uploaded:
        """
        Upload an open file in pieces, from its beginning, within 5 minutes (contract §9).

        The same name again overwrites, and the address is public: choose random names.

        Args:
            file: Stays open; reading it blocks for a moment at a time.
            file_name: With an extension; 1 to 200 printable characters, no slashes.
            mime_type: Such as `video/mp4`.
            upload_path: Letters, digits, `-` and `_`, in up to six parts between slashes.

        Raises:
            BadInputError: A name breaks these rules; nothing was sent.
            RefusedError: KIE does not take the file.
            UnavailableError: No usable answer; uploading again is free.
            KieError: Refused for another reason, told by the subclass.
        """
        if not _MIME_TYPE.fullmatch(mime_type):
            raise BadInputError("`mime_type` must look like video/mp4.")
        return await self._upload(
            "/api/file-stream-upload",
            data=_upload_fields(file_name, upload_path),
            files={"file": (file_name, file, mime_type)},
        )

    async def upload_base64(self, data: str, *, file_name: str, upload_path: str) -> Uploaded:
        """
        Upload up to 10 MB in Base64, plain or as a `data:` URL (contract §9).

        Names and errors are those of `upload_stream`.
        """
        if not data or not data.isascii():
            raise BadInputError("`data` must be Base64 text.")
        return await self._upload(
            "/api/file-base64-upload",
            json={"base64Data": data, **_upload_fields(file_name, upload_path)},
        )

    async def upload_url(self, url: str, *, file_name: str, upload_path: str) -> Uploaded:
        """
        Let KIE fetch up to 100 MB from a public URL, within 30 seconds (contract §9).

        Names and errors are those of `upload_stream`.
        """
        if web_address(url) is None:
            raise BadInputError("`url` must be a public http(s) URL.")
        return await self._upload(
            "/api/file-url-upload",
            json={"fileUrl": url, **_upload_fields(file_name, upload_path)},
        )

    async def _upload(self, path: str, **content: Any) -> Uploaded:
        envelope = await self._request(
            Use.UPLOAD, "POST", self._upload_url + path, self._deadlines.upload_s, **content
        )
        if envelope.success is False:
            raise UnavailableError(
                "KIE contradicts itself: code 200, but no success.",
                message=self._text(envelope.message),
                body_code=envelope.code,
            )
        return read_uploaded(envelope.data)

    async def _read(
        self,
        use: Use,
        method: Literal["GET", "POST"],
        path: str,
        *,
        max_retries: int = MAX_RETRIES,
        **content: Any,
    ) -> object:
        """The `data` of an answer to a call that may be repeated."""
        attempt = 0
        while True:
            try:
                envelope = await self._request(
                    use, method, self._api_url + path, self._deadlines.read_s, **content
                )
            except UnavailableError:
                if attempt >= max_retries or self._retry_quota < SUCCESSES_PER_RETRY:
                    raise
            else:
                self._retry_quota = min(_FULL_QUOTA, self._retry_quota + 1)
                return envelope.data
            self._retry_quota -= SUCCESSES_PER_RETRY
            pause_s = BACKOFF_MIN_S * 2**attempt * (1 + self._jitter())
            await self._sleep(min(pause_s, BACKOFF_MAX_S))
            attempt += 1

    async def _request(
        self,
        use: Use,
        method: Literal["GET", "POST"],
        url: str,
        deadline_s: float,
        **content: Any,
    ) -> Envelope:
        """
        One request, one envelope with code 200, or the error that it amounts to.

        Args:
            use: Says what an unclear end means, and whether the connection may be a kept one.
            method: Of HTTP.
            url: Whole.
            deadline_s: For the request and its answer.
            content: `params`, `json`, or `data` and `files`, as httpx takes them.
        """
        self.require_key()
        send = self._exchange.pooled if use.may_be_repeated else self._exchange.fresh
        headers = {
            "Authorization": f"Bearer {self._key}",
            "User-Agent": self._user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        # `from None`: the words of these errors can quote the peer, which may quote the key.
        try:
            answer = await send(deadline_s, method=method, url=url, headers=headers, **content)
        except NOT_SENT as exc:
            reason = f"KIE could not be reached ({type(exc).__name__})."
            raise (NotSentError if use is Use.PAID else UnavailableError)(reason) from None
        except Exception as exc:
            # Whatever else broke, the request may have left.
            reason = f"KIE's answer did not arrive ({type(exc).__name__})."
            if use is Use.PAID:
                raise OutcomeUnknownError(reason) from None
            raise UnavailableError(reason) from None
        envelope = read_envelope(answer.body) if answer.body is not None else None
        code = envelope.code if envelope is not None else None
        message = self._text(envelope.message) if envelope is not None else None
        failed = failure(answer, code, message, use)
        if failed is not None:
            if isinstance(failed, OutcomeUnknownError) and envelope is not None:
                named = read_created(envelope.data)
                if named is not None:  # an id is worth keeping, whatever stands around it
                    failed.reason += f" KIE named the task {named}: look at that one."
            raise failed
        assert envelope is not None  # or the code would be None, which is a failure
        return envelope

    def _text(self, value: object) -> str | None:
        return provider_text(value, redact=self._redact)


def _is_header_text(text: str) -> bool:
    return bool(text.strip()) and text.isascii() and text.isprintable()


def _upload_fields(file_name: str, upload_path: str) -> Mapping[str, str]:
    if (
        not 1 <= len(file_name) <= FILE_NAME_MAX_CHARS
        or not file_name.isprintable()
        or not file_name.strip(". ")
        or set(file_name) & {"/", "\\"}
    ):
        raise BadInputError("`file_name` takes 1 to 200 printable characters without slashes.")
    if not _UPLOAD_PATH.fullmatch(upload_path):
        raise BadInputError(
            "`upload_path` takes names of letters, digits, - and _ between slashes."
        )
    return {"uploadPath": upload_path, "fileName": file_name}
