"""What the longest results about one task cost a model, in every state, in tokens."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from types import SimpleNamespace
from typing import cast

from tests.bench.report import Row, Section, at_most
from tests.bench.tokens import compact, count

from kie_runway.answers import Answer, Use, failure
from kie_runway.app import App
from kie_runway.errors import (
    KieRunwayError,
    LedgerError,
    OverBudgetError,
    StuckError,
    UnavailableError,
)
from kie_runway.failures import explain
from kie_runway.following import NOT_SHOWN, STUCK
from kie_runway.ledger.records import Entry
from kie_runway.models import ErrorInfo, TaskKind, TaskState
from kie_runway.settings import Settings
from kie_runway.values import MESSAGE_MAX_CHARS
from kie_runway_tools.described import brief, describe, headline

RESULT_TARGET = 160
NOW = datetime(2026, 11, 21, 13, 28, 42, tzinfo=UTC)
HOME = "/Users/maria/Library/Application Support/kie"
WORDS = (
    "The request could not be completed because the video service reported a temporary problem "
    "with the uploaded material; please check that the image is sharp, has a supported width and "
    "height, shows no known person or trademark, and that your account has enough credits left, "
    "then contact the support team at any time."
)[:MESSAGE_MAX_CHARS]
CODES = (400, 401, 402, 404, 408, 422, 429, 433, 451, 455, 500, 501, 505, 550)
ROW = Entry(
    id=1,
    account="local",
    request_id="r-82ucpukvunvg",
    kind=TaskKind.ALEPH,
    state=TaskState.WAIT,
    arguments={"prompt": "A red fox trots through fresh snow at dawn, slow tracking shot"},
    created_at=NOW,
    task_id="c0d088df35254cc3e7187fb7116b2efa",
    credits=110,
)
HOW = (
    "The same for tasks of each state at their longest: repeated, with the longest reasons, with "
    f"{len(WORDS)} characters of English from KIE, as many as are kept, of which results show "
    "fewer, and with ids, addresses and paths of the usual length."
)


def longest_results() -> Section:
    """Tokens of the longest result of each state."""
    texts: dict[str, str] = {}
    for number, (row, trouble) in enumerate(_rows()):
        task = describe(_APP, row, trouble=trouble, deduplicated=True)
        texts[f"{row.state}/{number}/json"] = compact(brief(task))
        texts[f"{row.state}/{number}/text"] = headline(task)
    most: dict[tuple[str, str], int] = defaultdict(int)
    for name, tokens in count(texts).items():
        state, _, form = name.split("/")
        most[state, form] = max(most[state, form], tokens)
    rows: list[Row] = []
    for state in TaskState:
        rows.append(at_most(f"`{state}`", most[state, "json"], RESULT_TARGET, digits=0))
        rows.append(at_most(f"`{state}`, text", most[state, "text"], RESULT_TARGET, digits=0))
    return Section("Tokens of the longest results", HOW, rows)


_APP = cast(App, SimpleNamespace(settings=Settings(), clock=SimpleNamespace(now=lambda: NOW)))


def _rows() -> Iterator[tuple[Entry, KieRunwayError | None]]:
    """Rows, and what stood in the way of news of them."""
    yield replace(ROW, state=TaskState.QUEUED, task_id=None), None
    yield replace(ROW, state=TaskState.SUBMITTING, task_id=None), None
    for state, trouble in product(
        (TaskState.WAIT, TaskState.QUEUEING, TaskState.GENERATING), _troubles()
    ):
        yield replace(ROW, state=state, raw_state="polishing"), trouble
    for code in CODES:
        yield from _not_accepted(code)
    full = OverBudgetError(110, spent=1204.5, daily_credits=1250, room_at=NOW)
    yield replace(ROW, state=TaskState.REJECTED, task_id=None, error=ErrorInfo.of(full)), None
    for words in (WORDS, *(f"{cause}: {WORDS}"[:MESSAGE_MAX_CHARS] for cause in ("2048", "nsfw"))):
        yield replace(ROW, state=TaskState.FAIL, error=explain(words)), None
    for file in (None, f"{HOME}/videos/aleph-{ROW.task_id}.mp4"):
        url = f"https://tempfile.aiquickdraw.com/r/{ROW.task_id}.mp4"
        row = replace(ROW, state=TaskState.SUCCESS, video_url=url, file=file, expires_at=NOW)
        yield row, None
        yield replace(row, state=TaskState.EXPIRED), None


def _troubles() -> Iterator[KieRunwayError | None]:
    """What can stand in the way of a look."""
    yield None
    yield UnavailableError(NOT_SHOWN)
    yield StuckError(STUCK)
    yield LedgerError(
        f"The ledger at {HOME}/ledger.db failed (database or disk is full). Check disk space and "
        "permissions, but keep this file."
    )
    for code in CODES:
        yield failure(Answer(200, b""), code, WORDS, Use.READ)
    yield failure(Answer(403, b""), None, None, Use.READ)


def _not_accepted(code: int) -> Iterator[tuple[Entry, None]]:
    """What comes of a request that KIE answers with this code."""
    exc = failure(Answer(200, b""), code, WORDS, Use.PAID)
    assert exc is not None
    row = replace(ROW, task_id=None, error=ErrorInfo.of(exc), credits_before=1200.5)
    if exc.charged == "no":
        yield replace(row, state=TaskState.REJECTED), None
        return
    for balance, age, callback in product(
        (1200.5, 1090.5), (timedelta(), timedelta(hours=1)), (None, "hash")
    ):
        yield (
            replace(
                row,
                state=TaskState.UNKNOWN,
                credits_after=balance,
                sent_at=NOW - age,
                callback_hash=callback,
            ),
            None,
        )
