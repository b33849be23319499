"""Media URLs: the sandbox's own, and what stands behind the URLs that clients send."""

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from kie_runway_sandbox.accounts import EXTENSION_S
from kie_runway_sandbox.clips import ClipOrder, ClipPart, ClipSpec
from kie_runway_sandbox.clock import Clock
from kie_runway_sandbox.tasks import Task
from kie_runway_sandbox.uploads import Uploads

DOWNLOAD_LINK_LIFETIME = timedelta(minutes=20)
"""How long a minted download link works (contract §10)."""

Part = Literal["video", "thumbnail"]
PART_FILES: Mapping[Part, str] = {"video": "video.mp4", "thumbnail": "cover.png"}
_PARTS: Mapping[str, Part] = {file: part for part, file in PART_FILES.items()}


@dataclass(frozen=True)
class TaskPart:
    """One of the two files that a finished task made."""

    task: Task
    part: Part


Located = Path | TaskPart | Literal["elsewhere", "unreachable"]
"""
What a URL leads to: an upload, a result, a public place that the sandbox takes on
trust and never asks, or nothing.
"""


@dataclass(frozen=True)
class _Link:
    found: TaskPart
    expires_at: datetime


class Media:
    """Knows which URL is whose."""

    def __init__(self, tasks: dict[str, Task], uploads: Uploads, clock: Clock) -> None:
        self.tasks = tasks
        self.uploads = uploads
        self.base_url = ""
        """Where the sandbox is served; set by whoever serves it, or by the first request."""
        self._clock = clock
        self._links: dict[str, _Link] = {}

    def url(self, task: Task, part: Part, base_url: str | None = None) -> str:
        """The address of a task's video or thumbnail, whether or not it exists."""
        return f"{base_url or self.base_url}/media/{task.task_id}/{PART_FILES[part]}"

    def find_part(self, task_id: str, file: str) -> TaskPart | None:
        """A result that can be downloaded now."""
        task = self.tasks.get(task_id)
        part = _PARTS.get(file)
        if task is None or part is None or task.state != "success":
            return None
        return None if task.media_expired(self._clock.now()) else TaskPart(task, part)

    def mint_link(self, found: TaskPart, base_url: str) -> str:
        """A link to a result that works for 20 minutes."""
        token = secrets.token_urlsafe(16)
        self._links[token] = _Link(found, self._clock.now() + DOWNLOAD_LINK_LIFETIME)
        return f"{base_url}/download/{token}/{PART_FILES[found.part]}"

    def find_link(self, token: str) -> TaskPart | None:
        """The result behind a minted link that still works."""
        link = self._links.get(token)
        return link.found if link and self._clock.now() < link.expires_at else None

    def locate(self, url: str) -> Located:
        """What a client's URL leads to, seen from KIE."""
        parts = urlsplit(url)
        own = urlsplit(self.base_url)
        hosts = (parts.hostname or "", own.hostname or "")
        same_host = hosts[0] == hosts[1] or all(_is_loopback(host) for host in hosts)
        if same_host and parts.port == own.port:
            return self._locate_own(parts.path)
        return "elsewhere" if _is_public(hosts[0]) else "unreachable"

    def _locate_own(self, path: str) -> Located:
        match path.removeprefix("/").split("/"):
            case ["files", *rest]:
                upload = self.uploads.get(unquote("/".join(rest)))
                if upload is None:
                    return "unreachable"
                return "elsewhere" if upload.is_placeholder else self.uploads.file(upload)
            case ["media", task_id, file]:
                return self.find_part(task_id, file) or "unreachable"
            case ["download", token, _]:
                return self.find_link(token) or "unreachable"
            case _:
                return "unreachable"

    def order(self, task: Task) -> ClipOrder:
        """What to draw for a task."""
        body = task.body
        source: Path | ClipPart | None = None
        ratio, duration_s = body.get("aspectRatio") or "", EXTENSION_S
        match task.kind:
            case "generate":
                duration_s = int(body["duration"])
                source = self._input(body.get("imageUrl"))
            case "extend":
                parent = self.tasks.get(task.parent_task_id)
                if parent is not None:
                    parent_order = self.order(parent)
                    source = ClipPart(parent_order, "video")
                    ratio = parent_order.spec.aspect_ratio
            case "aleph":
                source = self._input(body["videoUrl"])
        spec = ClipSpec(
            kind=task.kind,
            prompt=body["prompt"],
            duration_s=duration_s,
            quality=body.get("quality", "720p"),
            aspect_ratio=ratio,
            watermark=body.get("waterMark") or "",
            seed=body.get("seed"),
        )
        return ClipOrder(spec, source, self._input(body.get("referenceImage")))

    def _input(self, url: str | None) -> Path | ClipPart | None:
        located = self.locate(url) if url else None
        if isinstance(located, TaskPart):
            return ClipPart(self.order(located.task), located.part)
        return located if isinstance(located, Path) else None

    def clear(self) -> None:
        """Forget all links."""
        self._links.clear()


def is_loopback_url(url: str) -> bool:
    """Whether a URL stays on this machine."""
    return _is_loopback(urlsplit(url).hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_public(host: str) -> bool:
    """Whether a host looks as if KIE could reach it; no name is ever resolved."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        reserved = (".invalid", ".local", ".localhost", ".internal", ".test")
        return "." in host and not host.endswith(reserved)
