"""
KIE's JSON, both ways: requests into its words, its answers into ours.

Unknown keys are ignored, a value of the wrong type counts as absent, and an answer that says
nothing usable raises `UnavailableError`; no answer can raise anything else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, cast

from pydantic import BaseModel, ConfigDict

from kie_runway.errors import UnavailableError
from kie_runway.models import (
    PROMPT_MAX_CHARS,
    AlephRequest,
    ExtendRequest,
    GenerateRequest,
    PaidRequest,
    TaskKind,
    TaskState,
    TaskUpdate,
)
from kie_runway.redaction import Redactor
from kie_runway.values import amount, integer, opaque_id, provider_text, utc_time, web_address

RAW_STATE_MAX_CHARS = 40

_STATES = {
    "wait": TaskState.WAIT,
    "waiting": TaskState.WAIT,  # this spelling and the next are those of KIE's other APIs
    "queuing": TaskState.QUEUEING,
    "queueing": TaskState.QUEUEING,
    "generating": TaskState.GENERATING,
    "success": TaskState.SUCCESS,
    "fail": TaskState.FAIL,
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    What every answer of KIE is wrapped in (contract §1).

    Attributes:
        code: KIE's own status; 200 is the only success.
        message: `msg` as received, neither trusted nor cleaned.
        data: The answer itself.
        success: The upload host's extra flag; None where there is none.
    """

    code: int
    message: object
    data: object
    success: bool | None


