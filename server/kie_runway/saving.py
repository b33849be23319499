"""The video of a finished task as a file, noted in the ledger; or that it is gone."""

import asyncio
from datetime import timedelta
from typing import Final

from kie_runway.clock import Clock
from kie_runway.errors import DownloadError, DownloadStatusError, ExpiredError, KieError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.looker import Looker
from kie_runway.media import VideoStore
from kie_runway.models import TaskState

LOOK_S = 20.0
MAY_COME_BACK: Final = timedelta(hours=24)  # a fresh result may be slow to reach every edge


class Saver:
    """Saves videos under names that follow from their tasks, and keeps the ledger true to it."""

    def __init__(self, ledger: Ledger, looker: Looker, videos: VideoStore, clock: Clock) -> None:
        self._ledger = ledger
        self._looker = looker
        self._videos = videos
        self._clock = clock

    async def save(self, entry: Entry) -> Entry:
        """
        The row of a success with its file, downloaded unless it is there already.

        Raises:
            ExpiredError: KIE has deleted the video; the row is `expired` from then on.
            StorageError: The output directory cannot take it.
            DownloadError: It cannot be had now; later it may.
            LedgerError: The file is there, but could not be noted.
        """
        assert entry.video_url is not None  # every success has one
        try:
            path = await self._videos.save(f"{entry.kind}-{entry.task_id}", entry.video_url)
        except DownloadStatusError as exc:
            if not exc.is_gone:
                raise
            if not await self._is_deleted(entry, exc.http_status):
                raise DownloadError(
                    f"{exc.reason} That may pass: KIE has not said that it deleted the video."
                ) from exc
            await self._note_deletion(entry, exc)
            raise ExpiredError(f"KIE no longer has this video. {exc.reason}") from exc
        return await self._ledger.set_file(entry.id, str(path))

    async def _is_deleted(self, entry: Entry, http_status: int) -> bool:
        """Whether a video that its host denies will not come back."""
        finished = entry.finished_at or entry.created_at
        if http_status != 403 and self._clock.now() - finished > MAY_COME_BACK:
            return True  # a 403 may be the word of a proxy in between
        assert entry.task_id is not None  # every success has one
        try:
            async with asyncio.timeout(LOOK_S):
                update = await self._looker.look_up(entry.kind, entry.task_id)
        except (KieError, TimeoutError):
            return False
        return update is not None and update.state is TaskState.EXPIRED

    async def _note_deletion(self, entry: Entry, exc: DownloadStatusError) -> None:
        now = self._clock.now()
        await self._ledger.transition(
            Transition(
                entry.id,
                (TaskState.SUCCESS,),
                TaskState.EXPIRED,
                now,
                {"expires_at": now},  # a later time would bring it back to life
                detail=f"its host answered {exc.http_status}",
            )
        )
