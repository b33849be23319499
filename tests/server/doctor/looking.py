"""What tests of the doctor share."""

from collections.abc import Sequence

from kie_runway.doctor.finding import Finding, State


def told(findings: Sequence[Finding]) -> list[tuple[str, State]]:
    """Names and states; whatever is not well must come with its cure."""
    assert all(it.cure or it.state in (State.OK, State.OFF) for it in findings)
    return [(it.name, it.state) for it in findings]
