"""A KIE, both eras on the wire, and other people's programs, or why a test cannot run."""

from collections.abc import Generator
from pathlib import Path

import pytest
from tests.journeys.processes import Standalone, standalone_sandbox
from tests.wire import RAW_ERAS, RawEra

NODE = Path(__file__).parents[1] / "node"
BIN = NODE / "node_modules" / ".bin"
MISSING = (
    "needs node packages: npm install --prefix tests/node "
    "--no-audit --no-fund --no-package-lock --loglevel=error"
)


@pytest.fixture(name="kie", scope="module")
def _kie() -> Generator[Standalone]:
    with standalone_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(name="era", params=RAW_ERAS)
def _era(request: pytest.FixtureRequest) -> RawEra:
    era: RawEra = request.param
    return era


def _program(name: str) -> str:
    path = BIN / name
    if not path.exists():
        pytest.fail(MISSING)
    return str(path)


@pytest.fixture(name="node", scope="session")
def _node() -> str:
    """The node that npm installed beside the packages."""
    return _program("node")


@pytest.fixture(name="inspector", scope="session")
def _inspector() -> str:
    """The Inspector's launcher."""
    return _program("mcp-inspector")
