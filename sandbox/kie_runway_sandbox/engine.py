"""Accounts and tasks: what a create books, what moves a task, what its end causes."""

import heapq
import itertools
import random
import secrets
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from kie_runway_sandbox import wire
from kie_runway_sandbox.accounts import ACCOUNT, Account, TaskKind, account_number, price
from kie_runway_sandbox.clips import Clips
from kie_runway_sandbox.clock import Clock
from kie_runway_sandbox.log import Log, LogEntry
from kie_runway_sandbox.media import Media
from kie_runway_sandbox.options import SandboxOptions, SwitchBoard
from kie_runway_sandbox.outcomes import judge
from kie_runway_sandbox.store import Store
from kie_runway_sandbox.tasks import TASK, Failure, State, Task
from kie_runway_sandbox.uploads import Uploads
from kie_runway_sandbox.validation import Refused, check_create


class Engine:
    """
    Creates tasks and moves them.

    A task is moved as late as possible: when somebody asks, when `settle` is called,
    or by hand. What it looks like is the same as if it had been moved on the second.
    """

    def __init__(
        self,
        options: SandboxOptions,
        board: SwitchBoard,
        clock: Clock,
        store: Store,
        log: Log,
        uploads_dir: Path,
        clips: Clips,
        on_scheduled: Callable[[], None],
        on_finished: Callable[[Task], None],
    ) -> None:
        self._options = options
        self._board = board
        self._clock = clock
        self._store = store
        self._log = log
        self._clips = clips
        self._on_scheduled = on_scheduled
        self._on_finished = on_finished
        self.accounts: dict[int, Account] = {
            account.number: account for account in store.load("accounts", ACCOUNT)
        }
        self.tasks: dict[str, Task] = {task.task_id: task for task in store.load("tasks", TASK)}
        self.uploads = Uploads(uploads_dir, board, clock, store, log)
        self.media = Media(self.tasks, self.uploads, clock)
        self.unknown_lookups: Counter[str] = Counter()
        """Look-ups by id that answered with no record."""
        self._numbers = itertools.count()
        # What time has to move next, soonest first; the number only breaks ties.
        self._schedule: list[tuple[datetime, int, Task]] = []
        for task in self.tasks.values():
            self._plan(task)

    def account(self, key: str) -> Account | None:
        """The account of a key; None for a key that is not accepted."""
        if key not in self._options.keys:
            return None
        number = account_number(key)
        if number not in self.accounts:
            self.accounts[number] = Account(number, self._options.credits)
        return self.accounts[number]

    def create(self, kind: TaskKind, account: Account, body: dict[str, Any]) -> LogEntry:
        """
        Check, book and start; returns the log's entry of the create.

        Raises:
            Refused: Nothing was booked.
        """
        if not account.may_create(self._clock.now()):
            raise Refused(429, "too many requests: 20 in 10 seconds are allowed")
        self._save_account(account)
        check_create(kind, body, legacy_8s=self._board.switches.legacy_8s)
        cost = price(kind, body)
        if account.credits < cost:
            raise Refused(402, wire.NO_CREDITS)
        with self._store.together():
            return self._book(kind, account, body, cost)

    def look_up(self, account: Account, kinds: set[TaskKind], task_id: str) -> Task | None:
        """A task as its owner sees it; counts as one look-up."""
        task = self.tasks.get(task_id)
        if (
            task is None
            or task.account != account.number
            or task.kind not in kinds
            or task.record_expired(self._clock.now())
        ):
            self.unknown_lookups[task_id] += 1
            return None
        if self._options.advance == "lookups" and not task.is_finished:
            self._move_by_lookup(task)
        task.lookups += 1
        self._save_task(task)
        return task

    def settle(self) -> None:
        """Move every task to where the clock says it is, in the order in which it happens."""
        now = self._clock.now()
        while self._schedule and self._schedule[0][0] <= now:
            due, _, task = heapq.heappop(self._schedule)
            if not task.is_finished:  # else it was ended by hand
                self._enter(task, task.next_state(), due)
                self._plan(task)

    def next_due(self) -> datetime | None:
        """When `settle` will have something to do."""
        return self._schedule[0][0] if self._schedule else None

    def finish(self, task: Task, failure: Failure | None = None) -> None:
        """End a task at once: with a video, or with a failure."""
        if task.is_finished:
            raise ValueError(f"task {task.task_id} is finished already: {task.state}")
        task.failure = failure
        self._enter(task, "fail" if failure else "success", self._clock.now())

    def set_credits(self, account: Account, credits: Decimal) -> None:
        """Set a balance."""
        account.credits = credits
        self._save_account(account)
        self._log.add("credits", account=account.number, credits=float(credits))

    def clear(self) -> None:
        """Forget accounts, tasks and uploads; the store is cleared by its owner."""
        self.accounts.clear()
        self.tasks.clear()
        self._schedule.clear()
        self.unknown_lookups.clear()
        self.uploads.clear()
        self.media.clear()

    def _book(
        self, kind: TaskKind, account: Account, body: dict[str, Any], cost: Decimal
    ) -> LogEntry:
        account.credits -= cost
        task = Task(
            task_id=self._new_id(),
            account=account.number,
            kind=kind,
            body=body,
            price=cost,
            created_at=self._clock.now(),
            video_id=str(uuid.uuid4()),
            callback_url=body.get("callBackUrl") or None,
            stretch=self._stretch(number=len(self.tasks)),
        )
        self.tasks[task.task_id] = task
        self._plan(task)
        self._save_account(account)
        self._save_task(task)
        return self._log.add(
            "create",
            account=account.number,
            task_id=task.task_id,
            kind=kind,
            body=body,
            credits=float(cost),
            answer="lost",  # until it is known that the answer went out
        )

    def _plan(self, task: Task) -> None:
        if self._options.advance == "time" and not task.is_finished:
            due = task.due_at(self._options.speed)
            heapq.heappush(self._schedule, (due, next(self._numbers), task))
            self._on_scheduled()

    def _stretch(self, number: int) -> float:
        """The same for a seed and a task's number, whatever happened in between."""
        chance = random.Random(f"{self._options.seed} {number}")
        return chance.lognormvariate(0.0, self._options.spread)

    def _move_by_lookup(self, task: Task) -> None:
        due = task.due_by_lookups(self._options.lookups_per_state)
        while not task.is_finished and task.state != due:
            self._enter(task, task.next_state(), self._clock.now())

    def _enter(self, task: Task, state: State, at: datetime) -> None:
        with self._store.together():
            task.state = state
            match state:
                case "generating":
                    self._begin_generating(task)
                case "success" | "fail":
                    self._end(task, at)
                case "wait" | "queueing":
                    pass
            self._save_task(task)

    def _begin_generating(self, task: Task) -> None:
        task.failure = judge(task, self.media)
        if task.failure is None and self._options.render == "eager":
            self._clips.start(task.task_id, self.media.order(task))

    def _end(self, task: Task, at: datetime) -> None:
        task.finished_at = at
        failure = task.failure
        self._log.add(
            "finished",
            account=task.account,
            task_id=task.task_id,
            state=task.state,
            code=failure.code if failure else 200,
            message=failure.message if failure else "",
        )
        if failure and self._board.switches.refund_on_failure:
            account = self.accounts[task.account]
            account.credits += task.price
            self._save_account(account)
            self._log.add(
                "refund", account=task.account, task_id=task.task_id, credits=float(task.price)
            )
        self._on_finished(task)

    def _new_id(self) -> str:
        style = self._board.switches.task_id_style
        return secrets.token_hex(16) if style == "hex" else str(uuid.uuid4())

    def _save_task(self, task: Task) -> None:
        self._store.put("tasks", task.task_id, TASK, task)

    def _save_account(self, account: Account) -> None:
        self._store.put("accounts", str(account.number), ACCOUNT, account)
