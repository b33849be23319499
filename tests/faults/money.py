"""What the checker asks about spending: I1, I3, I7, I9, I10, I14."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from tests.faults.books import Books, token_hash
from tests.faults.evidence import CREATE_ENDPOINTS, ENDED, Evidence, Row

from kie_runway_sandbox.log import LogEntry

CREATES_MAX = 20
RATE_LIMITED = 429
WINDOW = timedelta(seconds=10)
DUPLICATE_WINDOW_MS = 600_000
SLOW = ("slow_head", "slow_body")  # the answer comes, to whoever waits for it


def paid_once(evidence: Evidence, books: Books) -> Iterator[str]:
    """I1. Proof: KIE booked two creates that only one row can have caused."""
    rows = {row.id: row for row in evidence.ledger.rows}
    for row_id, creates in books.of_row.items():
        if len(creates) > 1:
            yield (
                f"{rows[row_id]} was paid {len(creates)} times: "
                f"tasks {', '.join(str(create.task_id) for create in creates)}."
            )


def repeats_made_no_second_row(evidence: Evidence, _: Books) -> Iterator[str]:
    """
    I1. Proof: a second row for what was one intent.

    One chosen request_id means one intent; a call without one means the same intent as an
    identical call that is unfinished, or that was made or accepted within ten minutes. Whether a
    row's request_id was chosen is known from the calls.
    """
    ledger = evidence.ledger
    chosen = {call.arguments.get("request_id") for call in evidence.calls}
    for index, later in enumerate(ledger.rows):
        if later.is_adopted or later.supersedes is not None:
            continue
        for row in ledger.rows[:index]:
            if row.account != later.account or row.is_adopted:
                continue
            if row.request_id == later.request_id:
                yield f"{later} is a second row for its request_id."
            elif later.request_id not in chosen and _same(row, later):
                state = ledger.state_when_made(row, later)
                superseded = (row.superseded_at or later.created_at + 1) <= later.created_at
                age_ms = later.created_at - (row.accepted_at or row.created_at)
                recent = state in ("success", "fail") and age_ms < DUPLICATE_WINDOW_MS
                if (state not in ENDED or recent) and not superseded:
                    yield f"{later} repeats {row}, which was {state}, by a new row."


def superseded_by_decision_only(evidence: Evidence, _: Books) -> Iterator[str]:
    """
    I1. Proof: a row in another's place without all that makes it a decision: the note on the
    old row, the old row's being unknown, the same arguments, a call that confirmed it.
    """
    rows = {row.id: row for row in evidence.ledger.rows}
    heirs: defaultdict[int, list[Row]] = defaultdict(list)
    confirmed = {
        c.arguments.get("request_id") for c in evidence.calls if c.arguments.get("confirm")
    }
    for row in rows.values():
        if row.supersedes is None:
            continue
        old = rows.get(row.supersedes)
        if old is None:
            yield f"{row} supersedes a row that does not exist."
            continue
        heirs[old.id].append(row)
        if (old.request_id, old.kind, old.arguments) != (row.request_id, row.kind, row.arguments):
            yield f"{row} supersedes {old}, which asked for something else."
        state = evidence.ledger.state_when_made(old, row)
        if state != "unknown":
            yield f"{row} supersedes {old}, which was {state}."
        if row.request_id not in confirmed:
            yield f"{row} supersedes {old}, but nobody confirmed that."
    for row in rows.values():
        if len(heirs[row.id]) != (row.superseded_at is not None):
            yield f"{row} was superseded by {len(heirs[row.id])} rows."


def written_before_sent(evidence: Evidence, books: Books) -> Iterator[str]:
    """
    I3. Proof: a create that no row was `submitting` for, at that moment if somebody looked;
    more POSTs than `submitting` events; or a callback address that the row does not know.
    """
    for create in books.orphans:
        yield f"Task {create.task_id} was paid, but no row asked for it."
    for row in evidence.ledger.rows:
        for create in books.of_row.get(row.id, ()) if not row.is_adopted else ():
            submitted = any(e.after == "submitting" for e in evidence.ledger.history(row))
            if not evidence.kie.sightings.get(create.number, submitted):
                yield f"{row} was not submitting when KIE made task {create.task_id}."
            if token_hash(create) not in (None, row.callback_hash):
                yield f"{row} cannot be found by the callback of task {create.task_id}."
    submissions = sum(event.after == "submitting" for event in evidence.ledger.events)
    if evidence.kie.posts > submissions:
        yield f"KIE got {evidence.kie.posts} paid requests, the ledger knows of {submissions}."


def conflicts_cost_nothing(evidence: Evidence, books: Books) -> Iterator[str]:
    """
    I7. Proof: a call that was refused as a conflict left a row or a create; or one that was not
    shows the task of other arguments.
    """
    for call in evidence.calls:
        prompt, request_id = call.arguments.get("prompt"), call.arguments.get("request_id")
        if not call.is_paid or call.answer is None:
            continue
        if call.error_code == "request_id_conflict":
            alike = [row for row in evidence.ledger.rows if row.prompt == prompt]
            if any(row.request_id == request_id for row in alike):
                yield f"{request_id} conflicted with other arguments, but has a row for them."
            if not alike and any(c.details["body"]["prompt"] == prompt for c in books.orphans):
                yield f"{request_id} conflicted with other arguments, but these were paid."
            continue
        for task in call.tasks():
            if request_id not in (None, task["request_id"]):
                yield f"A call with request_id {request_id} was shown {task['request_id']}."
            if prompt not in (None, task.get("prompt", prompt)):
                yield f"A call for {prompt!r} was shown the task for {task['prompt']!r}."


def rate_was_kept(evidence: Evidence, _: Books) -> Iterator[str]:
    """I9. Proof: 21 creates that came to KIE within ten seconds, or its own refusal."""
    handled = [entry for entry in evidence.kie.log if entry.event in ("create", "refused")]
    for entry in handled:
        if entry.details.get("code") == RATE_LIMITED:
            yield f"KIE had to refuse a create at {entry.at:%H:%M:%S}, for there were too many."
    # What a faulted request leads to, if to anything, is logged right after its fault.
    counted = {entry.number - 1 for entry in handled}
    spoiled = [
        entry
        for entry in evidence.kie.log
        if entry.event == "fault"
        and entry.details["endpoint"] in CREATE_ENDPOINTS
        and entry.number not in counted
    ]
    arrived = sorted((*handled, *spoiled), key=lambda entry: entry.number)
    for first, last in zip(arrived, arrived[CREATES_MAX:], strict=False):
        if last.at - first.at < WINDOW:
            yield f"More than {CREATES_MAX} creates came within 10 s of {first.at:%H:%M:%S}."
            break


def answers_were_awaited(evidence: Evidence, books: Books) -> Iterator[str]:
    """
    I10. Proof: KIE answered, or would have if the client had stayed, no process was killed from
    then on, and still the row has no task id.

    A create that is being answered just now is no breach; so this waits for a settled run.
    """
    if not evidence.settled:
        return
    by_number = {entry.number: entry for entry in evidence.kie.log}
    for create in books.lost:
        before = by_number.get(create.number - 1)
        slow = (
            before is not None
            and before.event == "fault"
            and before.details["fault"] in SLOW
            and create.details["answer"] == "lost"
        )
        killed = any(length >= create.number for length in evidence.kills)
        if (create.details["answer"] == "delivered" or slow) and not killed:
            yield f"Nobody waited for KIE's answer to the create of task {create.task_id}."


def credits_are_true(evidence: Evidence, books: Books) -> Iterator[str]:
    """
    I14. Proof: other credits in the ledger, or shown, than KIE booked; `charged: no` said of
    what it had booked; `charged: yes` of what it had not.
    """
    booked = {create.task_id: create for create in evidence.kie.creates}
    creates_of = {
        row.request_id: books.of_row.get(row.id, ())
        for row in evidence.ledger.rows
        if row.superseded_at is None and not row.is_adopted
    }
    for row in evidence.ledger.rows:
        if row.is_adopted:
            continue
        for create in books.of_row.get(row.id, ()):
            if row.state == "rejected":
                yield f"{row} counts as free, but KIE booked task {create.task_id}."
            if row.credits != create.details["credits"]:
                yield f"{row} says {row.credits}, KIE booked {create.details['credits']}."
    for call in evidence.calls:
        for task in call.tasks():
            made = booked.get(task.get("task_id"))
            name = task.get("task_id") or task["request_id"]
            if made is not None and task.get("credits") not in (None, made.details["credits"]):
                yield f"{name} was shown with {task['credits']} credits."
            if task["charged"] == "yes" and made is None:
                yield f"{name} was shown as charged, but KIE booked nothing."
            if task["charged"] == "no" and (
                _was_kept(evidence, made)
                if made is not None
                else any(
                    create.number <= call.began for create in creates_of.get(task["request_id"], ())
                )
            ):
                yield f"{name} was shown as free, but KIE booked it."


def _was_kept(evidence: Evidence, create: LogEntry) -> bool:
    return not evidence.kie.of_task("refund", create.task_id)


def _same(row: Row, other: Row) -> bool:
    return (row.kind, row.arguments) == (other.kind, other.arguments)
