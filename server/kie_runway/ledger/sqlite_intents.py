"""From an intent to its row: a new one, or one that an earlier call made."""

from dataclasses import replace
from datetime import datetime

from kie_runway.errors import OverBudgetError, RequestConflictError
from kie_runway.ledger.entries import EntryTable
from kie_runway.ledger.records import Entry, Foreseen, Intent, Opened, Transition
from kie_runway.ledger.rows import marks, to_ms
from kie_runway.ledger.sqlite_sends import SqliteSends
from kie_runway.models import TaskState

_UNFINISHED = tuple(state for state in TaskState if not state.is_terminal)
_REPEATABLE = (*_UNFINISHED, TaskState.SUCCESS, TaskState.FAIL)


class SqliteIntents:
    """
    Decides and inserts; all of it runs in a transaction.

    A refusal for the budget is returned, not raised: that would undo how the clock was mended.
    """

    def __init__(self, rows: EntryTable, sends: SqliteSends) -> None:
        self._rows = rows
        self._sends = sends

    def open(
        self, intent: Intent, now: datetime, since: datetime, supersede_before: datetime | None
    ) -> Opened | OverBudgetError:
        """As `Ledger.open_intent`."""
        foreseen = self.foresee(intent, now, since, supersede_before)
        if isinstance(foreseen, OverBudgetError):
            return foreseen
        earlier = foreseen.earlier
        if earlier is None:
            return Opened(self._rows.insert(_queued(intent, now)), deduplicated=False)
        if not foreseen.spends:
            return Opened(earlier, deduplicated=True)
        if foreseen.supersedes:
            return Opened(self._supersede(earlier, intent, now), deduplicated=False)
        changes = {"error": None, "finished_at": None, "credits": intent.credits}
        requeue = Transition(earlier.id, (earlier.state,), TaskState.QUEUED, now, changes)
        return Opened(self._rows.change(requeue) or earlier, deduplicated=False)

    def foresee(
        self, intent: Intent, now: datetime, since: datetime, supersede_before: datetime | None
    ) -> Foreseen | OverBudgetError:
        """As `Ledger.foresee`."""
        earlier = self._earlier(intent, since)
        if (
            earlier is not None
            and earlier.state is not TaskState.REJECTED
            and not _may_be_superseded(earlier, supersede_before)
        ):
            return Foreseen(earlier, spends=False)
        refusal = self._sends.over_budget(intent.account, intent.credits, now)
        return refusal or Foreseen(earlier, spends=True)

    def _earlier(self, intent: Intent, since: datetime) -> Entry | None:
        if not intent.request_id_chosen:
            return self._rows.one(
                "WHERE account = ? AND fingerprint = ? AND superseded_at IS NULL"
                f" AND state IN ({marks(_REPEATABLE)})"
                f" AND (coalesce(accepted_at, created_at) > ? OR state IN ({marks(_UNFINISHED)}))"
                " ORDER BY id DESC",
                intent.account,
                intent.fingerprint,
                *_REPEATABLE,
                to_ms(since),
                *_UNFINISHED,
            )
        names = intent.account, intent.request_id
        # A task id as the request_id names that task: a second row would be hidden behind it.
        earlier = self._rows.by_request(*names) or self._rows.by_task(*names)
        if earlier is not None and earlier.fingerprint != intent.fingerprint:
            raise RequestConflictError("This `request_id` already stands for other arguments.")
        return earlier

    def _supersede(self, earlier: Entry, intent: Intent, now: datetime) -> Entry:
        """A new row in place of one whose outcome stays unknown; a late callback still finds it."""
        word = "superseded: the user accepts a possible second charge"
        self._rows.change(Transition.remark(earlier.id, {"superseded_at": now}, word, at=now))
        entry = _queued(replace(intent, request_id=earlier.request_id), now)
        return self._rows.insert(replace(entry, supersedes=earlier.id))


def _may_be_superseded(entry: Entry, before: datetime | None) -> bool:
    if before is None or entry.state is not TaskState.UNKNOWN or entry.sent_at is None:
        return False
    return entry.sent_at <= before


def _queued(intent: Intent, now: datetime) -> Entry:
    return Entry(
        id=0,
        account=intent.account,
        request_id=intent.request_id,
        kind=intent.kind,
        state=TaskState.QUEUED,
        arguments=intent.arguments,
        created_at=now,
        fingerprint=intent.fingerprint,
        credits=intent.credits,
        parent_task_id=intent.parent_task_id,
    )
