"""Callbacks: what is posted when a task ends, how it is signed, how often it is tried."""

import asyncio
import base64
import hashlib
import hmac
import time
from typing import Any

import httpx

from kie_runway_sandbox import wire
from kie_runway_sandbox.log import Log
from kie_runway_sandbox.media import Media, is_loopback_url
from kie_runway_sandbox.options import SandboxOptions, SwitchBoard
from kie_runway_sandbox.tasks import Task

ALL_GENERATED = "All generated successfully."  # §7.1


def sign(key: str, task_id: str, timestamp: int) -> str:
    """`X-Webhook-Signature` (contract §8): covers the id and the time, not the body."""
    message = f"{task_id}.{timestamp}".encode()
    return base64.b64encode(hmac.digest(key.encode(), message, hashlib.sha256)).decode()


def payload(task: Task, media: Media, *, aleph_layout: str = "documented") -> dict[str, Any]:
    """The body of a finished task's callback (§7.1 to §7.3)."""
    failed = task.failure is not None
    code = task.failure.code if task.failure else 200
    message = task.failure.message if task.failure else ALL_GENERATED
    video = "" if failed else media.url(task, "video")
    image = "" if failed else media.url(task, "thumbnail")
    if task.kind == "aleph" and aleph_layout == "documented":
        return {
            "code": code,
            "msg": message if failed else "success",
            "data": None if failed else {"result_video_url": video, "result_image_url": image},
            "taskId": task.task_id,
        }
    if failed and task.kind == "extend":
        return {"code": code, "msg": message, "data": {"task_id": task.task_id}}
    return {
        "code": code,
        "msg": message,
        "data": {
            "task_id": task.task_id,
            "video_id": "" if failed else task.video_id,
            "video_url": video,
            "image_url": image,
        },
    }


class Callbacks:
    """Delivers callbacks (§7.4)."""

    def __init__(self, options: SandboxOptions, board: SwitchBoard, media: Media, log: Log) -> None:
        self._options = options
        self._board = board
        self._media = media
        self._log = log

    async def deliver(self, task: Task) -> None:
        """Post a task's end until it is acknowledged or the attempts are used up."""
        url = task.callback_url
        if url is None:
            return
        if not (self._options.callbacks_anywhere or is_loopback_url(url)):
            self._give_up(task, "the sandbox calls back on loopback only")
            return
        switches = self._board.switches
        body = payload(task, self._media, aleph_layout=switches.aleph_callback)
        # trust_env=False: a proxy from the environment would take the loopback away.
        async with httpx.AsyncClient(
            timeout=self._options.callback_timeout_s, trust_env=False
        ) as client:
            for attempt in range(1, switches.callback_attempts + 1):
                if await self._post(client, url, task, body, attempt):
                    if switches.duplicate_callbacks:
                        await self._post(client, url, task, body, attempt + 1)
                    return
                if attempt < switches.callback_attempts:
                    await asyncio.sleep(self._options.callback_spacing_s)
        self._give_up(task, "not acknowledged")

    async def _post(
        self, client: httpx.AsyncClient, url: str, task: Task, body: dict[str, Any], attempt: int
    ) -> bool:
        headers = {"Content-Type": "application/json"}
        key = self._board.switches.webhook_key
        if key is not None:
            # Not the sandbox's clock: the receiver checks freshness against the real one.
            timestamp = int(time.time())
            headers["X-Webhook-Timestamp"] = str(timestamp)
            headers["X-Webhook-Signature"] = sign(key, task.task_id, timestamp)
        content = bytes(wire.Json(body).body)
        try:
            # The whole exchange has to fit: httpx alone would allow that long for each read.
            async with asyncio.timeout(self._options.callback_timeout_s):
                response = await client.post(url, content=content, headers=headers)
            result = str(response.status_code)
        except TimeoutError:
            result = "TimeoutError"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            result = type(error).__name__
        self._log.add(
            "callback",
            account=task.account,
            task_id=task.task_id,
            url=url,
            attempt=attempt,
            body=body,
            result=result,
            acknowledged=result == "200",
        )
        return result == "200"

    def _give_up(self, task: Task, why: str) -> None:
        self._log.add(
            "callback_not_delivered",
            account=task.account,
            task_id=task.task_id,
            url=task.callback_url,
            reason=why,
        )
