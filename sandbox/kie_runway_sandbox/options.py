"""Options fixed at start, and switches for everything KIE's behaviour leaves open."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, with_config

AdvanceMode = Literal["time", "lookups", "manual"]
RenderMode = Literal["eager", "lazy", "off"]

DEFAULT_KEY = "sandbox-key"
DEFAULT_CREDITS = Decimal("1000.0")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Switches:
    """
    Where the evidence about KIE contradicts itself or is silent, both positions.

    The defaults follow the best evidence (contract §13). A client should pass its
    tests under every position of every switch.
    """

    auth_http_status: Literal[200, 401] = 200
    """HTTP status of the body `code: 401` (§1: never recorded)."""
    rate_limit_http_status: Literal[429, 200] = 429
    """HTTP status of the body `code: 429` (§11)."""
    task_id_style: Literal["hex", "uuid"] = "hex"
    """32 hexadecimal digits as recorded, or dashed as documented (§3)."""
    unknown_task: Literal["null", 404, 422] = "null"
    """Look-up of an unknown id: `data: null` as recorded, or a body code (§6.1)."""
    pending_video_info: Literal["null", "empty"] = "null"
    """`videoInfo` before success: null, or an object of empty strings (§6.2)."""
    generate_time: Literal["text", "null", "epoch_ms"] = "text"
    """Shape of `generateTime` (§6.2)."""
    fail_code_type: Literal["int", "text"] = "int"
    """Type of `failCode` on a failed task (§6.2)."""
    aleph_times: Literal["epoch_ms", "iso"] = "epoch_ms"
    """`createTime` and `completeTime`: as recorded, or as documented (§6.3)."""
    aleph_failed_flag: Literal[3, 2, 0] = 3
    """`successFlag` of a failed task: recorded, of sister APIs, of older pages (§6.3)."""
    aleph_error_code: Literal["null", 0, ""] = "null"
    """`errorCode` while nothing is wrong (§6.3). `""` is outside the OpenAPI document."""
    aleph_callback: Literal["documented", "block"] = "documented"
    """The callback page's layout, or that of the OpenAPI `callbacks` block (§7.3)."""
    callback_attempts: Literal[4, 3] = 4
    """Deliveries tried in total (§7.4)."""
    duplicate_callbacks: bool = False
    """Deliver each callback once more after it was acknowledged (§7.4)."""
    webhook_key: str | None = None
    """The `webhookHmacKey`; None: callbacks carry no signature (§8)."""
    refund_on_failure: bool = True
    """Give credits back when a task fails (§11: an FAQ says so, reviews disagree)."""
    upload_retention: Literal["24h", "3d"] = "24h"
    """How long uploads are served (§9)."""
    legacy_8s: bool = False
    """Accept `duration: 8` as in mid-2025 (§3)."""


SWITCHES = TypeAdapter(Switches)


@dataclass
class SwitchBoard:
    """Holds the positions that are valid now; the parts of a sandbox share one board."""

    switches: Switches


@dataclass(frozen=True)
class SandboxOptions:
    """What is fixed when a sandbox is made."""

    keys: tuple[str, ...] = (DEFAULT_KEY,)
    """API keys that are accepted; each is an account of its own."""
    credits: Decimal = DEFAULT_CREDITS
    """Balance of a new account."""
    advance: AdvanceMode = "time"
    """What moves tasks: the clock, the client's look-ups, or only `finish` and `fail`."""
    speed: float = 1.0
    """Divides the time tasks take: 60 s for Runway and 90 s for Aleph at 1.0."""
    spread: float = 0.0
    """Sigma of the lognormal factor on each task's time; those times stay the medians."""
    seed: int = 0
    """With `spread`: the n-th task of two sandboxes with the same seed takes as long."""
    lookups_per_state: int = 1
    """With `advance="lookups"`: how many look-ups see each of wait, queueing, generating."""
    frozen_at: datetime | None = None
    """Start of a clock that stands still until `advance` is called; None: the wall clock."""
    render: RenderMode = "eager"
    """Draw clips when tasks begin generating, when first fetched, or never (stand-in bytes)."""
    data_dir: Path | None = None
    """Where tasks, credits, log and files outlive the process; None: a temporary directory."""
    callback_timeout_s: float = 15.0
    """How long a callback's receiver may take (§7.4)."""
    callback_spacing_s: float = 1.0
    """Pause between two attempts at a callback; KIE's is not stated."""
    callbacks_anywhere: bool = False
    """Also deliver to hosts that are not loopback; by default the sandbox talks to nobody else."""
    switches: Switches = field(default_factory=Switches)
    """Positions at start and after a reset."""

    def __post_init__(self) -> None:
        if not self.keys or not all(self.keys):
            raise ValueError("keys: at least one, none of them empty")
        if self.speed <= 0:
            raise ValueError("speed: must be above 0")
        if self.spread < 0:
            raise ValueError("spread: must not be negative")
        if self.lookups_per_state < 0:
            raise ValueError("lookups_per_state: must not be negative")
        if self.frozen_at is not None and self.frozen_at.tzinfo is None:
            raise ValueError("frozen_at: needs a time zone")
