"""Refused arguments in words: which argument, which rule, and the cure; never the value."""

from collections.abc import Collection
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def explain_arguments(exc: ValidationError, known: Collection[str]) -> str:
    """
    One sentence per refused argument.

    Args:
        exc: What pydantic found; its input values are not looked at, except for their length.
        known: The names that the tool takes.
    """
    return " ".join(_explain(error, known) for error in exc.errors(include_url=False))


def _explain(error: ErrorDetails, known: Collection[str]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "arguments"
    limits = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return missing_argument(name)
        case "extra_forbidden":
            return unknown_argument(name, known, "tool")
        case "literal_error" | "enum":
            return f"`{name}` must be {limits['expected']}."
        # Bounds behind a validator of our own are pydantic's general ones, without "string_".
        case "string_too_long" | "too_long":
            length = len(error["input"])
            return (
                f"`{name}` has {length} characters and may have {limits['max_length']}: "
                f"shorten it by {length - int(limits['max_length'])}."
            )
        case "string_too_short" | "too_short":
            return f"`{name}` is empty: write at least {limits['min_length']} character."
        case "string_type":
            return f"`{name}` must be a string."
        case "int_type" | "int_parsing" | "int_from_float" | "finite_number":
            return f"`{name}` must be a whole number."
        case "int_parsing_size":
            return f"`{name}` has too many digits: use a smaller number."
        case "greater_than_equal":
            return f"`{name}` must be {limits['ge']} or more."
        case "less_than_equal":
            return f"`{name}` must be {limits['le']} or less."
        case "bool_type" | "bool_parsing":
            return f"`{name}` must be true or false."
        case _:
            return f"`{name}` {error['msg'].removeprefix('Value error, ')}."


def missing_argument(name: str) -> str:
    """What to say where an argument is not given."""
    return f"`{name}` is missing: it is required."


def unknown_argument(name: str, known: Collection[str], of: str) -> str:
    """What to say of an argument that a tool or prompt does not take."""
    # Only a name that looks like one is repeated; anything else may be the user's data.
    shown = f"`{name}`" if name.isidentifier() and len(name) <= 40 else "One name"
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"it takes {', '.join(known) or 'none'}."
    return f"{shown} is not an argument of this {of}: {hint}"
