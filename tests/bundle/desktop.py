"""Claude Desktop's part: unpacks a bundle, fills in its form and starts what it says."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import StdioServerParameters
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "dist" / "kie-runway-mcp.mcpb"
NODE_PACKAGES = ROOT / "tests" / "node" / "package.json"
RESOLVE = Path(__file__).with_name("claude_desktop.mjs")
PACKAGES = ("server/kie_runway", "tools/kie_runway_tools", "sandbox/kie_runway_sandbox")
UV_CACHE = ROOT / "build" / "uv-cache"

# What pip is told about where packages come from, and what uv calls it.
INDEX_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
# Of the machine, nothing that says who uses it and where.
PRIVATE = ("KIE_", "PIP_", "UV_", "XDG_", "PYTHON", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Installed:
    """An unpacked bundle on a machine whose user has never started anything."""

    folder: Path
    home: Path
    node: str

    @property
    def manifest(self) -> dict[str, Any]:
        text = (self.folder / "manifest.json").read_text(encoding="utf-8")
        return dict(json.loads(text))

    def resolved(self, **filled_in: Any) -> dict[str, Any] | None:
        """What a user's values make of the manifest; None: they do not do."""
        command = [self.node, str(RESOLVE), str(NODE_PACKAGES), str(self.folder), str(self.home)]
        done = subprocess.run(
            [*command, json.dumps(filled_in)], capture_output=True, text=True, check=True
        )
        config: dict[str, Any] | None = json.loads(done.stdout)
        return config

    def server(
        self, *, variables: Mapping[str, str] | None = None, **filled_in: Any
    ) -> StdioServerParameters:
        """
        What is started.

        Args:
            variables: Of the machine.
            filled_in: The user's values in the bundle's form.
        """
        config = self.resolved(**filled_in)
        assert config is not None
        env = machine(self.home) | dict(variables or {}) | config["env"]
        return StdioServerParameters(command=config["command"], args=config["args"], env=env)


def machine(home: Path) -> dict[str, str]:
    """The variables of a machine with uv, its own home directory, and our package index."""
    tools = home.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("uv", "uvx"):
        if not (tools / name).exists():
            (tools / name).symlink_to(Path(find_uv_bin()).with_name(name))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    return (
        kept
        | package_index()
        | {
            "HOME": str(home),
            "PATH": os.pathsep.join((str(tools), os.defpath)),
            "UV_CACHE_DIR": str(UV_CACHE),
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
        }
    )


def package_index() -> dict[str, str]:
    """pip's package index in uv's variables: what can be installed here, can be there."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    told: dict[str, str] = {}
    for line in done.stdout.splitlines():  # variables come after files, and win
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in INDEX_VARIABLES:
            told[INDEX_VARIABLES[key]] = " ".join(ast.literal_eval(value).split())
    return told | {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # as pip looks through them
