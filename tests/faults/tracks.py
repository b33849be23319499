"""What the checker asks about tasks: I2, I4, I5, I6, I8, I11, I13, I15."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.attacks.leaks import leaks_in
from tests.faults.books import Books
from tests.faults.evidence import Evidence, is_of, token_of

AT_KIE = ("wait", "queueing", "generating")
# What may follow an end; everything else overwrites it.
AFTER_END = {
    "success": {"expired"},
    "expired": {"success"},
    "fail": set[str](),
    "rejected": {"queued"},  # it was never billed, and is tried again
}


def shown_ids_are_kept(evidence: Evidence, _: Books) -> Iterator[str]:
    """I2. Proof: a client was shown a request_id or a task id that the ledger does not have."""
    pairs = {(row.request_id, row.task_id) for row in evidence.ledger.rows}
    requests = {request_id for request_id, _ in pairs}
    for call in evidence.calls:
        for task in call.tasks():
            request_id, task_id = task["request_id"], task.get("task_id")
            if request_id not in requests:
                yield f"{request_id} was shown by {call.tool}, but is not in the ledger."
            elif task_id is not None and (request_id, task_id) not in pairs:
                yield f"Task {task_id} was shown for {request_id}, which does not have it now."


def ended_once(evidence: Evidence, _: Books) -> Iterator[str]:
    """
    I4. Proof: an event after an end, or a row that does not stand where its events lead.

    The ends are `success` and `fail`; a success may expire, and come back if the clock was wrong.
    """
    for row in evidence.ledger.rows:
        state: str | None = None
        for event in evidence.ledger.history(row):
            if event.before != state:
                yield f"{row} went on from {event.before}, though it was {state}."
            if event.before in AFTER_END and event.after not in AFTER_END[event.before]:
                yield f"{row} had ended as {event.before} and became {event.after}."
            if state in AT_KIE and event.after in ("queued", "submitting", "unknown", "rejected"):
                yield f"{row} was at KIE and became {event.after}."
            state = event.after
        if state != row.state:
            yield f"{row} is {row.state}, but its last event says {state}."


def shown_ends_stand(evidence: Evidence, _: Books) -> Iterator[str]:
    """I4. Proof: two clients, or one of them twice, were shown different ends of one task."""
    ends: dict[str, tuple[bool, str | None]] = {}
    for call in evidence.calls:
        for task in call.tasks():
            task_id, state, url = task.get("task_id"), task["state"], task.get("video_url")
            if task_id is None or state not in ("success", "expired", "fail"):
                continue
            made, first_url = ends.setdefault(task_id, (state != "fail", url))
            if made != (state != "fail"):
                yield f"Task {task_id} was shown as {state} after it had ended otherwise."
            if url is not None and first_url not in (None, url):
                yield f"Task {task_id} was shown with another video than before."
            ends[task_id] = (made, first_url or url)


def called_back_is_found(evidence: Evidence, books: Books) -> Iterator[str]:
    """I5. Proof: a callback was acknowledged, there was time enough, the ledger lacks the task."""
    if not evidence.settled:
        return
    for create in books.lost:
        callbacks = evidence.kie.of_task("callback", create.task_id)
        if any(entry.details["acknowledged"] for entry in callbacks):
            yield f"KIE called back for task {create.task_id}, but no row has it."


def one_task_one_intent(evidence: Evidence, _: Books) -> Iterator[str]:
    """I6. Proof: a task id in two rows, or in one whose prompt KIE never got with it."""
    rows = [row for row in evidence.ledger.rows if row.task_id is not None]
    for (_account, task_id), count in Counter((row.account, row.task_id) for row in rows).items():
        if count > 1:
            yield f"Task {task_id} is in {count} rows."
    creates = {create.task_id: create for create in evidence.kie.creates}
    for row in rows:
        create = creates.get(row.task_id)
        if create is None:
            yield f"{row} has task {row.task_id}, which KIE never made."
        elif not row.is_adopted and not is_of(create, row):
            yield f"{row} has task {row.task_id}, which was made for another one."


def only_kie_moves_rows(evidence: Evidence, _: Books) -> Iterator[str]:
    """
    I8. Proof: an end that KIE does not know, a video that is not its, or an end or a found task
    that nobody ever asked KIE about.

    Look-ups answered with something made up can end a task as well, so in a run with such faults
    only the video's address is judged.
    """
    kie = evidence.kie
    for row in evidence.ledger.rows:
        if row.video_url is not None and f"/media/{row.task_id}/" not in row.video_url:
            yield f"{row} leads to {row.video_url}, which is not its video."
        if not kie.looks_were_honest or row.task_id is None:
            continue
        end = "success" if row.state == "expired" else row.state
        ends = {entry.details["state"] for entry in kie.of_task("finished", row.task_id)}
        if end in ("success", "fail") and end not in ends:
            yield f"{row} ended as {row.state}, at KIE it {ends or 'has not ended'}."
        answers = {entry.details["answer"] for entry in kie.of_task("create", row.task_id)}
        unasked = not kie.looks.get(row.task_id)
        if unasked and (end in ("success", "fail") or answers == {"lost"}):
            yield f"{row} is {row.state}, though nobody asked KIE about {row.task_id}."


def no_secret_got_out(evidence: Evidence, _: Books) -> Iterator[str]:
    """I11. Proof: a piece of a key, or a callback's token, in a text that is not KIE's."""
    answers = [(call.tool, json.dumps(call.answer, default=str)) for call in evidence.calls]
    texts = [
        *evidence.texts,
        *((f"answer of {tool}", text.encode()) for tool, text in answers),
        *((f"name {path}", path.encode()) for path in evidence.videos),
    ]
    tokens = {token for create in evidence.kie.creates if (token := token_of(create))}
    for where, text in texts:
        for secret in evidence.secrets:
            for form in leaks_in(text, secret):
                yield f"A secret is in {where}, as {form}."
        if any(token.encode() in text for token in tokens):
            yield f"A callback's token is in {where}."


def open_tasks_are_followed(evidence: Evidence, _: Books) -> Iterator[str]:
    """I13. Proof: time enough has passed, and a row still waits for what has long been known."""
    if not evidence.settled:
        return
    for row in evidence.ledger.rows:
        if row.state == "submitting":
            yield f"{row} is still submitting, and its process has ended."
        if row.state in AT_KIE and evidence.kie.of_task("finished", row.task_id):
            yield f"{row} is still {row.state}, but task {row.task_id} has ended."


def files_are_whole(evidence: Evidence, _: Books) -> Iterator[str]:
    """I15. Proof: a file under a video's name with other content, or a row's file that is gone."""
    for path, content in evidence.videos.items():
        if content != evidence.clip:
            yield f"{path} has {len(content)} bytes, the video {len(evidence.clip)}."
    for row in evidence.ledger.rows:
        if row.file is not None and row.file not in evidence.videos:
            yield f"{row} was saved as {row.file}, which is not there."
