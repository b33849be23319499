"""One intent, at most one paid request."""

import asyncio
import hashlib
import json
import logging
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.errors import (
    KieRunwayError,
    LedgerError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
)
from kie_runway.leases import Leases
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Foreseen, Intent, Limit, Opened, Transition, Turn
from kie_runway.models import (
    PROBABLY_NOT_CREATED,
    ExtendRequest,
    PaidRequest,
    TaskState,
)
from kie_runway.outcomes import Outcomes
from kie_runway.prices import estimate_credits
from kie_runway.rescue import Rescue
from kie_runway.webhooks import callback_address, hash_token, new_token

log = logging.getLogger(__name__)

DUPLICATE_WINDOW: Final = timedelta(minutes=10)
LIMIT: Final = Limit(creates=18, window_s=10)  # KIE refuses above 20 (contract §11)
BALANCE_S = 1.5  # a hint is not worth more waiting
BALANCE_MAX_AGE: Final = timedelta(seconds=1)
SENT_APART: Final = timedelta(seconds=5)  # more than it takes from reading the balance to sending
RECENT_ROWS = 50
ANSWER_WITHIN_S = 40.0  # then the caller gets the row as it stands; clients give up at 60 s
DRAIN_S = 65.0
LEDGER_PAUSE_MAX_S = 60.0
MAX_NOT_SENT = 3
MAX_RATE_LIMITED = 5
_REQUEST_ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that reads like another


