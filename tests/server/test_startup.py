"""What a client waits for at the start: no import that listing the tools does not need."""

import gc
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.support import ERAS, Era, connect, serve_sandbox
from tests.wire import RAW_ERAS, RawEra, Wire

from kie_runway.cli import main
from kie_runway_sandbox import Fault

# Serves as always, but leaves the app closed, which would import the HTTP core and the ledger
# shortly after the answer.
SERVE = """
import kie_runway.server, kie_runway.cli
kie_runway.server.PAUSE_S = 3600
kie_runway.cli.main()
"""
OURS = {"kie_runway", "kie_runway_tools"}
SETTINGS = {"pydantic_settings", "dotenv"}  # reads the KIE_* variables; brings dotenv along
NEEDED_LATER = {
    "kie_runway.callbacks_port",
    "kie_runway.client",
    "kie_runway.commands",
    "kie_runway.contact_sheet",
    "kie_runway.fetch",
    "kie_runway.frames",
    "kie_runway.hooks_app",
    "kie_runway.http_app",
    "kie_runway.ledger.sqlite",
    "kie_runway.media",
    "kie_runway.sheets",
    "kie_runway.submit",
    "kie_runway.task_report",
    "kie_runway.tracker",
}


def imported(log: str) -> set[str]:
    """The modules that `-X importtime` reports."""
    return set(re.findall(r"^import time: .*\| +(\S+)$", log, re.MULTILINE))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.fixture(name="sdk", scope="module")
def _sdk() -> set[str]:
    """What the SDK and pydantic import for any server."""
    done = subprocess.run(
        (sys.executable, "-X", "importtime", "-c", "import mcp.server, pydantic"),
        capture_output=True,
        text=True,
        check=True,
    )
    return packages(imported(done.stderr))


@pytest.mark.parametrize("era", RAW_ERAS)
def test_the_first_answers_need_the_sdk_pydantic_and_our_own_modules(
    era: RawEra, sdk: set[str], tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    with Wire((sys.executable, "-X", "importtime", "-c", SERVE), era=era, stderr=log) as wire:
        wire.open()
        tools = wire.call("tools/list")["tools"]
        modules = imported(log.read_text(encoding="utf-8"))

    assert tools
    assert modules > {"mcp.server", "kie_runway.server"}
    assert packages(modules) - sdk - sys.stdlib_module_names <= OURS | SETTINGS
    assert not modules & NEEDED_LATER
    assert "sqlite3" not in modules


def test_garbage_is_collected_again_once_all_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    collects: list[bool] = []
    monkeypatch.setattr(sys, "argv", ["kie-runway-mcp"])
    monkeypatch.setattr("kie_runway.serving.serve", lambda: collects.append(gc.isenabled()))
    with pytest.raises(SystemExit):
        main()
    gc.unfreeze()

    assert collects == [True]


def test_a_port_for_callbacks_is_opened_after_the_first_answer(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    command = (*(sys.executable, "-X", "importtime", "-c", SERVE), "serve")
    with Wire((*command, "--callbacks-port", "0"), stderr=log) as wire:
        wire.open()
        tools = wire.call("tools/list")["tools"]
        modules = imported(log.read_text(encoding="utf-8"))

    assert tools
    assert not modules & (NEEDED_LATER - {"kie_runway.commands"})


@pytest.mark.anyio
@pytest.mark.parametrize("era", ERAS)
async def test_unfinished_tasks_are_taken_up_without_being_asked(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings):
        async with connect(settings, era) as agent:
            await agent.call("generate_video", prompt="a paper boat")
        sandbox.inject(Fault("slow_head", "runway/record-detail", seconds=0))
        async with connect(settings, era) as agent:
            await agent.client.list_tools()
            with anyio.fail_after(60):
                looked = await sandbox.log.wait_for("fault")

    assert looked.details["endpoint"] == "runway/record-detail"
