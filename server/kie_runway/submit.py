"""One intent, at most one paid request."""

import asyncio
import hashlib
import itertools
import json
import logging
import os
import random
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.errors import (
    KieError,
    KieRunwayError,
    LedgerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    TaskIdTakenError,
)
from kie_runway.ledger.base import Entry, Intent, Ledger, Limit, Opened, Transition
from kie_runway.models import ErrorInfo, ExtendRequest, PaidRequest, TaskState
from kie_runway.prices import estimate_credits

log = logging.getLogger(__name__)

DUPLICATE_WINDOW: Final = timedelta(minutes=10)
LIMIT: Final = Limit(creates=18, window_s=10)  # KIE refuses above 20 (contract §11)
LEASE: Final = timedelta(seconds=120)  # outlasts the longest paid request, 65 s
ANSWER_WITHIN_S = 40.0  # then the caller gets the row as it stands; clients give up at 60 s
DRAIN_S = 65.0
MAX_NOT_SENT = 3
MAX_RATE_LIMITED = 5
MAX_COMMITS = 6  # once closing; before that there is no end
COMMIT_PAUSE_MAX_S = 10.0
_REQUEST_ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that reads like another


class Submitter:
    """
    Starts paid tasks: looks up repeats, writes the intent down, then sends it once.

    The sending runs in a task of its own, so that a caller who goes away changes nothing.
    """

    def __init__(self, ledger: Ledger, client: KieClient, *, clock: Clock) -> None:
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()

    async def start(self, account: str, request: PaidRequest, request_id: str | None) -> Opened:
        """
        Start a paid task, or find the one that an earlier call started.

        Returns:
            The row: accepted (`wait`), `rejected`, `unknown`, or still `queued` or `submitting`
            when that takes longer than `ANSWER_WITHIN_S`.

        Raises:
            NoKeyError: No key is configured; nothing was written or sent.
            RequestConflictError: The request_id stands for other arguments.
            LedgerError: The intent could not be written down, so nothing was sent.
            OutcomeUnknownError: The ledger failed after that.
        """
        self._client.require_key()
        intent = _intent(account, request, request_id)
        # Shielded, so that no row is left queued without anybody to send it.
        opened = await asyncio.shield(asyncio.create_task(self._open(intent, request)))
        run = self._runs.get(opened.entry.id)
        if run is None:
            return opened
        await asyncio.wait({run}, timeout=ANSWER_WITHIN_S)
        return Opened(await self._read(opened.entry), opened.deduplicated)

    async def _open(self, intent: Intent, request: PaidRequest) -> Opened:
        """The row, with somebody sending it if it waits to be sent."""
        now = self._clock.now()
        opened = await self._ledger.open_intent(intent, now=now, since=now - DUPLICATE_WINDOW)
        entry = opened.entry
        if entry.state is not TaskState.QUEUED or entry.id in self._runs:
            return opened
        self._run(entry, request)
        return Opened(entry, deduplicated=False)  # whoever made the row, this call pays

    async def _read(self, entry: Entry) -> Entry:
        """The row as it stands after sending."""
        try:
            return await self._ledger.get(entry.id) or entry
        except LedgerError as exc:
            raise OutcomeUnknownError(
                "The ledger failed while the request was being sent. Later call get_task with "
                f"request_id {entry.request_id}."
            ) from exc

    async def aclose(self) -> None:
        """Let what is being sent end and be recorded, up to 65 s; what waits stays queued."""
        self._closing.set()
        if self._runs:
            await asyncio.wait(self._runs.values(), timeout=DRAIN_S)

    def _run(self, entry: Entry, request: PaidRequest) -> None:
        async def run() -> None:
            try:
                await self._submit(entry.id, request)
            except Exception:
                log.exception("a submission broke off", extra={"request_id": entry.request_id})
            finally:
                del self._runs[entry.id]

        self._runs[entry.id] = asyncio.create_task(run(), name=f"submit {entry.request_id}")

    async def _submit(self, entry_id: int, request: PaidRequest) -> None:
        tries = _Tries()
        while not self._closing.is_set():
            now = self._clock.now()
            turn = await self._ledger.take_turn(
                entry_id, owner=self._owner, lease_until=now + LEASE, limit=LIMIT, now=now
            )
            if turn.entry is not None:
                pause_s = await self._send(entry_id, request, tries)
            else:
                pause_s = turn.wait_s
            if pause_s is None:
                return
            await self._pause(pause_s)

    async def _send(self, entry_id: int, request: PaidRequest, tries: "_Tries") -> float | None:
        """
        Send once and record what came of it.

        Returns:
            Seconds until it may be sent again, because it certainly was not taken; None when
            there is nothing more to do.
        """
        pause_s = None
        try:
            task_id = await self._client.create(request)
        except NotSentError as exc:
            pause_s = tries.after_not_sent()
            await self._settle(entry_id, _requeue_or_reject(pause_s), exc)
        except RateLimitedError as exc:
            pause_s = tries.after_rate_limited(exc.retry_after_s)
            await self._settle(entry_id, _requeue_or_reject(pause_s), exc)
        except OutcomeUnknownError as exc:
            await self._settle(entry_id, TaskState.UNKNOWN, exc)
        except KieRunwayError as exc:
            await self._settle(entry_id, TaskState.REJECTED, exc)
        except BaseException:
            # A fault of ours or a forced end: the request may have left.
            await self._settle(entry_id, TaskState.UNKNOWN, OutcomeUnknownError(_BROKE_OFF))
            raise
        else:
            await self._accept(entry_id, task_id)
        return pause_s

    async def _accept(self, entry_id: int, task_id: str) -> None:
        now = self._clock.now()
        accepted = Transition(
            entry_id,
            # A lease that ran out made the row `unknown` meanwhile: KIE's id is worth more.
            (TaskState.SUBMITTING, TaskState.UNKNOWN),
            TaskState.WAIT,
            now,
            {
                "task_id": task_id,
                "accepted_at": now,
                "error": None,
                "owner": None,
                "lease_until": None,
            },
        )
        try:
            await self._commit(accepted)
        except TaskIdTakenError as exc:
            unusable = OutcomeUnknownError(f"{exc.reason} It was {task_id}.")
            await self._settle(entry_id, TaskState.UNKNOWN, unusable)

    async def _settle(self, entry_id: int, state: TaskState, exc: KieRunwayError) -> None:
        """Record how sending ended otherwise than with a task id."""
        now = self._clock.now()
        changes: dict[str, Any] = {"owner": None, "lease_until": None}
        if state is not TaskState.QUEUED:
            changes["error"] = ErrorInfo.of(exc)
        if state is TaskState.REJECTED:
            changes["finished_at"] = now
        await self._commit(
            Transition(
                entry_id,
                (TaskState.SUBMITTING,),
                state,
                now,
                changes,
                _detail(exc),
                # Once somebody else has the row, our news is none of its business.
                owner=self._owner,
            )
        )

    async def _commit(self, transition: Transition) -> None:
        """Write down how a paid request ended, and do not give up easily: it cannot be asked."""
        extra = {
            "entry": transition.entry_id,
            "state": transition.to.value,
            "task_id": transition.changes.get("task_id"),
        }
        for attempt in itertools.count(1):
            try:
                changed = await self._ledger.transition(transition)
            except TaskIdTakenError:
                log.exception("could not record how a paid request ended", extra=extra)
                raise
            except LedgerError:
                # The last place where the task id exists outside KIE is this line.
                log.exception("could not record how a paid request ended", extra=extra)
                if self._closing.is_set() and attempt >= MAX_COMMITS:
                    raise
                await self._clock.sleep(min(COMMIT_PAUSE_MAX_S, 2**attempt / 10))
            else:
                if changed is None:
                    log.error("a paid request ended on a row that had moved on", extra=extra)
                return

    async def _pause(self, seconds: float) -> None:
        """Wait, with up to 10 % more so that processes do not march in step; end on close."""
        sleep = asyncio.create_task(self._clock.sleep(seconds * random.uniform(1, 1.1)))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({sleep, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            closing.cancel()


@dataclass(slots=True)
class _Tries:
    """How often one intent was certainly not taken."""

    not_sent: int = 0
    rate_limited: int = 0

    def after_not_sent(self) -> float | None:
        self.not_sent += 1
        return 2**self.not_sent / 2 if self.not_sent < MAX_NOT_SENT else None

    def after_rate_limited(self, retry_after_s: float | None) -> float | None:
        self.rate_limited += 1
        if self.rate_limited == MAX_RATE_LIMITED:
            return None
        return max(LIMIT.window_s, retry_after_s or 0)


def _requeue_or_reject(pause_s: float | None) -> TaskState:
    return TaskState.REJECTED if pause_s is None else TaskState.QUEUED


_BROKE_OFF = "Sending broke off."


def _detail(exc: KieRunwayError) -> str:
    if isinstance(exc, KieError):
        return f"{exc.code} (HTTP {exc.http_status}, code {exc.body_code})"
    return exc.code


def _intent(account: str, request: PaidRequest, request_id: str | None) -> Intent:
    arguments = request.model_dump(mode="json", exclude_none=True)
    canonical = json.dumps([request.kind, arguments], sort_keys=True)
    return Intent(
        account=account,
        request_id=request_id or _new_request_id(),
        request_id_chosen=request_id is not None,
        kind=request.kind,
        arguments=arguments,
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
        credits=estimate_credits(request),
        parent_task_id=request.task_id if isinstance(request, ExtendRequest) else None,
    )


def _new_request_id() -> str:
    return "r-" + "".join(secrets.choice(_REQUEST_ID_ALPHABET) for _ in range(12))
