"""What the tools cost a model on every turn, in tokens."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.bench.report import Row, Section, at_most
from tests.wire import Wire

HERE = Path(__file__).parent
NODE = HERE.parent / "node"
TARGET = 1800
HOW = (
    "o200k_base tokens of compact JSON: name, description and input schema, which is what most "
    "hosts put before the model; then `tools/list` as a whole."
)


def tool_tokens() -> Section:
    """Tokens of each tool, of all, and of the whole answer."""
    with Wire() as wire:
        wire.open()
        answer = wire.call("tools/list")
    listing = {tool["name"]: seen(tool) for tool in answer["tools"]}
    texts = {name: compact(tool) for name, tool in listing.items()}
    texts |= {"/all": compact(list(listing.values())), "/answer": compact(answer)}
    counts = count(texts)
    rows = [Row(f"`{name}`", f"{counts[name]:,}") for name in listing]
    rows.append(at_most("all tools", counts["/all"], TARGET, digits=0))
    rows.append(Row("`tools/list`, whole, with output schemas", f"{counts['/answer']:,}"))
    return Section("Tokens of the tools", HOW, rows)


def count(texts: dict[str, str]) -> dict[str, int]:
    """o200k_base tokens of each text; the tokenizer comes with `make`'s Node tools."""
    counted = subprocess.run(
        (NODE / "node_modules" / ".bin" / "node", HERE / "tokens.mjs", NODE / "package.json"),
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    counts: dict[str, int] = json.loads(counted.stdout)
    return counts


def seen(tool: dict[str, Any]) -> dict[str, Any]:
    """What most hosts show."""
    return {name: tool[name] for name in ("name", "description", "inputSchema")}


def compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
