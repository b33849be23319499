"""What is made of a result: a saved video and a small picture."""

import errno
import hashlib
import importlib.util
import os
import re
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from weakref import WeakValueDictionary

import anyio
from anyio.to_thread import run_sync

from kie_runway.errors import DownloadError, StorageError
from kie_runway.fetch import Fetcher
from kie_runway.folder import Folder
from kie_runway.media_types import JPEG, image_type
from kie_runway.mp4 import is_whole_mp4, looks_like_mp4

VIDEO_MAX_BYTES = 512 * 1024 * 1024
VIDEO_TIMEOUT_S = 600.0
NAME_MAX_CHARS = 120

THUMBNAIL_MAX_BYTES = 200_000
THUMBNAIL_SOURCE_MAX_BYTES = 8_000_000
THUMBNAIL_SOURCE_MAX_PIXELS = 30_000_000
THUMBNAIL_SOURCE_MAX_SCANS = 64  # a progressive JPEG has about ten
JPEG_SCAN = b"\xff\xda"
THUMBNAIL_TIMEOUT_S = 10.0
THUMBNAIL_SIDES_PX = (768, 512, 320)

_PART = re.compile(r".+\.[0-9a-f]{8}\.mp4\.part")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class VideoStore:
    """
    Saves finished videos in one directory, each under a name that stays the same.

    A download goes to `<name>.<random>.mp4.part` and is renamed when it is whole, so an `.mp4`
    is never a part of one. It is not resumed: clips are small, and half a file of an earlier
    answer may not fit this one. Parts that a crash left behind go when they are an hour old.
    """

    def __init__(self, directory: Path, fetcher: Fetcher) -> None:
        self._directory = directory
        self._fetcher = fetcher
        self._saving: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def save(self, name: str, url: str) -> Path:
        """
        The whole video's file, downloaded unless it is there already.

        Calls for the same name wait for each other; the first one downloads for all.

        Args:
            name: Of the file, without `.mp4`; what is unusual in it is replaced.

        Raises:
            DownloadStatusError: The host no longer has the video, among others.
            StorageError: The directory cannot take it, or something else has its name.
            DownloadError: It cannot be had, is no MP4 or is larger than 512 MiB; the reason
                says which. Nothing is left behind after any of these.
        """
        file_name = f"{_safe(name)}.mp4"
        lock = self._saving.setdefault(file_name, anyio.Lock())
        async with lock:
            with _disk_errors_explained(self._directory):
                folder = await run_sync(Folder, self._directory)
                try:
                    if not await run_sync(_is_saved, folder, file_name):
                        await run_sync(folder.remove_old_parts, _PART)
                        await self._download(folder, file_name, url)
                finally:
                    folder.close()
        return self._directory / file_name

    async def _download(self, folder: Folder, file_name: str, url: str) -> None:
        part = await run_sync(_Part, folder, file_name)
        try:

            async def write(chunk: bytes) -> None:
                await run_sync(part.write, chunk)

            await self._fetcher.fetch_to(
                url, write, max_bytes=VIDEO_MAX_BYTES, timeout_s=VIDEO_TIMEOUT_S
            )
            await run_sync(part.publish)
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(part.close)


