"""
Builds `dist/kie-runway-mcp.mcpb`, which Claude Desktop installs with a double click.

The bundle holds the sources; uv, which the client brings, installs what they need at the first
start. What is told elsewhere is taken from there: `pyproject.toml` has name, version, description,
licence and keywords, the server has its tools and prompts, and the icon is the one it shows.
"""

import asyncio
import hashlib
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from icon import draw
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_tools.icons import SVG
from kie_runway_tools.prompts import PROMPTS

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "packaging" / "mcpb" / "manifest.json"
COLLECTED = ROOT / "build" / "mcpb"
BUNDLE = ROOT / "dist" / "kie-runway-mcp.mcpb"
NODE_TOOLS = ROOT / "tests" / "node" / "node_modules" / ".bin"

ICON_SIZE = 512  # what Claude Desktop shows best
FILES = ("README.md", "LICENSE")
USED_TABLES = ("[build-system]", "[project", "[tool.hatch")


def main() -> None:
    """Collect, validate, pack, and say what came of it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    collect(text)
    mcpb("validate", str(COLLECTED / "manifest.json"))
    mcpb("pack", str(COLLECTED), str(BUNDLE))
    settle(BUNDLE)
    packed = BUNDLE.read_bytes()
    print(f"{BUNDLE.relative_to(ROOT)}: {len(packed) / 1000:.0f} kB")
    print(f"sha256 {hashlib.sha256(packed).hexdigest()}")


def collect(pyproject: str) -> None:
    """Put what belongs into the bundle into an empty folder."""
    told = tomllib.loads(pyproject)
    shutil.rmtree(COLLECTED, ignore_errors=True)
    for package in told["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / package, COLLECTED / package, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, COLLECTED)
    write(COLLECTED / "pyproject.toml", for_users(pyproject))
    write(COLLECTED / "manifest.json", json.dumps(manifest(told["project"]), indent=2) + "\n")
    draw(SVG, ICON_SIZE).save(COLLECTED / "icon.png", optimize=True)


def for_users(pyproject: str) -> str:
    """`pyproject.toml` without developers' tables: uv would resolve and install their tools."""
    tables = re.split(r"^(?=\[)", pyproject, flags=re.MULTILINE)
    return "".join(table for table in tables if table.startswith(USED_TABLES))


def manifest(project: dict[str, Any]) -> dict[str, Any]:
    """The manifest: what only it says, and what is told elsewhere."""
    server = create_server(Settings())
    tools = asyncio.run(server.list_tools())
    return {
        **{key: project[key] for key in ("name", "version", "description", "license", "keywords")},
        **json.loads(TEMPLATE.read_text(encoding="utf-8")),
        "display_name": server.title,
        "tools": [{"name": tool.name, "description": one_line(tool.description)} for tool in tools],
        "prompts": [asyncio.run(prompt(function)) for function, _ in PROMPTS],
    }


async def prompt(function: Callable[..., Coroutine[Any, Any, str]]) -> dict[str, Any]:
    """A prompt with its text; what users may leave out has its default there."""
    parameters = inspect.signature(function).parameters.values()
    required = [one.name for one in parameters if one.default is inspect.Parameter.empty]
    return {
        "name": function.__name__,
        "description": one_line(function.__doc__),
        "arguments": required,
        "text": await function(**{name: f"${{arguments.{name}}}" for name in required}),
    }


def one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def mcpb(*arguments: str) -> None:
    """Run the bundlers' own tool; what it says is shown only if it fails."""
    command = [str(NODE_TOOLS / "node"), str(NODE_TOOLS / "mcpb"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mcpb {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def settle(bundle: Path) -> None:
    """Rewrite a zip in the order of its names and without times: same sources, same bytes."""
    with ZipFile(bundle) as packed:
        files = {name: packed.read(name) for name in sorted(packed.namelist())}
    with ZipFile(bundle, "w") as settled:
        for name, content in files.items():
            entry = ZipInfo(name)
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            settled.writestr(entry, content, compresslevel=9)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
