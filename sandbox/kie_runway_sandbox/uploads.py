"""Uploaded input files (contract §9): stored by content, served for a day or three."""

import base64
import binascii
import hashlib
import mimetypes
import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import TypeAdapter

from kie_runway_sandbox.clips import STAND_IN_THUMBNAIL
from kie_runway_sandbox.clock import Clock, epoch_ms
from kie_runway_sandbox.log import Log
from kie_runway_sandbox.options import SwitchBoard
from kie_runway_sandbox.store import Store

RETENTION = {"24h": timedelta(hours=24), "3d": timedelta(days=3)}
RANDOM_NAME_CHARS = string.ascii_lowercase + string.digits


class UploadRefused(Exception):
    """An upload that KIE answers with a real HTTP error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Upload:
    """One uploaded file."""

    path: str
    """`kieai/<account number>/<uploadPath>/<fileName>`, the key under which it is served."""
    file: str
    """Name in the upload folder, made from the content: no client's path touches the disk."""
    size_bytes: int
    mime_type: str
    uploaded_at: datetime
    is_placeholder: bool = False
    """Stands for a file elsewhere, which the sandbox does not fetch."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


UPLOAD = TypeAdapter(Upload)


class Uploads:
    """All uploads of all accounts."""

    def __init__(
        self, directory: Path, board: SwitchBoard, clock: Clock, store: Store, log: Log
    ) -> None:
        self.directory = directory
        self._board = board
        self._clock = clock
        self._store = store
        self._log = log
        self._uploads = {upload.path: upload for upload in store.load("uploads", UPLOAD)}

    def add(
        self,
        account: int,
        upload_path: object,
        file_name: object,
        content: bytes,
        *,
        mime_type: str | None = None,
        is_placeholder: bool = False,
    ) -> Upload:
        """
        Store a file; the same path again replaces it.

        Raises:
            UploadRefused: 400, `uploadPath` or `fileName` is missing or unusable.
        """
        folder = _checked_folder(upload_path)
        mime_type = sniff(content) or mime_type or _guess(file_name) or "application/octet-stream"
        now = self._clock.now()
        name = _checked_name(file_name) or _random_name(now, mime_type)
        file = hashlib.sha256(content).hexdigest()
        (self.directory / file).write_bytes(content)
        upload = Upload(
            f"kieai/{account}/{folder}/{name}", file, len(content), mime_type, now, is_placeholder
        )
        self._uploads[upload.path] = upload
        self._store.put("uploads", upload.path, UPLOAD, upload)
        self._log.add("upload", account=account, path=upload.path, size_bytes=upload.size_bytes)
        return upload

    def get(self, path: str) -> Upload | None:
        """An upload by its path, unless its time is over."""
        upload = self._uploads.get(path)
        retention = RETENTION[self._board.switches.upload_retention]
        if upload is None or self._clock.now() - upload.uploaded_at >= retention:
            return None
        return upload

    def file(self, upload: Upload) -> Path:
        """Where the bytes are."""
        return self.directory / upload.file

    def clear(self) -> None:
        """Forget all uploads; the store is cleared by its owner."""
        self._uploads.clear()


def download_url(base_url: str, upload: Upload) -> str:
    """The public address of an upload."""
    return f"{base_url}/files/{quote(upload.path)}"


def decode_base64(text: object) -> tuple[bytes, str | None]:
    """
    The bytes of plain Base64 or a data URL, and the data URL's type.

    Raises:
        UploadRefused: 400, not Base64.
    """
    if not isinstance(text, str) or not text:
        raise UploadRefused(400, "Missing required parameter: base64Data")
    mime_type = None
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        mime_type = head.removeprefix("data:").partition(";")[0] or None
    try:
        return base64.b64decode(text, validate=True), mime_type
    except (binascii.Error, ValueError) as error:
        raise UploadRefused(400, "Base64 decoding failed: Invalid Base64 format") from error


def placeholder(url: str) -> tuple[bytes, str]:
    """Bytes and file name that stand for a file elsewhere."""
    return STAND_IN_THUMBNAIL, urlsplit(url).path.rpartition("/")[2] or "file.png"


def sniff(content: bytes) -> str | None:
    """The type of the media that this API takes, by their first bytes."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content[4:8] == b"ftyp":
        return "video/mp4"
    return None


def upload_json(base_url: str, upload: Upload) -> dict[str, Any]:
    """The recorded answer's `data` (§9)."""
    return {
        "success": True,
        "fileName": upload.name,
        "filePath": upload.path,
        "downloadUrl": download_url(base_url, upload),
        "fileSize": upload.size_bytes,
        "mimeType": upload.mime_type,
        "uploadedAt": upload.uploaded_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _checked_folder(upload_path: object) -> str:
    if not isinstance(upload_path, str) or not upload_path:
        raise UploadRefused(400, "Missing required parameter: uploadPath")
    if upload_path.startswith("/") or upload_path.endswith("/"):
        raise UploadRefused(400, "Invalid parameter: uploadPath must not begin or end with a slash")
    return upload_path


def _checked_name(file_name: object) -> str | None:
    if file_name is None or file_name == "":
        return None
    if not isinstance(file_name, str) or "/" in file_name:
        raise UploadRefused(400, "Invalid parameter: fileName")
    return file_name


def _guess(file_name: object) -> str | None:
    return mimetypes.guess_type(file_name)[0] if isinstance(file_name, str) else None


def _random_name(now: datetime, mime_type: str) -> str:
    """As recorded: `<epoch ms>-<11 characters>.<extension>`."""
    token = "".join(secrets.choice(RANDOM_NAME_CHARS) for _ in range(11))
    return f"{epoch_ms(now)}-{token}{mimetypes.guess_extension(mime_type) or ''}"
