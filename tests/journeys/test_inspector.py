"""
The journey through the Inspector's command line, the tool people debug servers with.

On stdio each of its calls is a server process of its own, so this is also a journey in which
the server restarts at every step.
"""

import json
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.journeys.processes import Standalone, http_server, standalone_sandbox
from tests.wire import COMMAND

ERROR_RESULT = 5  # the Inspector's exit code for a tool's `isError`


@dataclass(frozen=True)
class Inspector:
    """One way to run the Inspector: a target and a protocol era."""

    command: tuple[str, ...]
    target: tuple[str, ...]
    era: str
    home: Path

    def run(self, *arguments: str) -> tuple[int, Any]:
        """Its exit code and the result it prints."""
        done = subprocess.run(
            (*self.command, *self.target, "--protocol-era", self.era, *OPTIONS, *arguments),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env=os.environ | {"HOME": str(self.home)},  # where it keeps a catalogue
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["result"]

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """A tool's structured content; the call must succeed."""
        code, result = self.run(*TOOL, tool, "--tool-args-json", json.dumps(arguments))
        assert code == 0, result
        content: dict[str, Any] = result["structuredContent"]
        return content

    def fail(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The same for a call that must fail."""
        code, result = self.run(*TOOL, tool, "--tool-args-json", json.dumps(arguments))
        assert code == ERROR_RESULT, result
        content: dict[str, Any] = result["structuredContent"]
        return content


OPTIONS = ("--format", "json", "--quiet")
TOOL = ("--method", "tools/call", "--tool-name")


@pytest.fixture(name="kie")
def _kie(era: str) -> Generator[Standalone]:
    with standalone_sandbox(12.0 if era == "modern" else 1.0) as sandbox:
        yield sandbox


def end(kie: Standalone, task: dict[str, Any]) -> None:
    """
    End a task, if the Inspector has not waited for that itself.

    On the modern era it has: it takes what was started as a task of the protocol.
    """
    if task["state"] != "success":
        kie.finish(task["task_id"])


def finished(agent: Inspector, task_id: str) -> dict[str, Any]:
    """A task that has ended, once the server has looked; it does not look too often."""
    while (task := agent.call("get_task", task_id=task_id))["state"] != "success":
        pass
    return task


@contextmanager
def target(transport: Literal["stdio", "http"], kie: Standalone) -> Generator[tuple[str, ...]]:
    """What the Inspector connects to."""
    env = kie.env | {"KIE_HOME": os.environ["KIE_HOME"]}
    if transport == "stdio":
        # The Inspector hands no variable on by itself.
        options = [part for pair in env.items() for part in ("-e", "=".join(pair))]
        yield (*options, *COMMAND, "serve")
    else:
        with http_server(env=env) as server:
            yield (server.url,)


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_the_journey(
    node: str,
    inspector: str,
    transport: Literal["stdio", "http"],
    era: str,
    kie: Standalone,
    tmp_path: Path,
) -> None:
    with target(transport, kie) as where:
        agent = Inspector((node, inspector, "--cli"), where, era, tmp_path)
        portable, listing = agent.run("--method", "tools/list", "--strict")
        credits = agent.call("get_credits")
        made = agent.call("generate_video", prompt="a boat", request_id="boat")
        end(kie, made)
        done = finished(agent, "boat")
        longer = agent.call("extend_video", task_id="boat", prompt="it sails on")
        end(kie, longer)
        extended = finished(agent, longer["task_id"])
        painted = agent.call("aleph_generate", prompt="ink", video_url=done["video_url"])
        end(kie, painted)
        restyled = agent.call("aleph_get_task", task_id=painted["task_id"], wait_seconds=45)
        saved = agent.call("save_video", task_id=painted["task_id"])
        again = agent.call("generate_video", prompt="a boat", request_id="boat")
        listed = agent.call("list_tasks")
        misspelt = agent.fail("generate_video", prompt="a boat", durration=9)

    assert portable == 0
    assert len(listing["tools"]) >= 8
    assert credits["credits"] == 1000
    assert {task["state"] for task in (done, extended, restyled)} == {"success"}
    assert Path(saved["file"]).read_bytes()[4:8] == b"ftyp"
    assert again["deduplicated"]
    assert [task["kind"] for task in listed["tasks"]] == ["aleph", "extend", "generate"]
    assert "did you mean `duration`" in misspelt["error"]["reason"]
    assert len(kie.events("create")) == 3