class Uploaded(BaseModel):
    """
    A file that KIE now serves in public, for 24 hours (contract §9).

    Whoever has `url` can read the file, and the address shows the account's number.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    file_name: str | None = None
    size_bytes: int | None = None
    mime_type: str | None = None


def request_body(request: PaidRequest, callback_url: str | None) -> dict[str, object]:
    """The JSON of a paid request (contract §3-5): only what is set, never an empty string."""
    body: dict[str, object | None]
    match request:
        case GenerateRequest():
            body = {
                "prompt": request.prompt,
                "duration": request.duration,
                "quality": request.quality,
                # With an image KIE takes its ratio and leaves this field void.
                "aspectRatio": None if request.image_url else request.aspect_ratio,
                "imageUrl": request.image_url,
            }
        case ExtendRequest():
            body = {
                "taskId": request.task_id,
                "prompt": request.prompt,
                "quality": request.quality,
            }
        case AlephRequest():
            body = {
                "prompt": request.prompt,
                "videoUrl": request.video_url,
                "aspectRatio": request.aspect_ratio,
                "seed": request.seed,
                "referenceImage": request.reference_image_url,
                "uploadCn": request.upload_cn,
            }
    body |= {"waterMark": request.watermark, "callBackUrl": callback_url or None}
    return {name: value for name, value in body.items() if value is not None}


def read_envelope(body: bytes) -> Envelope | None:
    """The envelope of an answer, or None when the body is something else."""
    fields = _object(_parsed(body))
    code = integer(fields.get("code"))
    if code is None:
        return None
    success = fields.get("success")
    return Envelope(
        code=code,
        message=fields.get("msg"),
        data=fields.get("data"),
        success=success if isinstance(success, bool) else None,
    )


def read_created(data: object) -> str | None:
    """The id of a task that KIE accepted; None when there is none to look it up with."""
    return opaque_id(_object(data).get("taskId"))


def read_credits(data: object) -> Decimal:
    """
    The balance; KIE documents an integer and sends fractions (contract §10).

    Raises:
        UnavailableError: It is not a number.
    """
    number = amount(data)
    if number is None:
        raise UnavailableError("KIE's answer holds no credit balance.")
    return number


def read_download_url(data: object) -> str:
    """
    The temporary address of a file that KIE generated (contract §10).

    Raises:
        UnavailableError: It is not an address.
    """
    url = web_address(data)
    if url is None:
        raise UnavailableError("KIE's answer holds no download address.")
    return url


def read_uploaded(data: object) -> Uploaded:
    """
    Where an uploaded file lies now (contract §9: two generations of field names).

    Raises:
        UnavailableError: The answer holds no usable address.
    """
    fields = _object(data)
    url = web_address(fields.get("downloadUrl")) or web_address(fields.get("fileUrl"))
    if url is None:
        raise UnavailableError("KIE's answer holds no address of the uploaded file.")
    return Uploaded(
        url=url,
        file_name=provider_text(fields.get("fileName")),
        size_bytes=integer(fields.get("fileSize")),
        mime_type=provider_text(fields.get("mimeType")),
    )


def read_task(
    kind: TaskKind, task_id: str, data: object, *, redact: Redactor | None = None
) -> TaskUpdate | None:
    """
    What a look-up's `data` says (contract §6).

    Args:
        kind: Chooses between record-detail (generate, extend) and record-info (aleph).
        task_id: The id that was asked for.
        data: Of the envelope.
        redact: Masks secrets in provider text.

    Returns:
        None when KIE does not show the task: it is unknown, foreign, too new or too old.

    Raises:
        UnavailableError: The answer says nothing usable about this task. That includes a record
            of another task: taken as "not shown", it could make a paid task look lost.
    """
    if data is None:
        return None
    record = _object(data)
    if not record:
        raise UnavailableError("KIE's answer holds no task record.")
    if opaque_id(record.get("taskId")) not in (None, task_id):
        raise UnavailableError("KIE answered with the record of another task.")
    read = _read_aleph if kind is TaskKind.ALEPH else _read_runway
    return read(task_id, record, redact)


def _read_runway(task_id: str, record: Mapping[str, object], redact: Redactor | None) -> TaskUpdate:
    word = record.get("state")
    raw = provider_text(str(word) if integer(word) is not None else word, redact=redact)
    if raw is None:
        raise UnavailableError("KIE's answer holds no state of the task.")
    video = _object(record.get("videoInfo"))
    video_url = web_address(video.get("videoUrl"))
    raw_state: str | None = None
    match _STATES.get(raw.lower()):
        case None:
            state, raw_state = TaskState.GENERATING, raw[:RAW_STATE_MAX_CHARS]
        case TaskState.SUCCESS if integer(record.get("expireFlag")) == 1:
            state = TaskState.EXPIRED
        case TaskState.SUCCESS if video_url is None:
            # Not a success before there is something to show (contract §6.2).
            state, raw_state = TaskState.GENERATING, TaskState.SUCCESS.value
        case known:
            state = known
    parameters = _parameters(record.get("generateParam"))
    # KIE names no zone here, so a time without one stays unknown (contract §14.9).
    generated_at = utc_time(record.get("generateTime"), without_zone=None)
    return TaskUpdate(
        task_id=task_id,
        state=state,
        raw_state=raw_state,
        video_url=video_url,
        thumbnail_url=web_address(video.get("imageUrl")),
        parent_task_id=opaque_id(record.get("parentTaskId")),
        prompt=_prompt(parameters),
        parameters=parameters,
        fail_code=integer(record.get("failCode")) or None,
        fail_message=provider_text(record.get("failMsg"), redact=redact),
        completed_at=generated_at if state.is_terminal else None,
    )


def _read_aleph(task_id: str, record: Mapping[str, object], redact: Redactor | None) -> TaskUpdate:
    response = _object(record.get("response"))
    video_url = web_address(response.get("resultVideoUrl"))
    fail_code = integer(record.get("errorCode")) or None
    fail_message = provider_text(record.get("errorMessage"), redact=redact)
    parameters = _parameters(record.get("paramJson"))
    word = record.get("successFlag")
    flag = integer(word)
    raw_state: str | None = None
    # The flags' meanings are those of KIE's sister endpoints, in part recorded (contract §6.3).
    match flag:
        case 1 if video_url is None:
            state, raw_state = TaskState.GENERATING, TaskState.SUCCESS.value
        case 1:
            state = TaskState.SUCCESS
        case 4 if video_url is not None:  # only KIE's callback failed
            state = TaskState.SUCCESS
        case int() if flag >= 2:
            state = TaskState.FAIL
        case 0 | None if fail_code is not None or fail_message is not None:
            state = TaskState.FAIL
        case 0:
            state = TaskState.GENERATING
        case _:
            state = TaskState.GENERATING
            raw = provider_text(word if flag is None else str(flag), redact=redact)
            raw_state = raw[:RAW_STATE_MAX_CHARS] if raw else None
    return TaskUpdate(
        task_id=task_id,
        state=state,
        raw_state=raw_state,
        video_url=video_url,
        thumbnail_url=web_address(response.get("resultImageUrl")),
        prompt=_prompt(parameters),
        parameters=parameters,
        fail_code=fail_code,
        fail_message=fail_message,
        completed_at=utc_time(record.get("completeTime")) if state.is_terminal else None,
    )


def agrees(request: PaidRequest, update: TaskUpdate) -> bool:
    """
    Whether a task is what a request asked for, as far as KIE recorded it.

    The prompt must be there and the same; so must be whatever else KIE repeats of the request.
    """
    sent, recorded = request_body(request, None), update.parameters
    if isinstance(request, ExtendRequest) and update.parent_task_id not in (None, request.task_id):
        return False
    return _words(recorded.get("prompt")) == _words(sent["prompt"]) and all(
        _same(sent.get(name), value)
        for name, value in recorded.items()
        if name != "prompt" and (name in sent or name in _MEDIA)
    )


def _words(prompt: object) -> list[str] | None:
    """A prompt without its white space, which may not come back as it was."""
    return prompt.split() if isinstance(prompt, str) else None


_MEDIA: Final = ("imageUrl", "videoUrl", "referenceImage")


def _same(sent: object, recorded: object) -> bool:
    """Numbers may come back as text, and what was left out as nothing or as an empty text."""
    return recorded in (None, "") or str(sent).lower() == str(recorded).lower()


def _parameters(recorded: object) -> Mapping[str, object]:
    """The request as KIE recorded it; `paramJson` is JSON in a string, `generateParam` is not."""
    return _object(_parsed(recorded) if isinstance(recorded, str) else recorded)


def _prompt(parameters: Mapping[str, object]) -> str | None:
    prompt = parameters.get("prompt")
    if not isinstance(prompt, str):
        return None
    # Half a character pair or a NUL cannot be stored; neither is in a prompt that we sent.
    storable = prompt[:PROMPT_MAX_CHARS].encode("utf-8", "replace").decode().replace("\x00", "")
    return storable or None


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
