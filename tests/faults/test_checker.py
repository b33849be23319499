"""The referee sees each breach in evidence made by hand, and nothing in evidence without one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.faults.checker import summarize, violations
from tests.faults.evidence import Evidence, Kie, LedgerFile, Row, RowEvent
from tests.faults.transcript import Call

from kie_runway_sandbox.log import EventName, LogEntry

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
MS = round(AT.timestamp() * 1000)
TASK = "task-1"
TOKEN = "a-token-that-nobody-can-guess"
HASH = hashlib.sha256(TOKEN.encode()).hexdigest()
SECRET = "kie-planted-key/Zq7+fK93mX=="
CLIP = b"a whole video"
FILE = "/videos/task-1.mp4"
LIVED = ("queued", "submitting", "wait", "success")
SHOWN: Mapping[str, Any] = {
    "request_id": "one",
    "task_id": TASK,
    "state": "success",
    "charged": "yes",
    "credits": 12.0,
    "prompt": "boat 1",
    "video_url": f"http://kie/media/{TASK}/video.mp4",
}


def entry(number: int, event: EventName, task_id: str | None = TASK, **details: Any) -> LogEntry:
    return LogEntry(number, AT, event, 100_001, task_id, details)


def create(number: int, task_id: str = TASK, prompt: str = "boat 1", **details: Any) -> LogEntry:
    body = {"prompt": prompt, "callBackUrl": f"http://us/hooks/kie/{TOKEN}"}
    values = {"kind": "generate", "body": body, "credits": 12.0, "answer": "delivered"}
    return entry(number, "create", task_id, **(values | details))


ROW = Row(
    id=1,
    account="local",
    request_id="one",
    fingerprint="f",
    kind="generate",
    state="success",
    arguments={"prompt": "boat 1"},
    credits=12.0,
    task_id=TASK,
    video_url=f"http://kie/media/{TASK}/video.mp4",
    file=FILE,
    created_at=MS,
    accepted_at=MS,
    superseded_at=None,
    supersedes=None,
    callback_hash=HASH,
)
LOST = replace(ROW, state="unknown", task_id=None, video_url=None, file=None, accepted_at=None)


def ledger(*lives: tuple[Row, Sequence[str]]) -> LedgerFile:
    """Rows with the states they went through, one row's life after the other's."""
    events: list[RowEvent] = []
    for row, states in lives:
        for before, after in zip((None, *states), states, strict=False):
            events.append(RowEvent(len(events) + 1, row.id, before, after))
    return LedgerFile([row for row, _ in lives], events)


ASKED = Call("generate_video", {"prompt": "boat 1", "request_id": "one"}, 0, dict(SHOWN))
CLEAN = Evidence(
    kie=Kie(
        log=(
            create(1),
            entry(2, "finished", state="success"),
            entry(3, "callback", acknowledged=True),
        ),
        posts=1,
        looks={TASK: 1},
        sightings={1: True},
    ),
    ledger=ledger((ROW, LIVED)),
    calls=(ASKED,),
    settled=True,
    secrets=(SECRET,),
    texts=(("a log", b"all is well"),),
    videos={FILE: CLIP},
    clip=CLIP,
)
Change = Callable[[Evidence], Evidence]


def kie(**changes: Any) -> Change:
    return lambda evidence: replace(evidence, kie=replace(evidence.kie, **changes))


def log(*entries: LogEntry, **changes: Any) -> Change:
    return lambda evidence: kie(log=[*evidence.kie.log, *entries], **changes)(evidence)


def only_log(*entries: LogEntry) -> Change:
    return kie(log=entries)


def lived(*states: str, **changes: Any) -> Change:
    row = replace(ROW, state=states[-1], **changes)
    return lambda evidence: replace(evidence, ledger=ledger((row, states)))


def rows(*lives: tuple[Row, Sequence[str]]) -> Change:
    return lambda evidence: replace(evidence, ledger=ledger(*lives))


def shown(began: int = 3, **changes: Any) -> Change:
    call = Call("get_task", {"task_id": "one"}, began, {**SHOWN, **changes})
    return lambda evidence: replace(evidence, calls=(*evidence.calls, call))


def asked(prompt: str, request_id: str | None, answer: Mapping[str, Any]) -> Change:
    arguments = {"prompt": prompt} | ({"request_id": request_id} if request_id else {})
    call = Call("generate_video", arguments, 3, dict(answer))
    return lambda evidence: replace(evidence, calls=(*evidence.calls, call))


def evidence(**changes: Any) -> Change:
    return lambda evidence: replace(evidence, **changes)


def decided(*lives: tuple[Row, Sequence[str]]) -> Change:
    return both(rows(*lives), evidence(calls=(CONFIRMED,)))


def both(first: Change, second: Change) -> Change:
    return lambda evidence: second(first(evidence))


CONFIRMED = Call("generate_video", {"prompt": "boat 1", "request_id": "one", "confirm": True}, 3)
UNKNOWN = ("queued", "submitting", "unknown")
HEIR = replace(ROW, id=2, supersedes=1, callback_hash=None)
OTHER_HEIR = replace(HEIR, arguments={"prompt": "boat 2"})
GIVEN_UP = replace(LOST, superseded_at=MS, callback_hash="another")
REFUSED = {"error": {"code": "request_id_conflict", "charged": "no"}}

BREACHES: Sequence[tuple[str, str, Change]] = (
    ("I1", "a second create for one row", log(create(4, "task-2"))),
    (
        "I1",
        "a repeat without request_id in a new row",
        rows((ROW, LIVED), (replace(LOST, id=2, request_id="r-2", callback_hash=None), UNKNOWN)),
    ),
    ("I1", "two rows for one request_id", rows((ROW, LIVED), (replace(LOST, id=2), UNKNOWN))),
    ("I1", "superseded, unconfirmed", rows((GIVEN_UP, UNKNOWN), (HEIR, LIVED))),
    ("I1", "superseded, not noted", decided((LOST, UNKNOWN), (HEIR, LIVED))),
    ("I1", "superseded, not unknown", decided((GIVEN_UP, LIVED), (HEIR, LIVED))),
    ("I1", "superseded by other arguments", decided((GIVEN_UP, UNKNOWN), (OTHER_HEIR, LIVED))),
    ("I1", "superseded, and not there", decided((HEIR, LIVED))),
    ("I2", "a task id that is not in the ledger", shown(task_id="task-9")),
    ("I2", "a request_id that is not in the ledger", shown(request_id="two", task_id=None)),
    ("I3", "no row at all", both(rows(), kie(posts=0))),
    ("I3", "no submitting row at that moment", kie(sightings={1: False})),
    ("I3", "no submitting event", both(lived("queued", "wait", "success"), kie(sightings={}))),
    ("I3", "more posts than submissions", kie(posts=2)),
    ("I3", "an address that is not in the ledger", lived(*LIVED, callback_hash="another")),
    ("I4", "an end overwritten", lived(*LIVED, "fail")),
    ("I4", "an end taken back", lived(*LIVED, "generating")),
    ("I4", "an end written twice", lived(*LIVED, "success")),
    ("I4", "back from KIE", lived("queued", "submitting", "wait", "queued")),
    (
        "I4",
        "a state without an event",
        lambda known: replace(known, ledger=replace(known.ledger, events=known.ledger.events[:-1])),
    ),
    (
        "I4",
        "a gap between two events",
        lambda known: replace(known, ledger=replace(known.ledger, events=known.ledger.events[1:])),
    ),
    ("I4", "another end shown", shown(state="fail")),
    ("I4", "another video shown", shown(video_url="http://kie/media/other/video.mp4")),
    ("I5", "called back and still unknown", rows((LOST, UNKNOWN))),
    (
        "I6",
        "one task in two rows",
        rows((ROW, LIVED), (replace(ROW, id=2, request_id="two", callback_hash=None), LIVED)),
    ),
    ("I6", "a task of another intent", lived(*LIVED, arguments={"prompt": "boat 2"})),
    ("I6", "a task that KIE never made", lived(*LIVED, task_id="task-9")),
    ("I7", "a conflict with a row", asked("boat 1", "one", REFUSED)),
    (
        "I7",
        "a conflict that was paid",
        both(
            asked("boat 2", "one", REFUSED),
            log(create(4, "task-2", "boat 2", body={"prompt": "boat 2"})),
        ),
    ),
    ("I7", "the task of other arguments", asked("boat 2", "one", SHOWN)),
    ("I7", "the task of another request_id", asked("boat 1", "two", SHOWN)),
    ("I8", "an end that KIE does not know", only_log(create(1))),
    ("I8", "another end than KIE's", only_log(create(1), entry(2, "finished", state="fail"))),
    ("I8", "an end that nobody asked for", kie(looks={})),
    (
        "I8",
        "found without asking",
        both(lived(*UNKNOWN, "wait"), kie(log=[create(1, answer="lost")], looks={})),
    ),
    ("I8", "a video from elsewhere", lived(*LIVED, video_url="http://elsewhere/video.mp4")),
    ("I9", "a refusal by KIE's limiter", log(entry(4, "refused", None, code=429))),
    ("I9", "21 in ten seconds", log(*(entry(n, "refused", None, code=422) for n in range(4, 24)))),
    (
        "I9",
        "21 in ten seconds, few of them well",
        log(
            *(
                entry(n, "fault", None, endpoint="runway/generate", fault="html_502")
                for n in range(4, 24)
            )
        ),
    ),
    ("I10", "an answer that nobody heard", both(rows((LOST, UNKNOWN)), only_log(create(1)))),
    (
        "I10",
        "a caller who left too soon",
        both(
            rows((LOST, UNKNOWN)),
            only_log(
                entry(1, "fault", None, endpoint="runway/generate", fault="slow_head"),
                create(2, answer="lost"),
            ),
        ),
    ),
    ("I11", "a key in a log", evidence(texts=(("a log", SECRET[:9].encode()),))),
    ("I11", "a key in an answer", shown(error={"code": "x", "reason": SECRET})),
    ("I11", "a token in the ledger", evidence(texts=(("a file", TOKEN.encode()),))),
    ("I13", "an open task that has ended", lived("queued", "submitting", "wait")),
    (
        "I13",
        "a submission without a process",
        rows((replace(LOST, state="submitting"), UNKNOWN[:2])),
    ),
    ("I14", "other credits in the ledger", lived(*LIVED, credits=30.0)),
    ("I14", "other credits shown", shown(credits=30.0)),
    ("I14", "a paid task shown as free", shown(charged="no")),
    (
        "I14",
        "a lost task shown as free",
        both(rows((LOST, UNKNOWN)), shown(task_id=None, state="unknown", charged="no")),
    ),
    ("I14", "a free one shown as paid", both(rows((LOST, UNKNOWN)), shown(task_id="task-9"))),
    (
        "I14",
        "a paid row that counts as free",
        rows((replace(LOST, state="rejected"), ("queued", "submitting", "rejected"))),
    ),
    ("I15", "half a file", evidence(videos={FILE: CLIP[:5]})),
    ("I15", "no file", evidence(videos={})),
)


def test_a_run_without_a_breach_is_clean() -> None:
    summary = summarize(CLEAN)

    assert summary.violations == []
    assert (summary.intents, summary.creates) == (1, 1)
    assert (summary.duplicates, summary.paid_but_lost, summary.unknown) == (0, 0, 0)


@pytest.mark.parametrize(
    ("invariant", "change"),
    [(invariant, change) for invariant, _, change in BREACHES],
    ids=[f"{invariant} {what}" for invariant, what, _ in BREACHES],
)
def test_a_breach_is_seen(invariant: str, change: Change) -> None:
    found = violations(change(CLEAN))

    assert invariant in {violation.invariant for violation in found}
    assert all(violation.sentence.endswith(".") for violation in found)


SECOND = create(4, "task-2", body={"prompt": "boat 1"})

INNOCENT: Sequence[tuple[str, Change]] = (
    (
        "a decision, and a second create because of it",
        both(
            rows(
                (replace(GIVEN_UP, callback_hash=HASH), UNKNOWN),
                (
                    replace(HEIR, task_id="task-2", video_url=None, file=None, state="wait"),
                    LIVED[:3],
                ),
            ),
            evidence(
                kie=replace(
                    CLEAN.kie, log=(create(1, answer="lost"), SECOND), posts=2, sightings={}
                ),
                calls=(CONFIRMED,),
            ),
        ),
    ),
    (
        "a lost answer, and no callback",
        both(rows((LOST, UNKNOWN)), both(only_log(create(1, answer="lost")), evidence(calls=()))),
    ),
    (
        "a killed process, and no callback",
        both(rows((LOST, UNKNOWN)), both(only_log(create(1)), evidence(calls=(), kills=(1,)))),
    ),
    ("a video that expired, and a clock that was wrong", lived(*LIVED, "expired", "success")),
    (
        "an identical call, ten minutes later",
        both(
            rows(
                (ROW, LIVED),
                (
                    replace(
                        LOST, id=2, request_id="r-2", created_at=MS + 600_000, callback_hash=None
                    ),
                    UNKNOWN,
                ),
            ),
            kie(posts=2),
        ),
    ),
    ("credits given back", both(shown(state="success", charged="no"), log(entry(4, "refund")))),
    (
        "21 creates in a little more than ten seconds",
        log(
            *(entry(n, "refused", None, code=422) for n in range(4, 23)),
            replace(entry(23, "refused", None, code=422), at=AT + timedelta(seconds=10)),
        ),
    ),
)


@pytest.mark.parametrize(
    "change", [change for _, change in INNOCENT], ids=[what for what, _ in INNOCENT]
)
def test_what_is_allowed_is_no_breach(change: Change) -> None:
    assert violations(change(CLEAN)) == []


def test_a_summary_counts_what_was_lost() -> None:
    summary = summarize(both(rows((LOST, UNKNOWN)), log(create(4, "task-2")))(CLEAN))

    assert (summary.intents, summary.creates, summary.duplicates) == (1, 2, 1)
    assert (summary.paid_but_lost, summary.unknown) == (2, 1)
