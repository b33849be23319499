"""The workshop runs commands as a reader's shell would, and sees when one fails."""

from pathlib import Path

import pytest
from tests.readers.workshop import Workshop


@pytest.mark.parametrize(
    "command",
    [
        "kie-runway-mcp tasks --jason",
        "kie-runway-mcp tasks show no-such-task",
        "kie-runway-mcp serve --http --prt 8000",
        "kie-runway-mcp sandbox --speed none",
        "cat no-such-file",
        "false | true",
        "no-such-command",
    ],
)
def test_a_command_that_fails_is_caught(command: str, tmp_path: Path) -> None:
    with Workshop(tmp_path) as workshop, pytest.raises(AssertionError):
        workshop.run(command)


def test_what_one_command_sets_the_next_one_has(tmp_path: Path) -> None:
    with Workshop(tmp_path) as workshop:
        workshop.run("mkdir inner && cd inner")
        workshop.run("export SAID='two words'")

        assert workshop.run('echo "$SAID in ${PWD##*/}"') == "two words in inner\n"


def test_nothing_of_the_readers_own_reaches_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIE_API_KEY", "mine")
    with Workshop(tmp_path) as workshop:
        assert workshop.run('echo "${KIE_API_KEY-none} $HOME"') == f"none {tmp_path / 'home'}\n"


def test_servers_are_started_and_asked_at_a_free_port(tmp_path: Path) -> None:
    with Workshop(tmp_path) as workshop:
        assert "openapi" in workshop.run("kie-runway-mcp sandbox --port 8765 --speed 20")
        assert workshop.run("curl -fsS http://127.0.0.1:8765/openapi.yaml").startswith("openapi")
        assert "serverInfo" in workshop.run("kie-runway-mcp serve --sandbox")
