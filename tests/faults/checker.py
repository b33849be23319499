"""
The referee: holds every promise about money and tasks against what really happened.

It believes three sources and no code of the product: KIE's own log, the ledger's file, and what
clients were shown. Each check has the number of the promise that it belongs to, and a line that
says what proves a breach. I12 (all of it with two processes on one ledger) is no check but a
condition: every check counts over everything that ran on the file.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields

from tests.faults import money, tracks
from tests.faults.books import Books, keep_books
from tests.faults.evidence import Evidence


@dataclass(frozen=True)
class Violation:
    """A broken promise: its number, such as `I1`, and what is wrong, in a sentence."""

    invariant: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"


@dataclass(frozen=True)
class Summary:
    """
    A run in numbers, or the sum of several.

    Attributes:
        intents: Rows that somebody meant to pay for.
        creates: Tasks that KIE made and booked.
        duplicates: Creates that were one too many for their intent.
        paid_but_lost: Creates whose task id the ledger does not have.
        unknown: Rows whose outcome is still unknown.
        violations: What the checker found, each with the name of its run.
    """

    intents: int = 0
    creates: int = 0
    duplicates: int = 0
    paid_but_lost: int = 0
    unknown: int = 0
    violations: list[str] = field(default_factory=list[str])

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


Check = Callable[[Evidence, Books], Iterator[str]]

CHECKS: Sequence[tuple[str, Check]] = (
    ("I1", money.paid_once),
    ("I1", money.repeats_made_no_second_row),
    ("I1", money.superseded_by_decision_only),
    ("I2", tracks.shown_ids_are_kept),
    ("I3", money.written_before_sent),
    ("I4", tracks.ended_once),
    ("I4", tracks.shown_ends_stand),
    ("I5", tracks.called_back_is_found),
    ("I6", tracks.one_task_one_intent),
    ("I7", money.conflicts_cost_nothing),
    ("I8", tracks.only_kie_moves_rows),
    ("I9", money.rate_was_kept),
    ("I10", money.answers_were_awaited),
    ("I11", tracks.no_secret_got_out),
    ("I13", tracks.open_tasks_are_followed),
    ("I14", money.credits_are_true),
    ("I15", tracks.files_are_whole),
)


def violations(evidence: Evidence) -> list[Violation]:
    """Every broken promise that the evidence proves; none for a clean run."""
    books = keep_books(evidence)
    return [
        Violation(invariant, sentence)
        for invariant, check in CHECKS
        for sentence in check(evidence, books)
    ]


def summarize(evidence: Evidence, run: str = "") -> Summary:
    """A run in numbers, checked; `run` says in violations which one it was."""
    books = keep_books(evidence)
    return Summary(
        intents=sum(not row.is_adopted for row in evidence.ledger.rows),
        creates=len(evidence.kie.creates),
        duplicates=len(books.orphans) + sum(len(creates) - 1 for creates in books.of_row.values()),
        paid_but_lost=len(books.lost),
        unknown=sum(row.state == "unknown" for row in evidence.ledger.rows),
        violations=[f"{run}: {violation}" for violation in violations(evidence)],
    )