class Submitter:
    """
    Starts paid tasks: looks up repeats, writes the intent down, then sends it once.

    The sending runs in a task of its own, so that a caller who goes away changes nothing.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: KieClient,
        *,
        clock: Clock,
        leases: Leases,
        rescue: Rescue,
        callback_base_url: str | None = None,
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._callback_base_url = callback_base_url
        self._leases = leases
        self._rescue = rescue
        self._runs: dict[int, _Run] = {}
        self._closing = asyncio.Event()
        self._reading: asyncio.Task[float | None] | None = None
        self._read_at = clock.now()
        self._outcomes = Outcomes(
            ledger, clock=clock, leases=leases, rescue=rescue, closing=self._closing
        )

    async def start(
        self,
        account: str,
        request: PaidRequest,
        request_id: str | None,
        *,
        confirmed: bool = False,
        stands_for: Mapping[str, str] | None = None,
    ) -> Opened:
        """
        Start a paid task, or find the one that an earlier call started.

        Args:
            account: Who pays.
            request: What to make; no argument is a local file any more.
            request_id: The agent's name for this one video, if it gave one.
            confirmed: The user accepts a possible second charge: if the earlier one has been
                `unknown` for 45 minutes, a new one supersedes it. Changes nothing otherwise.
            stands_for: What makes two calls the same in place of an argument's value: an
                uploaded file has another address each time.

        Returns:
            The row: accepted (`wait`), `rejected`, `unknown`, or still `queued` or `submitting`
            when that takes longer than `ANSWER_WITHIN_S`.

        Raises:
            NoKeyError: No key is configured; nothing was written or sent.
            RequestConflictError: The request_id stands for other arguments.
            OverBudgetError: It would exceed the daily cap; nothing was written or sent.
            LedgerError: The intent could not be written down, so nothing was sent.
            OutcomeUnknownError: The ledger failed after that.
        """
        self._client.require_key()
        assert not request.local_files
        intent = _intent(account, request, request_id, stands_for or {})
        try:
            # Shielded, so that no row is left queued without anybody to send it.
            opening = asyncio.create_task(self._open(intent, request, confirmed))
            opened = await asyncio.shield(opening)
        except LedgerError as exc:
            raise LedgerError(f"{exc.reason} This call sent nothing.") from exc
        run = self._runs.get(opened.entry.id)
        if run is None:
            if opened.entry.state is not TaskState.SUBMITTING:
                return opened
            # Perhaps it was sent here and has ended since the row was read.
            return Opened(await self._read(opened.entry), opened.deduplicated)
        await asyncio.wait({run.task}, timeout=ANSWER_WITHIN_S)
        return Opened(run.ended_as or await self._read(opened.entry), opened.deduplicated)

    async def foresee(
        self,
        account: str,
        request: PaidRequest,
        request_id: str | None,
        *,
        confirmed: bool = False,
        stands_for: Mapping[str, str] | None = None,
    ) -> Foreseen:
        """
        What `start` would do now, were its files uploaded; nothing is started or sent.

        Raises:
            NoKeyError, RequestConflictError, OverBudgetError, LedgerError: As `start` would.
        """
        self._client.require_key()
        now = self._clock.now()
        return await self._ledger.foresee(
            _intent(account, request, request_id, stands_for or {}),
            now=now,
            since=now - DUPLICATE_WINDOW,
            supersede_before=now - PROBABLY_NOT_CREATED if confirmed else None,
        )

    async def _open(self, intent: Intent, request: PaidRequest, confirmed: bool) -> Opened:
        """The row, with somebody sending it if it waits to be sent."""
        if confirmed:  # nothing is superseded whose task is only waiting to be noted
            await self._rescue.give_all_back(self._ledger)
        now = self._clock.now()
        opened = await self._ledger.open_intent(
            intent,
            now=now,
            since=now - DUPLICATE_WINDOW,
            supersede_before=now - PROBABLY_NOT_CREATED if confirmed else None,
        )
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
                "The ledger failed while the request was being sent.", request_id=entry.request_id
            ) from exc

    async def aclose(self) -> None:
        """Let what is being sent end and be recorded, up to 65 s; what waits stays queued."""
        self._closing.set()
        if self._runs:
            await asyncio.wait([run.task for run in self._runs.values()], timeout=DRAIN_S)

    def _run(self, entry: Entry, request: PaidRequest) -> None:
        async def submit() -> None:
            try:
                run.ended_as = await self._submit(entry.id, request)
            except Exception:
                log.exception("a submission broke off", extra={"request_id": entry.request_id})
            finally:
                del self._runs[entry.id]

        run = _Run(asyncio.create_task(submit(), name=f"submit {entry.request_id}"))
        self._runs[entry.id] = run

    async def _submit(self, entry_id: int, request: PaidRequest) -> Entry | None:
        """Send when it is its turn; the row as it ended, unless somebody else has it."""
        tries = _Tries()
        while not self._closing.is_set():
            # Before its turn, which must not be late.
            balance = await (self._balance_lately() if tries.turns else self._balance())
            if self._closing.is_set():
                break  # it stays queued
            tries.turns += 1
            token = new_token() if self._callback_base_url else None
            changes = {
                "arguments": _arguments(request),  # an uploaded file may have moved
                "credits_before": balance,
                "callback_hash": hash_token(token) if token else None,
            }
            try:
                turn = await self._take_turn(entry_id, changes)
            except LedgerError:  # perhaps another program has it locked for a while
                log.exception("could not take a turn", extra={"entry_id": entry_id})
                await self._pause(tries.after_ledger_failed())
                continue
            ended_as, pause_s = None, turn.wait_s
            if turn.refused is not None:
                return turn.refused
            if turn.entry is not None and self._closing.is_set():
                late = NotSentError("The server ended before it was sent.")
                return await self._outcomes.settle(turn.entry, TaskState.QUEUED, late)
            if turn.entry is not None:
                ended_as, pause_s = await self._send(turn.entry, request, tries, token)
            if pause_s is None:
                return ended_as
            await self._pause(pause_s)
        return None

    async def _take_turn(self, entry_id: int, changes: Mapping[str, Any]) -> Turn:
        return await self._ledger.take_turn(
            entry_id,
            owner=self._leases.owner,
            lease=self._leases.length,
            limit=LIMIT,
            now=self._clock.now,
            changes=changes,
        )

    async def _send(
        self, entry: Entry, request: PaidRequest, tries: "_Tries", token: str | None
    ) -> tuple[Entry | None, float | None]:
        """
        Send once and record what came of it.

        Returns:
            The row afterwards, and the seconds until it may be sent again, because it certainly
            was not taken; None there when there is nothing more to do.
        """
        base = self._callback_base_url
        address = callback_address(base, token) if base and token else None
        pause_s = None
        try:
            task_id = await self._client.create(request, callback_url=address)
        except NotSentError as exc:
            pause_s = tries.after_not_sent()
            ended_as = await self._outcomes.settle(entry, _requeue_or_reject(pause_s), exc)
        except RateLimitedError as exc:
            pause_s = tries.after_rate_limited(exc.retry_after_s)
            ended_as = await self._outcomes.settle(entry, _requeue_or_reject(pause_s), exc)
        except OutcomeUnknownError as exc:
            ended_as = await self._outcomes.settle(entry, TaskState.UNKNOWN, exc)
            ended_as = await self._note_balance(entry) or ended_as
        except KieRunwayError as exc:
            ended_as = await self._outcomes.settle(entry, TaskState.REJECTED, exc)
        except BaseException:
            # A fault of ours or a forced end: the request may have left.
            broke_off = OutcomeUnknownError("Sending broke off.")
            await self._outcomes.settle(entry, TaskState.UNKNOWN, broke_off)
            raise
        else:
            ended_as = await self._outcomes.accept(entry, task_id)
        return ended_as, pause_s

    async def _balance(self) -> float | None:
        """The credits there are, if KIE says so quickly."""
        try:
            async with asyncio.timeout(BALANCE_S):
                return float(await self._client.credits(patient=False))
        except (KieRunwayError, TimeoutError):
            return None

    async def _balance_lately(self) -> float | None:
        """The same, read at most once a second, for those who wait for their turn."""
        now = self._clock.now()
        if self._reading is None or not timedelta() <= now - self._read_at < BALANCE_MAX_AGE:
            self._reading = asyncio.create_task(self._balance(), name="balance")
            self._read_at = now
        return await asyncio.shield(self._reading)

    async def _note_balance(self, entry: Entry) -> Entry | None:
        """After an unclear end, what is left hints at whether it was billed, if it was alone."""
        balance = await self._balance()
        if balance is None or await self._spent_beside(entry):
            return None
        changes, detail = {"credits_after": balance}, f"balance {balance:g}"
        noted = Transition.remark(entry.id, changes, detail, at=self._clock.now())
        try:
            return await self._ledger.transition(noted)
        except LedgerError:
            log.exception("could not note the balance")
            return None

    async def _spent_beside(self, entry: Entry) -> bool:
        """Whether the account sent something else around the same time."""
        since = (entry.sent_at or entry.created_at) - SENT_APART
        try:
            latest = await self._ledger.list(entry.account, limit=RECENT_ROWS)
        except LedgerError:
            return True
        return any(
            row.id != entry.id and row.sent_at is not None and row.sent_at > since for row in latest
        )

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
class _Run:
    """One intent being sent, and its row once that has ended."""

    task: asyncio.Task[None]
    ended_as: Entry | None = None


@dataclass(slots=True)
class _Tries:
    """How often one intent asked for its turn, and was certainly not taken."""

    turns: int = 0
    not_sent: int = 0
    rate_limited: int = 0
    ledger_failed: int = 0

    def after_not_sent(self) -> float | None:
        self.not_sent += 1
        return 2**self.not_sent / 2 if self.not_sent < MAX_NOT_SENT else None

    def after_ledger_failed(self) -> float:
        self.ledger_failed += 1
        return min(LEDGER_PAUSE_MAX_S, 2.0**self.ledger_failed / 2)

    def after_rate_limited(self, retry_after_s: float | None) -> float | None:
        self.rate_limited += 1
        if self.rate_limited == MAX_RATE_LIMITED:
            return None
        return max(LIMIT.window_s, retry_after_s or 0)


def _requeue_or_reject(pause_s: float | None) -> TaskState:
    return TaskState.REJECTED if pause_s is None else TaskState.QUEUED


def _arguments(request: PaidRequest) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_none=True)


def _intent(
    account: str, request: PaidRequest, request_id: str | None, stands_for: Mapping[str, str]
) -> Intent:
    arguments = _arguments(request)
    canonical = json.dumps([request.kind, {**arguments, **stands_for}], sort_keys=True)
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
