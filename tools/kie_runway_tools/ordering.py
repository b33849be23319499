"""What a paid call asks for, once it is known that nothing stands against it."""

from dataclasses import dataclass

from kie_runway.given import Given


@dataclass(frozen=True, slots=True)
class Order:
    """
    A paid request, checked, its local files read but not yet uploaded.

    Attributes:
        note: What to tell the agent with the result.
    """

    given: Given
    note: str = ""
