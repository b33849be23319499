"""What the files for registries, plugins and bundles repeat, from where it is told first."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(__file__).with_name("schemas")
BUNDLE_MANIFEST = ROOT / "packaging" / "mcpb" / "manifest.json"


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def project() -> dict[str, Any]:
    """The `[project]` table."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(whole["project"])


def check_generated(path: Path, content: dict[str, Any]) -> None:
    """Fail unless a file is today's; `UPDATE_DOCS=1` rewrites it."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(text, encoding="utf-8")

    assert path.read_text(encoding="utf-8") == text, "make docs rewrites it"
