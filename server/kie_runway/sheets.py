"""Contact sheets of finished videos: made once, kept on disk, whoever asks for them."""

import asyncio
import hashlib
import importlib.util
import logging
import os
import re
import secrets
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import anyio
from anyio.to_thread import run_sync

from kie_runway.errors import BadInputError, ExpiredError, loggable
from kie_runway.fetch import Fetcher
from kie_runway.folder import Folder
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskState
from kie_runway.mp4 import is_whole_mp4
from kie_runway.roots import open_within

log = logging.getLogger(__name__)

KEPT_SHEETS = 100  # 70 MB at most; the oldest go first
MADE_AT_ONCE = 2
SOURCE_MAX_BYTES = 128 * 1024 * 1024
# Together below what clients bear (60 s), for whoever reads the sheet as a resource.
DOWNLOAD_TIMEOUT_S = 35.0
DRAWING_TIMEOUT_S = 15.0

_SHEET = re.compile(r"[0-9a-f]{32}\.jpg")
_PART = re.compile(r"[0-9a-f]{16}\.part")


class Sheets:
    """
    Gives the contact sheets of finished videos, from a directory of ours where it can.

    Args:
        directory: Holds at most 100; made when it is needed, for us alone.
        fetcher: Fetches videos that are not saved. They are not kept.
    """

    def __init__(self, directory: Path, fetcher: Fetcher) -> None:
        self._directory = directory
        self._fetcher = fetcher
        self._making: dict[str, asyncio.Task[bytes | None]] = {}
        self._slots = asyncio.Semaphore(MADE_AT_ONCE)
        # A scope of anyio's each: its cancelling waits for the thread that draws.
        self._scopes: set[anyio.CancelScope] = set()
        self._closing = threading.Event()

    @property
    def can_draw(self) -> bool:
        """Whether the extra `media` is installed; neither PyAV nor Pillow is imported."""
        return all(importlib.util.find_spec(name) is not None for name in ("av", "PIL"))

    async def get(self, entry: Entry) -> bytes | None:
        """
        The JPEG, or None when there is none to be had: no video any more, or a broken one.

        Whoever asks meanwhile shares the making, and it goes on when they leave.

        Args:
            entry: The row of a task that has a video, or had one.
        """
        if self._closing.is_set():
            return None
        name = _name(entry)
        making = self._making.get(name)
        if making is None:
            making = asyncio.create_task(self._get(name, entry), name="contact sheet")
            self._making[name] = making
            making.add_done_callback(lambda _: self._making.pop(name))
        return await asyncio.shield(making)

    async def aclose(self) -> None:
        """Break off what is being made; nothing of it stays."""
        self._closing.set()
        for scope in self._scopes:
            scope.cancel()
        await asyncio.gather(*self._making.values())

    async def _get(self, name: str, entry: Entry) -> bytes | None:
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                kept = await run_sync(_read, self._directory, name)
                return kept or await self._make(name, entry)
            except Exception as exc:  # an agent can do without
                log.warning("no frames of %s %s: %s", entry.kind, entry.task_id, loggable(exc))
            finally:
                self._scopes.discard(scope)
        return None

    async def _make(self, name: str, entry: Entry) -> bytes:
        async with self._slots:
            with await self._video(entry) as video:
                sheet = await run_sync(self._draw, video)
        try:
            await run_sync(_keep, self._directory, name, sheet)
        except OSError as exc:
            log.warning("frames cannot be kept in %s: %s", self._directory, exc.strerror)
        return sheet

    async def _video(self, entry: Entry) -> BinaryIO:
        """The saved file, or else a copy without a name."""
        if entry.file is not None:
            file = Path(entry.file)
            with suppress(BadInputError):  # it was moved away
                return await run_sync(open_within, entry.file, (file.parent,), "file")
        if entry.state is not TaskState.SUCCESS or entry.video_url is None:
            raise ExpiredError("The video is gone.")
        copy = cast("BinaryIO", await run_sync(TemporaryFile))
        try:

            async def write(chunk: bytes) -> None:
                await run_sync(copy.write, chunk)

            await self._fetcher.fetch_to(
                entry.video_url, write, max_bytes=SOURCE_MAX_BYTES, timeout_s=DOWNLOAD_TIMEOUT_S
            )
            await run_sync(copy.flush)
        except BaseException:
            copy.close()
            raise
        return copy

    def _draw(self, video: BinaryIO) -> bytes:
        # Optional, and slow to import.
        from kie_runway.contact_sheet import contact_sheet

        end = time.monotonic() + DRAWING_TIMEOUT_S
        if not is_whole_mp4(video.fileno()):
            raise ValueError("the video is no whole MP4")
        return contact_sheet(
            video, stopped=lambda: self._closing.is_set() or time.monotonic() > end
        )


def _name(entry: Entry) -> str:
    """Of the file: KIE's id, which no other task has, even if the ledger is a new one."""
    digest = hashlib.sha256(f"{entry.kind} {entry.task_id}".encode("utf-8", "surrogatepass"))
    return f"{digest.hexdigest()[:32]}.jpg"


def _read(directory: Path, name: str) -> bytes | None:
    """A sheet that was kept; None if there is none."""
    if not directory.exists():  # opening it would make it
        return None
    try:
        folder = Folder(directory)
        try:
            fd = folder.open_existing(name)
        finally:
            folder.close()
        with os.fdopen(fd, "rb") as file:
            return file.read() if stat.S_ISREG(os.fstat(fd).st_mode) else None
    except OSError:
        return None


def _keep(directory: Path, name: str, sheet: bytes) -> None:
    """
    Keep a sheet, whole or not at all, and drop the oldest that are too many.

    Raises:
        OSError: The directory cannot take it.
    """
    folder = Folder(directory)
    part = f"{secrets.token_hex(8)}.part"
    try:
        with os.fdopen(folder.create(part), "wb") as file:
            file.write(sheet)
        folder.rename(part, name)
        _prune(folder)
        folder.remove_old_parts(_PART)
    finally:
        with suppress(OSError):
            folder.remove(part)
        folder.close()


def _prune(folder: Folder) -> None:
    sheets: list[tuple[float, str]] = []
    for name in folder.names():
        with suppress(OSError):  # another process was faster
            if _SHEET.fullmatch(name):
                sheets.append((folder.status(name).st_mtime, name))
    for _, name in sorted(sheets)[:-KEPT_SHEETS]:
        with suppress(OSError):
            folder.remove(name)
