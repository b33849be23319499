"""The question to the user before a large expense, or one that may be the second."""

from collections.abc import Iterable, Mapping
from typing import Final

from kie_runway.models import PaidRequest, TaskKind
from kie_runway.prices import estimate_credits, price_list
from kie_runway.shown import one_line

PROMPT_ASKED_CHARS = 120
DIGEST_CHARS = 8
_NOUNS: Final[Mapping[TaskKind, str]] = {
    TaskKind.GENERATE: "video",
    TaskKind.EXTEND: "extension",
    TaskKind.ALEPH: "Aleph video",
}


def may_ask(request: PaidRequest, *, confirm_credits: float | None, confirmed: bool) -> bool:
    """Whether there may be a question; only the ledger knows whether anything would be spent."""
    return confirmed or _is_large(request, confirm_credits)


def question(
    request: PaidRequest,
    *,
    confirm_credits: float | None,
    pays_again: bool,
    contents: Iterable[str] = (),
) -> str | None:
    """
    What to ask the user before a request is paid for; None where they need not be asked.

    The same request gives the same words: an answer counts only for the very question.

    Args:
        request: What would be paid for.
        confirm_credits: The least expense to ask about, if there is one.
        pays_again: An earlier one may have been charged, and this one takes its place.
        contents: Digests of the local files in it, for an answer holds for these alone.
    """
    if not pays_again and not _is_large(request, confirm_credits):
        return None
    credits = estimate_credits(request)
    price = f"about {credits:g} credits (${credits * price_list().usd_per_credit:.2f})"
    prompt = one_line(request.prompt, PROMPT_ASKED_CHARS).replace('"', "'")
    files = "".join(f" File {digest[-DIGEST_CHARS:]}." for digest in sorted(contents))
    noun = _NOUNS[request.kind]
    if pays_again:
        return (
            f"Nobody knows whether an earlier request for this {noun} was charged. Pay {price} for "
            f'it, possibly a second time? "{prompt}"{files}'
        )
    return f'Pay {price} for this {noun}? "{prompt}"{files}'


def _is_large(request: PaidRequest, confirm_credits: float | None) -> bool:
    return confirm_credits is not None and estimate_credits(request) >= confirm_credits
