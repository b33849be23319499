"""Local files on their way to KIE: opened, told by their bytes, uploaded under random names."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync

from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.errors import BadInputError, KieError, NoUploadRootsError, UnavailableError
from kie_runway.given import Given, LocalFile
from kie_runway.media_types import JPEG, MP4, PNG, WEBP, media_type
from kie_runway.models import PaidRequest
from kie_runway.roots import open_within, root_of

UPLOAD_MAX_BYTES: Final = 10_000_000  # contract §3, §5
RETENTION: Final = timedelta(hours=24)  # contract §9 also speaks of 3 days
MIN_LIFETIME: Final = timedelta(hours=4)  # for a task to be sent, and KIE to fetch the file

_EXTENSIONS: Final = {JPEG: "jpg", PNG: "png", WEBP: "webp", MP4: "mp4"}
# A file that KIE cannot use fails after it was paid for, so this is what KIE documents.
_TAKES: Final = {
    "image_url": (JPEG, PNG),
    "video_url": (MP4,),
    "reference_image_url": (JPEG, PNG, WEBP),
}
_BASE64_MAX_CHARS: Final = -(-UPLOAD_MAX_BYTES // 3) * 4


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that KIE serves to anyone who knows its address."""

    url: str
    mime_type: str
    size_bytes: int
    expires_at: datetime


class Uploader:
    """
    Uploads pictures and videos of this machine, which costs nothing.

    A file's own name and place stay here. The same content again is not uploaded again while
    its address has four hours to live.

    Calls raise `NoKeyError` without a key, `NoUploadRootsError` where no directory may be read,
    `BadInputError` for what cannot be read or is of no use to KIE, all before anything is sent,
    and `KieError` when KIE does not take the file.
    """

    def __init__(self, client: KieClient, clock: Clock, roots: Sequence[Path]) -> None:
        """
        Prepare.

        Args:
            client: Uploads.
            clock: Tells which addresses still live.
            roots: Where files may lie; none: where the client says.
        """
        self._client = client
        self._clock = clock
        self._roots = roots
        self._uploads: dict[str, Upload] = {}
        self._uploading: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def upload_file(self, address: str, client_roots: Sequence[str]) -> Upload:
        """
        Upload a file by its absolute path or `file://` URI.

        Args:
            address: Of the file.
            client_roots: URIs that the client on this machine offers.
        """
        self._client.require_key()
        roots = self._roots_of(client_roots)
        return await self._upload(await run_sync(_read, address, roots, "path"), "path")

    async def upload_data(self, data: str) -> Upload:
        """Upload a file that comes in Base64, plain or as a `data:` URL."""
        self._client.require_key()
        return await self._upload(await run_sync(_decode, data), "data")

    async def read(self, request: PaidRequest, client_roots: Sequence[str] = ()) -> Given:
        """The local files of a request, each of a kind that its argument takes."""
        files: dict[str, LocalFile] = {}
        if request.local_files:
            self._client.require_key()
            roots = self._roots_of(client_roots)
            for argument, uri in request.local_files.items():
                files[argument] = await run_sync(_read, uri, roots, argument)
                _check_use(files[argument], argument)
        return Given(request, files)

    async def upload(self, given: Given) -> PaidRequest:
        """The request that KIE can carry out, once its files are uploaded."""
        urls = {
            argument: (await self._upload(file, argument)).url
            for argument, file in given.files.items()
        }
        return given.request.model_copy(update=urls)

    def _roots_of(self, client_roots: Sequence[str]) -> Sequence[Path]:
        roots = self._roots or [root for uri in client_roots if (root := root_of(uri)) is not None]
        if not roots:
            raise NoUploadRootsError(
                "This server may read no local files: use a public URL, send the content to "
                "upload_file as data, or ask the user to name directories in KIE_UPLOAD_ROOTS."
            )
        return roots

    async def _upload(self, file: LocalFile, argument: str) -> Upload:
        lock = self._uploading.setdefault(file.digest, anyio.Lock())
        async with lock:
            now = self._clock.now()
            known = self._uploads.get(file.digest)
            # Above the retention the clock has gone back, and says nothing.
            if known is not None and MIN_LIFETIME <= known.expires_at - now <= RETENTION:
                return known
            try:
                url = await self._send(file)
            except KieError as exc:
                exc.reason = (
                    f"The upload of `{argument}` failed, and this call started nothing. "
                    f"{exc.reason}"
                )
                raise
            upload = Upload(url, file.mime_type, len(file.data), now + RETENTION)
            self._uploads = {
                digest: earlier
                for digest, earlier in self._uploads.items()
                if earlier.expires_at > now
            } | {file.digest: upload}
            return upload

    async def _send(self, file: LocalFile) -> str:
        """The address; random in all its parts, for it is public and must never be reused."""
        uploaded = await self._client.upload_stream(
            BytesIO(file.data),
            file_name=f"{secrets.token_hex(16)}.{_EXTENSIONS[file.mime_type]}",
            mime_type=file.mime_type,
            upload_path=secrets.token_hex(8),
        )
        if uploaded.size_bytes not in (None, len(file.data)):
            raise UnavailableError("KIE has stored only a part of it.")
        return uploaded.url


def _read(address: str, roots: Sequence[Path], argument: str) -> LocalFile:
    with open_within(address, roots, argument) as file:
        try:
            data = file.read(UPLOAD_MAX_BYTES + 1)
        except OSError as exc:
            raise BadInputError(f"`{argument}` cannot be read.") from exc
    return _told(data, argument)


def _decode(text: str) -> LocalFile:
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise BadInputError("`data` must be Base64, plain or as data:image/png;base64,…")
    text = "".join(text.split())
    if len(text) > _BASE64_MAX_CHARS:
        raise _too_large("data")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadInputError("`data` must be Base64: send the whole file, encoded.") from exc
    return _told(data, "data")


def _told(data: bytes, argument: str) -> LocalFile:
    if len(data) > UPLOAD_MAX_BYTES:
        raise _too_large(argument)
    mime_type = media_type(data)
    if mime_type is None:
        raise BadInputError(
            f"`{argument}` holds no whole JPG, PNG, WebP or MP4, whatever its name says: convert "
            "it, or use another file."
        )
    return LocalFile(data, mime_type, hashlib.sha256(data).hexdigest())


def _too_large(argument: str) -> BadInputError:
    return BadInputError(f"`{argument}` is larger than 10 MB, KIE's limit: make it smaller.")


def _check_use(file: LocalFile, argument: str) -> None:
    takes = _TAKES[argument]
    if file.mime_type not in takes:
        names = " or ".join(_EXTENSIONS[mime_type].upper() for mime_type in takes)
        raise BadInputError(
            f"`{argument}` takes {names}, and this file is {_EXTENSIONS[file.mime_type].upper()}: "
            "use another one, or convert it."
        )
