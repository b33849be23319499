"""From an empty home directory to a video, as each client gets there."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from tests.journeys.processes import standalone_sandbox
from tests.support import Agent
from tests.wire import COMMAND, SANDBOX_KEY, WITHIN_S

from kie_runway.setup.clients import CLIENTS, ClientName, Machine

READER = Path(__file__).with_name("read_config.mjs")
# With comments where the client takes them, and what else people have in such files.
FILES = {
    ClientName.CLAUDE_DESKTOP: '{\n  "globalShortcut": "",\n  "mcpServers": {}\n}',
    ClientName.CLAUDE_CODE: '{\n  "numStartups": 7,\n  "projects": {}\n}\n',
    ClientName.CURSOR: '// mine\n{\n  "mcpServers": {\n    "x": {"url": "x"}, // one\n  }\n}',
    ClientName.VSCODE: '{\n\t"servers": {\n\t},\n\t"inputs": [],\n}\n',
}


def run(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command in a home of its own."""
    return subprocess.run(
        (*COMMAND, *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home)} | env,
    )


def read(node: str, name: ClientName, home: Path) -> Mapping[str, Any]:
    """The entry for us, as the client reads its file."""
    client = CLIENTS[name]
    path = Path(Machine("linux", str(home)).file_of(client))
    done = subprocess.run(
        (node, str(READER), str(path), json.dumps(client.takes_comments)),
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, done.stderr
    server: Mapping[str, Any] = json.loads(done.stdout)[client.servers]["kie-runway"]
    return server


def resolved(text: str, variables: Mapping[str, str], inputs: Mapping[str, str]) -> str:
    """What a client makes of its placeholders."""
    text = re.sub(r"\$\{input:([^}]*)\}", lambda found: inputs[found[1]], text)
    return re.sub(r"\$\{(?:env:)?([A-Z_]+)(?::-)?\}", lambda found: variables[found[1]], text)


async def ask_for_credits(server: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Start exactly what the file says, and use the key."""
    parameters = StdioServerParameters(
        command=server["command"], args=server["args"], env=dict(env)
    )
    with anyio.fail_after(WITHIN_S):
        async with Client(parameters) as client:
            return await Agent(client).call("get_credits")


async def watch_a_video(server: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Start exactly what the file says, ask for a video, and wait for it."""
    parameters = StdioServerParameters(
        command=server["command"], args=server["args"], env=dict(env)
    )
    with anyio.fail_after(2 * WITHIN_S):
        async with Client(parameters) as client:
            agent = Agent(client)
            task = await agent.call("generate_video", prompt="a boat")
            while task["state"] not in ("success", "fail"):
                task = await agent.call("get_task", task_id=task["task_id"], wait_seconds=45)
            return await agent.call("save_video", task_id=task["task_id"])


@pytest.mark.parametrize("name", ClientName)
def test_a_newcomer_gets_a_video_from_the_sandbox(
    node: str, name: ClientName, tmp_path: Path
) -> None:
    done = run(tmp_path, "install", name, "--sandbox")
    assert done.returncode == 0, done.stderr
    server = read(node, name, tmp_path)
    task = anyio.run(watch_a_video, server, {"HOME": str(tmp_path)} | server.get("env", {}))

    assert task["state"] == "success"
    assert Path(task["file"]).read_bytes()[4:8] == b"ftyp"
    assert Path(task["file"]).is_relative_to(tmp_path)
    assert run(tmp_path, "uninstall", name).returncode == 0
    assert not Path(Machine("linux", str(tmp_path)).file_of(CLIENTS[name])).exists()


@pytest.mark.parametrize("name", ClientName)
def test_with_a_key_each_client_hands_it_to_the_server(
    node: str, name: ClientName, tmp_path: Path
) -> None:
    """The file was there before, and is again afterwards; the key is where the client has it."""
    path = Path(Machine("linux", str(tmp_path)).file_of(CLIENTS[name]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES[name])
    with standalone_sandbox() as kie:
        key = kie.env["KIE_API_KEY"]
        done = run(tmp_path, "install", name, "--daily-credits", "100", KIE_API_KEY=key)
        assert done.returncode == 0, done.stderr
        server = read(node, name, tmp_path)
        env = {
            variable: resolved(value, {"KIE_API_KEY": key}, {"kie-api-key": key})
            for variable, value in server["env"].items()
        }
        others = {variable: it for variable, it in kie.env.items() if variable != "KIE_API_KEY"}
        credits = anyio.run(ask_for_credits, server, others | env | {"HOME": str(tmp_path)})

    assert env == {"KIE_API_KEY": SANDBOX_KEY, "KIE_DAILY_CREDITS": "100"}
    assert credits["credits"] == 1000
    assert SANDBOX_KEY not in done.stdout + done.stderr
    assert (SANDBOX_KEY in path.read_text()) is (name is ClientName.CLAUDE_DESKTOP)
    assert run(tmp_path, "uninstall", name).returncode == 0
    assert path.read_text() == FILES[name]


def test_the_command_tells_its_mistakes_by_its_exit_code(tmp_path: Path) -> None:
    for arguments in (("cursor", "--daily-credits", "nan"), ("emacs",)):
        done = run(tmp_path, "install", *arguments)

        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
