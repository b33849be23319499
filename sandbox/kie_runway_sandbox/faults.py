"""Faults: what can go wrong between a client and KIE, armed per endpoint."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, with_config

Endpoint = Literal[
    "runway/generate",
    "runway/extend",
    "runway/record-detail",
    "aleph/generate",
    "aleph/record-info",
    "chat/credit",
    "common/download-url",
    "file-stream-upload",
    "file-base64-upload",
    "file-url-upload",
    "media",
    "files",
    "download",
]

FaultKind = Literal[
    "lost_answer",  # handled, then the connection is reset before any byte of the answer
    "reset_before",  # the connection is reset, nothing was handled
    "cut_body",  # half of the announced body, then a reset
    "truncated_json",  # half of the body, announced as if it were all
    "not_json",  # text/plain on HTTP 200
    "html_502",  # the edge's HTML page
    "cdn_403",  # the edge's bot rule: bare text `error code: 1010`
    "slow_body",  # the answer byte by byte, `seconds` apart
    "slow_head",  # nothing for `seconds`, then the answer
    "endless_body",  # chunks until the client leaves
    "gzip_bomb",  # the answer behind `size_bytes` of spaces, compressed
    "huge_headers",  # the answer under `size_bytes` of headers
    "redirect",  # HTTP 307 to `location`
    "refuse",  # HTTP `status`, body `code` and `message`; with `code=None` no body
    "edit",  # the answer with `data` changed: `merge` set, `drop` removed
]

# These leave KIE's own answer in place of a made-up one, so there has to be one.
HANDLED_KINDS: frozenset[FaultKind] = frozenset(
    {
        "lost_answer",
        "cut_body",
        "truncated_json",
        "slow_body",
        "slow_head",
        "endless_body",
        "gzip_bomb",
        "huge_headers",
        "edit",
    }
)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Fault:
    """
    One fault, played for the next `times` requests to an endpoint.

    Only the fields that the kind names matter. A fault on a create is most telling
    with `processed=True`: the task exists and was paid, whatever the answer says.
    """

    kind: FaultKind
    endpoint: Endpoint | Literal["*"] = "*"
    """`*` is every endpoint, downloads included."""
    times: int | None = 1
    """How often; None: always."""
    processed: bool | None = None
    """
    Whether the request is handled (a task made and paid) all the same.

    None: as the kind suggests, see `HANDLED_KINDS`. Where a kind mangles the answer
    of a request that was not handled, it mangles a `code: 500` instead.
    """
    status: int = 200
    code: int | None = 500
    message: str = "server error"
    seconds: float = 1.0
    size_bytes: int = 1_000_000
    location: str = "http://elsewhere.invalid/"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Sent with `refuse`, for example `{"Retry-After": "-1"}`."""
    merge: dict[str, Any] = field(default_factory=dict[str, Any])
    drop: tuple[str, ...] = ()

    @property
    def handles(self) -> bool:
        """Whether the request takes effect."""
        return self.kind in HANDLED_KINDS if self.processed is None else self.processed


FAULT = TypeAdapter(Fault)


def endpoint_of(path: str) -> Endpoint | None:
    """The endpoint that a request path belongs to."""
    match path.removeprefix("/").split("/"):
        case ["api", "v1", ("runway" | "aleph" | "chat" | "common") as family, name]:
            return _ENDPOINTS.get(f"{family}/{name}")
        case ["api", name]:
            return _ENDPOINTS.get(name)
        case [("media" | "files" | "download") as folder, *_]:
            return folder
        case _:
            return None


_ENDPOINTS: dict[str, Endpoint] = {name: name for name in get_args(Endpoint)}


class Faults:
    """The faults that are armed, played in the order in which they were injected."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []

    def inject(self, fault: Fault) -> None:
        """Arm a fault."""
        if fault.times is None or fault.times > 0:
            self.armed.append(fault)

    def take(self, endpoint: Endpoint) -> Fault | None:
        """The fault to play for a request; uses it up by one."""
        for index, fault in enumerate(self.armed):
            if fault.endpoint in ("*", endpoint):
                if fault.times == 1:
                    del self.armed[index]
                elif fault.times is not None:
                    self.armed[index] = replace(fault, times=fault.times - 1)
                return fault
        return None

    def clear(self) -> None:
        """Disarm all."""
        self.armed.clear()
