"""The whole journey through the TypeScript SDK's client, which many hosts are built on."""

import json
import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.journey import Journey, check
from tests.journeys.processes import HttpServer, http_server
from tests.wire import COMMAND

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "node" / "package.json"
SANDBOX = ("--sandbox", "--speed", "60")
VERSIONS = {
    "1.x": "2025-11-25",
    "default": "2025-11-25",
    "auto": "2026-07-28",
    "2026-07-28": "2026-07-28",
}


@pytest.fixture(name="http", scope="module")
def _http(tmp_path_factory: pytest.TempPathFactory) -> Generator[HttpServer]:
    home = tmp_path_factory.mktemp("home")
    with http_server(*SANDBOX, env={"KIE_HOME": str(home)}) as server:
        yield server


def walk(node: str, target: dict[str, Any], mode: str) -> Journey:
    command = [node, str(HERE / "journey.mjs"), str(PACKAGES), json.dumps(target), mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    return Journey(**json.loads(done.stdout))


@pytest.mark.parametrize("mode", VERSIONS)
def test_the_journey_over_stdio(node: str, mode: str) -> None:
    env = {name: value for name, value in os.environ.items() if name.startswith("KIE_")}
    target = {"command": COMMAND[0], "args": ["serve", *SANDBOX], "env": env}
    journey = walk(node, target, mode)

    check(journey)
    assert journey.version == VERSIONS[mode]


@pytest.mark.parametrize("mode", VERSIONS)
def test_the_journey_over_http(node: str, http: HttpServer, mode: str) -> None:
    journey = walk(node, {"url": http.url}, mode)

    check(journey)
    assert journey.version == VERSIONS[mode]
