"""Local files on their way to KIE: opened, told by their bytes, uploaded under random names."""

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Awaitable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final, TypeVar

from anyio.to_thread import run_sync

from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.errors import (
    BadInputError,
    KieError,
    NoUploadRootsError,
    StillUploadingError,
    UnavailableError,
)
from kie_runway.given import Given, LocalFile
from kie_runway.ledger.uploads import StoredUpload, Uploads
from kie_runway.media_types import JPEG, MP4, PNG, WEBP, media_type
from kie_runway.models import PaidRequest
from kie_runway.roots import open_within, root_of

T = TypeVar("T")

UPLOAD_MAX_BYTES: Final = 10_000_000  # contract §3, §5
RETENTION: Final = timedelta(hours=24)  # contract §9 also speaks of 3 days
# A call has to answer before its client gives up (60 s), and a paid one has to be sent as well.
UPLOADED_WITHIN_S: Final = 45.0
GIVEN_WITHIN_S: Final = 12.0
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

    @property
    def fits(self) -> list[str]:
        """The arguments that take such a file."""
        return [argument for argument, types in _TAKES.items() if self.mime_type in types]


class Uploader:
    """
    Uploads pictures and videos of this machine, which costs nothing.

    A file's own name and place stay here. The same content again is not uploaded again while
    its address has four hours to live, whichever process on the ledger uploaded it.

    Calls raise `NoKeyError` without a key, `NoUploadRootsError` where no directory may be read,
    `BadInputError` for what cannot be read or is of no use to KIE, all before anything is sent,
    `StillUploadingError` when that takes longer than a call may (it goes on, so repeat the call),
    `KieError` when KIE does not take the file, and `LedgerError` when uploads can be neither
    looked up nor noted: an address that is not noted might be paid for twice, so none is given.
    """

    def __init__(
        self,
        account: str,
        client: KieClient,
        uploads: Uploads,
        *,
        clock: Clock,
        service: str,
        roots: Sequence[Path],
    ) -> None:
        """
        Prepare.

        Args:
            account: Whose uploads these are.
            client: Uploads.
            uploads: Those of before, and of other processes.
            clock: Tells which addresses still live.
            service: Base URL of where the client uploads to.
            roots: Where files may lie; none: where the client says.
        """
        self._account = account
        self._client = client
        self._uploads = uploads
        self._clock = clock
        self._service = service
        self._roots = roots
        self._running: dict[str, asyncio.Task[StoredUpload]] = {}

    async def aclose(self) -> None:
        """Break off what is being uploaded."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def upload_file(self, address: str, client_roots: Sequence[str]) -> Upload:
        """
        Upload a file by its absolute path or `file://` URI.

        Args:
            address: Of the file.
            client_roots: URIs that the client on this machine offers.
        """
        self._client.require_key()
        roots = self._roots_of(client_roots)
        file = await run_sync(_read, address, roots, "path")
        return await _within(UPLOADED_WITHIN_S, self._upload(file, "path"))

    async def upload_data(self, data: str) -> Upload:
        """Upload a file that comes in Base64, plain or as a `data:` URL."""
        self._client.require_key()
        file = await run_sync(_decode, data)
        return await _within(UPLOADED_WITHIN_S, self._upload(file, "data"))

    async def read(self, request: PaidRequest, client_roots: Sequence[str] = ()) -> Given:
        """
        What the media of a request are: its local files, and the contents of earlier uploads.

        Each local file is of a kind that its argument takes.
        """
        files: dict[str, LocalFile] = {}
        if request.local_files:
            self._client.require_key()
            roots = self._roots_of(client_roots)
            for argument, uri in request.local_files.items():
                files[argument] = await run_sync(_read, uri, roots, argument)
                _check_use(files[argument], argument)
        uploaded: dict[str, str] = {}
        for argument in request.media:
            url: str | None = getattr(request, argument)
            if url is not None and argument not in files:
                digest = await self._uploads.digest_of(self._account, url)
                if digest is not None:
                    uploaded[argument] = digest
        return Given(request, files, uploaded)

    async def upload(self, given: Given) -> PaidRequest:
        """The request that KIE can carry out, once its files are uploaded."""
        uploads = (self._upload(file, argument) for argument, file in given.files.items())
        uploaded = await _within(GIVEN_WITHIN_S, asyncio.gather(*uploads))
        urls = [upload.url for upload in uploaded]
        return given.request.model_copy(update=dict(zip(given.files, urls, strict=True)))

    def _roots_of(self, client_roots: Sequence[str]) -> Sequence[Path]:
        roots = self._roots or [root for uri in client_roots if (root := root_of(uri)) is not None]
        if not roots:
            raise NoUploadRootsError(
                "This server may read no local files: use a public URL, send the content to "
                "upload_file as data, or ask the user to name directories in KIE_UPLOAD_ROOTS."
            )
        return roots

    async def _upload(self, file: LocalFile, argument: str) -> Upload:
        """Shared by all who want the same content, and it goes on when they leave."""
        running = self._running.get(file.digest)
        if running is None:
            running = asyncio.create_task(self._store(file), name="upload")
            self._running[file.digest] = running
            running.add_done_callback(partial(self._ended, file.digest))
        try:
            stored = await asyncio.shield(running)
        except KieError as exc:
            told = copy(exc)  # others may wait for the same upload
            told.reason = (
                f"The upload of `{argument}` failed, and this call started nothing. {exc.reason}"
            )
            raise told from exc
        return Upload(stored.url, file.mime_type, len(file.data), stored.expires_at)

    def _ended(self, digest: str, running: asyncio.Task[StoredUpload]) -> None:
        del self._running[digest]
        if not running.cancelled():
            running.exception()  # whoever waited has been told; perhaps nobody did

    async def _store(self, file: LocalFile) -> StoredUpload:
        now = self._clock.now()
        stored = await self._uploads.living(
            self._account,
            self._service,
            file.digest,
            after=now + MIN_LIFETIME,
            until=now + RETENTION,  # beyond it the clock has gone back, and says nothing
        )
        if stored is None:
            url = await self._send(file)
            stored = StoredUpload(self._account, self._service, file.digest, url, now + RETENTION)
            await self._uploads.remember(stored, now=now)
        return stored

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


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise StillUploadingError(
            "The file is still being uploaded, and this call started nothing."
        ) from None


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
