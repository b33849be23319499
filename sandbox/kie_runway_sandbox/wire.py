"""The shapes of KIE's answers."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import Response

from kie_runway_sandbox.clock import epoch_ms
from kie_runway_sandbox.media import Media
from kie_runway_sandbox.options import Switches
from kie_runway_sandbox.tasks import Task

NO_ACCESS = "You do not have access permissions"  # §1
NO_CREDITS = (  # quoted from a run log (§2.3)
    "Credits insufficient : Your current balance isn\u2019t enough to run this request."
    " Please top up to continue."
)


class Json(Response):
    """A JSON answer with KIE's content type."""

    media_type = "application/json;charset=UTF-8"

    def __init__(
        self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status_code, headers)

    def render(self, content: Any) -> bytes:
        """Compact, UTF-8."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def success(data: object) -> dict[str, Any]:
    """The envelope of everything that went well."""
    return {"code": 200, "msg": "success", "data": data}


def refusal(code: int, message: str) -> dict[str, Any]:
    """The envelope of everything else."""
    if code == 401:
        return {"code": code, "msg": message}  # documented without `data` (§1)
    return {"code": code, "msg": message, "data": None}


def runway_record(
    task: Task, switches: Switches, media: Media, base_url: str, now: datetime
) -> dict[str, Any]:
    """`data` of record-detail (§6.2, §13.5)."""
    return {
        "taskId": task.task_id,
        "parentTaskId": task.parent_task_id,
        "generateParam": {
            key: task.body[key]
            for key in ("prompt", "imageUrl", "expandPrompt")
            if key in task.body
        },
        "state": task.state,
        "generateTime": _generate_time(task.finished_at or task.created_at, switches),
        "videoInfo": _video_info(task, switches, media, base_url),
        **_fail_fields(task, switches),
        "expireFlag": int(task.media_expired(now)),
    }


def _generate_time(moment: datetime, switches: Switches) -> str | int | None:
    match switches.generate_time:
        case "text":
            return moment.strftime("%Y-%m-%d %H:%M:%S")
        case "epoch_ms":
            return epoch_ms(moment)
        case "null":
            return None


def _video_info(
    task: Task, switches: Switches, media: Media, base_url: str
) -> dict[str, str] | None:
    if task.state == "success":
        return {
            "videoId": task.video_id,
            "taskId": task.task_id,
            "videoUrl": media.url(task, "video", base_url),
            "imageUrl": media.url(task, "thumbnail", base_url),
        }
    if switches.pending_video_info == "empty":
        return {"videoId": "", "taskId": "", "videoUrl": "", "imageUrl": ""}
    return None


def _fail_fields(task: Task, switches: Switches) -> dict[str, Any]:
    if task.state == "fail" and task.failure is not None:
        code = task.failure.code
        return {
            "failCode": str(code) if switches.fail_code_type == "text" else code,
            "failMsg": task.failure.message,
        }
    return {"failCode": None, "failMsg": "" if task.state == "success" else None}


def aleph_record(task: Task, switches: Switches, media: Media, base_url: str) -> dict[str, Any]:
    """`data` of record-info (§6.3, §13.6), keys in the recorded order."""
    response = None
    flag = 0
    if task.state == "success":
        flag = 1
        response = {
            "taskId": task.task_id,
            "resultVideoUrl": media.url(task, "video", base_url),
            "resultImageUrl": media.url(task, "thumbnail", base_url),
        }
    elif task.state == "fail":
        flag = switches.aleph_failed_flag
    return {
        "taskId": task.task_id,
        "paramJson": json.dumps(task.body, separators=(",", ":")),
        "response": response,
        "completeTime": _aleph_time(task.finished_at, switches),
        "createTime": _aleph_time(task.created_at, switches),
        "successFlag": flag,
        **_error_fields(task, switches),
    }


def _aleph_time(moment: datetime | None, switches: Switches) -> int | str | None:
    if moment is None:
        return None
    if switches.aleph_times == "iso":
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return epoch_ms(moment)


def _error_fields(task: Task, switches: Switches) -> dict[str, Any]:
    if task.state == "fail" and task.failure is not None:
        return {"errorCode": task.failure.code, "errorMessage": task.failure.message}
    if switches.aleph_error_code == "null":
        return {"errorCode": None, "errorMessage": None}
    return {"errorCode": switches.aleph_error_code, "errorMessage": ""}
