"""What every window says alike of a row, to agents and to people in a terminal."""

from kie_runway.errors import Charged
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskState


def escaped(text: str) -> str:
    """
    Text with what could disturb a terminal or a reader made visible.

    Control characters, escape sequences, bidi, zero-width and tag characters become `\\u001b`.
    """
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def one_line(text: str, max_chars: int | None = None) -> str:
    """Running text, escaped and without line breaks; cut with an ellipsis before it is escaped."""
    line = " ".join(text.split())
    if max_chars is not None and len(line) > max_chars:
        line = line[: max_chars - 1] + "…"
    return escaped(line)


def charged(entry: Entry) -> Charged:
    """Whether a row was billed; the error of a failed one knows better than its state."""
    if entry.state is TaskState.FAIL and entry.error is not None:
        return entry.error.charged
    return entry.state.charged
