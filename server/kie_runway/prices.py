"""What a request costs, as far as KIE publishes it: `prices.json`, with its date and source."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from kie_runway.models import PaidRequest, Quality, TaskKind


@dataclass(frozen=True, slots=True)
class Price:
    """
    Credits for one video; what is None does not matter to the price.

    Attributes:
        assumed: Why the price is a guess, if it is one.
    """

    kind: TaskKind
    credits: float
    duration: int | None = None
    quality: Quality | None = None
    assumed: str | None = None

    def is_of(self, request: PaidRequest) -> bool:
        """Whether a request costs this."""
        return (
            self.kind is request.kind
            and self.duration in (None, getattr(request, "duration", None))
            and self.quality in (None, getattr(request, "quality", None))
        )


@dataclass(frozen=True, slots=True)
class PriceList:
    """KIE's prices as they were when they were `checked`."""

    checked: date
    source: str
    usd_per_credit: float
    prices: tuple[Price, ...]


@cache
def price_list() -> PriceList:
    """The list that this version brings along."""
    return TypeAdapter(PriceList).validate_json(
        Path(__file__).with_name("prices.json").read_bytes()
    )


def estimate_credits(request: PaidRequest) -> float:
    """Credits that a request will probably cost."""
    return next(price.credits for price in price_list().prices if price.is_of(request))
