"""Other people's programs: where they are, or why a test cannot run."""

from pathlib import Path

import pytest

NODE = Path(__file__).parents[1] / "node"
BIN = NODE / "node_modules" / ".bin"
MISSING = (
    "needs node packages: npm install --prefix tests/node "
    "--no-audit --no-fund --no-package-lock --loglevel=error"
)


def _program(name: str) -> str:
    path = BIN / name
    if not path.exists():
        pytest.skip(MISSING)
    return str(path)


@pytest.fixture(name="node", scope="session")
def _node() -> str:
    """The node that npm installed beside the packages."""
    return _program("node")


@pytest.fixture(name="inspector", scope="session")
def _inspector() -> str:
    """The Inspector's launcher."""
    return _program("mcp-inspector")
