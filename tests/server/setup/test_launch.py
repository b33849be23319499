"""The command that clients are told to start."""

import sys
from pathlib import Path

import pytest

from kie_runway.setup.launch import Environment, Launch


def nowhere(_: str) -> str | None:
    return None


def test_it_is_the_command_of_this_environment_by_its_whole_path(tmp_path: Path) -> None:
    script = tmp_path / "kie-runway-mcp"
    script.touch()
    environment = Environment(str(tmp_path), str(tmp_path), "/usr/bin/python3")

    assert environment.launch(sandbox=False) == Launch(str(script), ["serve"])
    assert environment.launch(sandbox=True) == Launch(str(script), ["serve", "--sandbox"])


def test_without_it_the_interpreter_runs_the_package(tmp_path: Path) -> None:
    environment = Environment(str(tmp_path), str(tmp_path), "/usr/bin/python3")

    assert environment.launch(sandbox=False) == Launch(
        "/usr/bin/python3", ["-m", "kie_runway", "serve"]
    )


@pytest.mark.parametrize(
    "prefix",
    [
        "/home/ana/.cache/uv/archive-v0/Zk3_9",
        "/home/ana/.cache/uv/environments-v2/kie-runway-mcp-1a2b",
        "/home/ana/.cache/uv/builds-v0/.tmpX1",
        r"C:\Users\ana\AppData\Local\uv\cache\archive-v0\Zk3_9",
        "/home/ana/.local/pipx/.cache/2f1c",
        "/home/ana/.cache/pipx/2f1c",
    ],
)
def test_an_environment_that_will_be_gone_is_not_named(prefix: str) -> None:
    environment = Environment(prefix, f"{prefix}/bin", f"{prefix}/bin/python", nowhere)

    assert environment.is_throw_away
    assert environment.launch(sandbox=False) == Launch("uvx", ["kie-runway-mcp", "serve"])
    assert environment.launch(sandbox=True) == Launch(
        "uvx", ["--from", "kie-runway-mcp[sandbox]", "kie-runway-mcp", "serve", "--sandbox"]
    )


def test_uvx_is_named_by_its_whole_path_for_clients_with_a_short_path() -> None:
    environment = Environment(
        "/c/uv/archive-v0/x", "/c/bin", "/c/python", lambda name: f"/home/ana/.local/bin/{name}"
    )

    assert environment.launch(sandbox=False).command == "/home/ana/.local/bin/uvx"


@pytest.mark.parametrize(
    "prefix",
    [
        "/home/ana/work/.venv",
        "/home/ana/.local/share/uv/tools/kie-runway-mcp",
        "/home/ana/.local/share/pipx/venvs/kie-runway-mcp",
        r"C:\Users\ana\AppData\Roaming\uv\tools\kie-runway-mcp",
    ],
)
def test_an_environment_that_stays_is_named(prefix: str) -> None:
    assert not Environment(prefix, prefix, prefix).is_throw_away


def test_here_it_is_the_command_that_is_installed() -> None:
    launch = Environment.here().launch(sandbox=False)

    assert Path(launch.command) == Path(sys.executable).with_name("kie-runway-mcp")
    assert launch.args == ["serve"]