class _Part:
    """A video on its way to `file_name`. Everything blocks."""

    def __init__(self, folder: Folder, file_name: str) -> None:
        self._folder = folder
        self._file_name = file_name
        self._name = f"{file_name.removesuffix('.mp4')}.{secrets.token_hex(4)}.mp4.part"
        self._fd = folder.create(self._name)
        self._is_open = True
        self._is_empty = True

    def write(self, chunk: bytes) -> None:
        if self._is_empty and not looks_like_mp4(chunk):
            raise DownloadError("What lies at the video's address is not an MP4 video.")
        self._is_empty = False
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def publish(self) -> None:
        """Give the part its final name, if it is whole and the name is free."""
        if self._is_empty:
            raise DownloadError("The download was empty.")
        if not is_whole_mp4(self._fd):
            raise DownloadError("The download was cut off.")
        os.fsync(self._fd)
        self._close_file()  # Windows renames no open file
        if not self._folder.is_in_place():
            raise StorageError(
                f"{self._folder.path} was replaced during the download: set KIE_OUTPUT_DIR to a "
                "directory that stays."
            )
        if not _is_saved(self._folder, self._file_name):  # another process may have been faster
            self._folder.rename(self._name, self._file_name)

    def close(self) -> None:
        """End the work; what was not published is removed."""
        with suppress(OSError):
            self._close_file()
        with suppress(OSError):
            self._folder.remove(self._name)

    def _close_file(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._fd)


def _is_saved(folder: Folder, file_name: str) -> bool:
    """
    Whether the whole video is there.

    Raises:
        StorageError: Something else has its name; it is left alone.
    """
    in_the_way = StorageError(
        f"{folder.path / file_name} exists and is not a whole video of ours: move it away, or set "
        "KIE_OUTPUT_DIR to another directory."
    )
    try:
        fd = folder.open_existing(file_name)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise in_the_way from exc
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or not is_whole_mp4(fd):
            raise in_the_way
    finally:
        os.close(fd)
    return True


def _safe(name: str) -> str:
    """A name that cannot be a path; different names stay different."""
    safe = _UNSAFE.sub("-", name).strip(".-")[:NAME_MAX_CHARS]
    if name and safe == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe or 'video'}-{digest}"


@contextmanager
def _disk_errors_explained(directory: Path) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(
            f"The video cannot be saved in {directory}: {_cause(exc)}. Mend that, or set "
            "KIE_OUTPUT_DIR to another directory."
        ) from exc


def _cause(exc: OSError) -> str:
    match exc.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return "it cannot be written"
        case errno.ELOOP | errno.ENOTDIR:
            return "it is a link or no directory"
        case None:
            return str(exc)
        case _:
            return os.strerror(exc.errno)


@dataclass(frozen=True)
class Thumbnail:
    """A picture of at most 200 kB: PNG, JPEG or WebP."""

    data: bytes
    mime_type: str


async def thumbnail(fetcher: Fetcher, url: str) -> Thumbnail | None:
    """
    The picture at an address, or None when there is none to be had within ten seconds.

    Larger ones are made smaller where Pillow is installed (extra `media`).
    """
    can_shrink = importlib.util.find_spec("PIL") is not None
    max_bytes = THUMBNAIL_SOURCE_MAX_BYTES if can_shrink else THUMBNAIL_MAX_BYTES
    try:
        data = await fetcher.fetch_bytes(url, max_bytes=max_bytes, timeout_s=THUMBNAIL_TIMEOUT_S)
    except DownloadError:
        return None
    mime_type = image_type(data)
    if mime_type is None:
        return None
    if len(data) <= THUMBNAIL_MAX_BYTES:
        return Thumbnail(data, mime_type)
    if mime_type == JPEG and data.count(JPEG_SCAN) > THUMBNAIL_SOURCE_MAX_SCANS:
        return None  # each costs as much as a whole picture, in a few bytes
    return await run_sync(_shrink, data)


def _shrink(data: bytes) -> Thumbnail | None:
    from PIL import Image  # optional, and slow to import

    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > THUMBNAIL_SOURCE_MAX_PIXELS:
                return None
            picture = image.convert("RGB")
    # Pillow's decoders raise SyntaxError and others on broken files.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning):
        return None
    for side_px in THUMBNAIL_SIDES_PX:
        picture.thumbnail((side_px, side_px))
        target = BytesIO()
        picture.save(target, "JPEG", quality=80)
        if target.tell() <= THUMBNAIL_MAX_BYTES:
            return Thumbnail(target.getvalue(), "image/jpeg")
    return None
