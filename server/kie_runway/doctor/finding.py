"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it stands."""

    OK = "ok"
    OFF = "off"
    """Not used, which is fine."""
    WARNING = "warning"
    """It works, but somebody should know."""
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """
    One line of the report.

    Attributes:
        name: What was looked at.
        says: How it stands, in words.
        cure: What to do about it; empty where nothing is to be done.
        command: What the cure tells to type.
    """

    name: str
    state: State
    says: str
    cure: str = ""
    command: str = ""


def ok(name: str, says: str) -> Finding:
    return Finding(name, State.OK, says)


def off(name: str, says: str, cure: str = "", command: str = "") -> Finding:
    return Finding(name, State.OFF, says, cure, command)


def warning(name: str, says: str, cure: str, command: str = "") -> Finding:
    return Finding(name, State.WARNING, says, cure, command)


def failed(name: str, says: str, cure: str, command: str = "") -> Finding:
    return Finding(name, State.FAILED, says, cure, command)
