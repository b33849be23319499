"""What the tools cost a model on every turn."""

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


def tokens() -> Section:
    """Tokens of each tool, of all, and of the whole answer."""
    node = NODE / "node_modules" / ".bin" / "node"
    if not node.exists():
        return Section("Tokens", HOW, [Row("not measured", "npm install --prefix tests/node")])
    with Wire() as wire:
        wire.open()
        answer = wire.call("tools/list")
    listing = {tool["name"]: seen(tool) for tool in answer["tools"]}
    texts = {name: compact(tool) for name, tool in listing.items()}
    texts |= {"/all": compact(list(listing.values())), "/answer": compact(answer)}
    counted = subprocess.run(
        (node, HERE / "tokens.mjs", NODE / "package.json"),
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    counts: dict[str, int] = json.loads(counted.stdout)
    rows = [Row(f"`{name}`", f"{counts[name]:,}") for name in listing]
    rows.append(at_most("all tools", counts["/all"], TARGET, digits=0))
    rows.append(Row("`tools/list`, whole, with output schemas", f"{counts['/answer']:,}"))
    return Section("Tokens", HOW, rows)


def seen(tool: dict[str, Any]) -> dict[str, Any]:
    """What most hosts show."""
    return {name: tool[name] for name in ("name", "description", "inputSchema")}


def compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
