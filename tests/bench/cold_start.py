"""How long a client waits for the tools after it has started the server."""

import sys
import time
from statistics import median

from tests.bench.report import Row, Section, at_most, spread
from tests.wire import COMMAND, RAW_ERAS, RawEra, Wire

BARE = (sys.executable, "-m", "tests.bench.bare")
TARGET = 1.15


def cold_start(runs: int) -> Section:
    """Spawn to `tools/list` answered, ours and the bare server in turn."""
    rows: list[Row] = []
    for era in RAW_ERAS:
        for command in (BARE, COMMAND):  # fills the file cache, writes .pyc files
            once(command, era)
        pairs = [(once(COMMAND, era), once(BARE, era)) for _ in range(runs)]
        ours, bare = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        first = "initialize" if era == "legacy" else "server/discover"
        rows += [
            spread(f"{first}, ours", ours),
            spread(f"{first}, bare server", bare),
            at_most(f"{first}, ratio of medians", median(ours) / median(bare), TARGET),
        ]
    return Section(
        "Cold start",
        "Spawn to `tools/list` answered over stdio, against a bare one-tool server of the SDK.",
        rows,
    )


def once(command: tuple[str, ...], era: RawEra) -> float:
    """Seconds of one start."""
    began = time.perf_counter()
    with Wire(command, era=era) as wire:
        wire.open()
        wire.call("tools/list")
        return time.perf_counter() - began
