"""The ways in which a paid request goes wrong in a storm."""

from dataclasses import dataclass
from random import Random
from typing import Final

from kie_runway_sandbox.faults import Fault

HANG_S = 60.0  # longer than the server waits
CREATE: Final = "*"  # whichever endpoint the request goes to


@dataclass(frozen=True)
class Kind:
    """
    One way, by the name that the report shows.

    Attributes:
        faults: What KIE does to the first POSTs.
        client_leaves: The agent cancels its call once KIE has the request.
        is_offline: Nothing listens where the server believes KIE to be.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    client_leaves: bool = False
    is_offline: bool = False


def _refused(http: int, code: int | None, *, made: bool = False) -> Fault:
    return Fault("refuse", CREATE, status=http, code=code, processed=made)


_TAKEN_AND_LOST = (
    Kind("answer lost", (Fault("lost_answer", CREATE),)),
    Kind("answer cut", (Fault("cut_body", CREATE),)),
    Kind("JSON cut", (Fault("truncated_json", CREATE),)),
    Kind("no JSON", (Fault("not_json", CREATE, processed=True),)),
    Kind("HTML 502", (Fault("html_502", CREATE, processed=True),)),
    Kind("hang", (Fault("slow_head", CREATE, seconds=HANG_S),)),
    Kind("hang, client gone", (Fault("slow_head", CREATE, seconds=HANG_S),), client_leaves=True),
    Kind("slow, client gone", (Fault("slow_head", CREATE, seconds=0.1),), client_leaves=True),
    Kind("redirect", (Fault("redirect", CREATE, processed=True),)),
    Kind("no task id", (Fault("edit", CREATE, drop=("taskId",)),)),
    *(
        Kind(f"HTTP {status}", (_refused(status, None, made=True),))
        for status in (408, 425, 499, 500, 502, 503, 504, 520, 524)
    ),
    *(Kind(f"code {code}", (_refused(200, code, made=True),)) for code in (408, 500, 501)),
    Kind("HTTP 504, code 429", (_refused(504, 429, made=True),)),
    Kind("HTTP 503, code 400", (_refused(503, 400, made=True),)),
)
_LOST_AND_NOT_TAKEN = (
    Kind("reset", (Fault("reset_before", CREATE),)),
    Kind("no JSON", (Fault("not_json", CREATE, processed=False),)),
    Kind("HTML 502", (Fault("html_502", CREATE, processed=False),)),
    *(Kind(f"HTTP {status}", (_refused(status, None),)) for status in (500, 502, 503, 504)),
    *(Kind(f"code {code}", (_refused(200, code),)) for code in (500, 501, 550)),
)
_REFUSED = (
    *(
        Kind(f"code {code}", (_refused(200, code),))
        for code in (400, 401, 402, 404, 422, 433, 451, 455, 505)
    ),
    *(Kind(f"HTTP {status}", (_refused(status, status),)) for status in (400, 401, 402, 422)),
    Kind("CDN 403", (Fault("cdn_403", CREATE),)),
    Kind("rate limit", (_refused(429, 429),)),
    Kind("rate limit, then answer lost", (_refused(429, 429), Fault("lost_answer", CREATE))),
    Kind("rate limit, then reset", (_refused(200, 429), Fault("reset_before", CREATE))),
    Kind("connection refused", is_offline=True),
    Kind("connection refused, then lost", (Fault("lost_answer", CREATE),), is_offline=True),
)
_GROUPS = ((50, _TAKEN_AND_LOST), (20, _LOST_AND_NOT_TAKEN), (30, _REFUSED))
KINDS: Final = (*_TAKEN_AND_LOST, *_LOST_AND_NOT_TAKEN, *_REFUSED)


def choose(random: Random) -> Kind:
    """Half of them are taken by KIE and not heard of again: those are what this is about."""
    (group,) = random.choices([kinds for _, kinds in _GROUPS], [weight for weight, _ in _GROUPS])
    return random.choice(group)
