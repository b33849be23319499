"""`install` and `uninstall`, as people and scripts see them."""

import getpass
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kie_runway.setup.clients import CLIENTS, ClientName, Machine
from kie_runway.setup.entry import Wish
from kie_runway.setup.install import install, uninstall
from kie_runway.setup.jsonc import parse

KEY = 'kie-planted"key\\Zq7+fK93mX=='
DESKTOP, CODE, CURSOR, VSCODE = ClientName
PROJECT_CLIENTS = (CODE, CURSOR, VSCODE)


@dataclass(frozen=True)
class Desk:
    """A user's home and a project, both empty at first."""

    home: Path
    project: Path
    capsys: pytest.CaptureFixture[str]

    def path(self, name: ClientName) -> Path:
        return Path(Machine.here().file_of(CLIENTS[name]))

    def install(
        self,
        name: ClientName,
        wish: Wish | None = None,
        *,
        project: bool = False,
        print_only: bool = False,
        force: bool = False,
        code: int = 0,
    ) -> str:
        """What is said, on stdout or else on stderr."""
        wish = wish or Wish()
        found = install(name, wish, project=project, print_only=print_only, force=force)
        return self._said(found, code)

    def uninstall(
        self, name: ClientName, *, project: bool = False, force: bool = False, code: int = 0
    ) -> str:
        return self._said(uninstall(name, project=project, force=force), code)

    def server(self, name: ClientName) -> Mapping[str, Any]:
        """The entry in a client's file."""
        config: Any = parse(self.path(name).read_text(encoding="utf-8")).root.plain
        server: Mapping[str, Any] = config[CLIENTS[name].servers]["kie-runway"]
        return server

    def write(self, name: ClientName, text: str) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def _said(self, found: int, code: int) -> str:
        out, err = self.capsys.readouterr()
        assert found == code, out + err
        assert KEY not in out + err
        assert bool(err) is (code != 0) or "nothing was written" in err
        return out if code == 0 else err


@pytest.fixture(name="desk")
def _desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    home, project = tmp_path / "ana", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "VSCODE_PORTABLE", "VSCODE_APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KIE_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(project)
    return Desk(home, project, capsys)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", ClientName)
def test_in_an_empty_home_it_comes_and_goes_without_a_trace(desk: Desk, name: ClientName) -> None:
    said = desk.install(name)
    path = desk.path(name)

    assert str(path) in said
    assert CLIENTS[name].title in said
    assert f"kie-runway-mcp uninstall {name}\n" in said
    assert CLIENTS[name].restart.split()[0] in said
    assert desk.server(name)["command"] == str(Path(sys.executable).with_name("kie-runway-mcp"))
    assert list(files(desk.home)) == [str(path.relative_to(desk.home))]

    assert "It is gone" in desk.uninstall(name)
    assert not path.exists()
    assert "Nothing to do" in desk.uninstall(name)


@pytest.mark.parametrize("name", PROJECT_CLIENTS)
def test_a_project_has_a_file_of_its_own(desk: Desk, name: ClientName) -> None:
    said = desk.install(name, project=True)
    project_file = CLIENTS[name].project_file
    assert project_file is not None

    assert files(desk.home) == {}
    assert list(files(desk.project)) == [str(project_file)]
    assert f"uninstall {name} --project" in said
    desk.uninstall(name, project=True)
    assert not (desk.project / project_file).exists()


def test_claude_desktop_has_no_projects(desk: Desk) -> None:
    assert "leave --project out" in desk.install(DESKTOP, project=True, code=2)


@pytest.mark.parametrize("name", ClientName)
def test_what_the_user_wrote_comes_back_to_the_byte(desk: Desk, name: ClientName) -> None:
    servers = CLIENTS[name].servers
    original = (
        f'\ufeff// mine\r\n{{\r\n\t"theme": "dark", // yes\r\n\t"{servers}": {{\r\n'
        '\t\t"other": {"command": "x",},\r\n\t},\r\n}\r\n'
    )
    path = desk.write(name, original)
    path.chmod(0o644)
    desk.install(name)
    changed = path.read_bytes().decode()
    said = desk.uninstall(name)

    assert "// mine" in changed
    assert '"other": {"command": "x",}' in changed
    assert path.read_bytes().decode() == original
    assert path.stat().st_mode & 0o777 == (0o600 if name is DESKTOP else 0o644)  # it held the key
    assert ".bak" in said


@pytest.mark.parametrize("name", ClientName)
def test_a_second_time_changes_nothing(desk: Desk, name: ClientName) -> None:
    desk.install(name)
    before = files(desk.home)

    assert "already" in desk.install(name)
    assert files(desk.home) == before


def test_a_file_that_holds_the_key_need_not_be_given_it_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.install(DESKTOP)
    monkeypatch.delenv("KIE_API_KEY")

    assert "already" in desk.install(DESKTOP)
    desk.install(DESKTOP, Wish(daily_credits=5), force=True)
    assert desk.server(DESKTOP)["env"] == {"KIE_API_KEY": KEY, "KIE_DAILY_CREDITS": "5"}


@pytest.mark.parametrize("name", ClientName)
def test_another_entry_is_shown_and_replaced_only_by_force(desk: Desk, name: ClientName) -> None:
    servers = CLIENTS[name].servers
    old = {"command": "old", "env": {"KIE_API_KEY": KEY, "TOKEN": 5, "KIE_HOME": "/h"}}
    path = desk.write(name, json.dumps({servers: {"kie-runway": old}}))
    before = files(desk.home)
    said = desk.install(name, code=1)

    assert '"command": "old"' in said
    assert '"KIE_HOME": "/h"' in said
    assert '"TOKEN": "[redacted]"' in said
    assert "--force" in said
    assert files(desk.home) == before
    desk.install(name, force=True)
    assert desk.server(name)["command"] != "old"
    (backup,) = path.parent.glob("*.bak")
    assert json.loads(backup.read_bytes()) == {servers: {"kie-runway": old}}


@pytest.mark.parametrize("name", ClientName)
def test_after_a_trial_the_real_one_takes_its_place(desk: Desk, name: ClientName) -> None:
    desk.install(name, Wish(sandbox=True, daily_credits=5))
    said = desk.install(name)
    own = str(Path(sys.executable).with_name("kie-runway-mcp"))

    assert f"was     {own} serve --sandbox" in said
    assert "older entry of ours was replaced" in said
    assert desk.server(name)["args"] == ["serve"]
    assert set(desk.server(name)["env"]) == {"KIE_API_KEY", "KIE_DAILY_CREDITS"}
    (backup,) = desk.path(name).parent.glob("*.bak")
    assert "--sandbox" in backup.read_text()


def test_going_back_to_the_sandbox_takes_the_key_out(desk: Desk) -> None:
    desk.install(DESKTOP)
    said = desk.install(DESKTOP, Wish(sandbox=True))

    assert "env" not in desk.server(DESKTOP)
    assert "still holds your key" in said


def test_an_older_entry_of_ours_keeps_what_the_user_gave_it(desk: Desk) -> None:
    env = {"KIE_HOME": "/h", "KIE_DAILY_CREDITS": "5", "KIE_API_KEY": "${KIE_API_KEY}"}
    old = {"command": "/old/kie-runway-mcp", "timeout": 120, "env": env}
    desk.write(CODE, json.dumps({"mcpServers": {"kie-runway": old}}))
    desk.install(CODE)
    server = desk.server(CODE)

    assert server["timeout"] == 120
    assert server["command"] != old["command"]
    assert server["env"] == env | {"KIE_API_KEY": "${KIE_API_KEY:-}"}
    assert "already" in desk.install(CODE)
    desk.install(CODE, force=True)
    assert desk.server(CODE)["env"] == {"KIE_API_KEY": "${KIE_API_KEY:-}"}


@pytest.mark.parametrize("print_only", [False, True])
def test_an_environment_that_will_be_gone_is_put_into_no_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, print_only: bool
) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/ana/.cache/uv/archive-v0/Zk3_9")
    said = desk.install(CURSOR, print_only=print_only, code=2)

    assert "make demo" in said
    assert ".venv/bin/kie-runway-mcp" in said
    assert files(desk.home) == {}


@pytest.mark.parametrize("name", ClientName)
def test_print_shows_json_and_writes_nothing(desk: Desk, name: ClientName) -> None:
    shown = json.loads(desk.install(name, print_only=True))
    (server,) = shown[CLIENTS[name].servers].values()

    assert server["env"]["KIE_API_KEY"] == (CLIENTS[name].key or "<your KIE API key>")
    assert files(desk.home) == {}


@pytest.mark.parametrize("name", ClientName)
def test_the_sandbox_is_written_without_a_key(desk: Desk, name: ClientName) -> None:
    desk.install(name, Wish(sandbox=True))

    assert desk.server(name)["args"] == ["serve", "--sandbox"]
    assert "env" not in desk.server(name)
    assert KEY.encode() not in b"".join(files(desk.home).values())


@pytest.mark.parametrize("name", PROJECT_CLIENTS)
def test_the_key_is_not_written_where_the_client_can_keep_it(desk: Desk, name: ClientName) -> None:
    desk.install(name)

    assert json.dumps(KEY)[1:-1].encode() not in desk.path(name).read_bytes()
    assert desk.server(name)["env"]["KIE_API_KEY"].startswith("${")


def test_claude_desktop_holds_the_key_and_is_told_of_the_bundle(desk: Desk) -> None:
    desk.path(DESKTOP).parent.mkdir(parents=True)
    desk.path(DESKTOP).write_text("{}")  # for all to read
    said = desk.install(DESKTOP)

    assert desk.server(DESKTOP)["env"]["KIE_API_KEY"] == KEY
    assert ".mcpb" in said
    assert desk.path(DESKTOP).stat().st_mode & 0o077 == 0
    assert "still holds your key" in desk.uninstall(DESKTOP)


def test_without_a_terminal_and_a_key_it_says_how_to_give_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIE_API_KEY")
    said = desk.install(DESKTOP, code=2)

    assert "KIE_API_KEY" in said
    assert ".mcpb" in said
    assert files(desk.home) == {}


@pytest.mark.parametrize(
    ("typed", "code"), [(f"  {KEY}\n", 0), ("", 2), ("two words", 2), ("line\nbreak", 2)]
)
def test_in_a_terminal_the_key_is_asked_for_and_not_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return typed

    monkeypatch.delenv("KIE_API_KEY")
    monkeypatch.setattr(getpass, "getpass", ask)
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    desk.install(DESKTOP, code=code)

    assert len(asked) == 1
    if code == 0:
        assert desk.server(DESKTOP)["env"]["KIE_API_KEY"] == KEY
    else:
        assert files(desk.home) == {}


@pytest.mark.parametrize("name", ClientName)
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3"),
        ("[]", "line 1, column 1"),
        ('{"%s": []}', "line 1, column"),
        ('{"%s": {"kie-runway": 1, "kie-runway": 2}}', "line 1, column"),
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_left_as_it_is(
    desk: Desk, name: ClientName, text: str, place: str
) -> None:
    text = text.replace("%s", CLIENTS[name].servers)
    path = desk.write(name, text)
    for said in (desk.install(name, force=True, code=2), desk.uninstall(name, code=2)):
        assert str(path) in said
        assert place in said
        assert "left as it is" in said

    assert files(desk.home) == {str(path.relative_to(desk.home)): text.encode()}


def test_vs_codes_inputs_that_are_no_array_are_left_as_they_are(desk: Desk) -> None:
    path = desk.write(VSCODE, '{"inputs": {}}')

    assert "an array should stand here" in desk.install(VSCODE, code=2)
    assert path.read_text() == '{"inputs": {}}'


def test_an_input_of_our_name_that_the_user_wrote_stays(desk: Desk) -> None:
    mine = '{"inputs": [{"id": "kie-api-key", "type": "promptString", "description": "x"}]}'
    path = desk.write(VSCODE, mine)
    desk.install(VSCODE)
    config: Any = json.loads(path.read_text())

    assert len(config["inputs"]) == 1
    assert config["inputs"][0]["description"] == "x"
    desk.uninstall(VSCODE)
    assert path.read_text() == mine


def test_an_input_that_another_server_uses_stays(desk: Desk) -> None:
    desk.install(VSCODE)
    path = desk.path(VSCODE)
    config: Any = json.loads(path.read_text())
    config["servers"]["mine"] = {"command": "x", "env": {"K": "${input:kie-api-key}"}}
    path.write_text(json.dumps(config))
    desk.uninstall(VSCODE)
    left: Any = json.loads(path.read_text())

    assert list(left["servers"]) == ["mine"]
    assert [it["id"] for it in left["inputs"]] == ["kie-api-key"]


def test_changing_to_the_sandbox_takes_no_input_along(desk: Desk) -> None:
    desk.install(VSCODE, Wish(sandbox=True))
    desk.install(VSCODE, force=True)
    desk.uninstall(VSCODE)

    assert not desk.path(VSCODE).exists()


def test_comments_that_a_client_cannot_read_are_pointed_at(desk: Desk) -> None:
    desk.write(DESKTOP, "{\n  // mine\n}")

    assert "line 2, column 3" in " ".join(desk.install(DESKTOP).split())


def test_without_a_home_it_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)

    assert "set HOME" in desk.install(CURSOR, code=2)
    assert "set HOME" in desk.uninstall(CURSOR, code=2)


def test_a_fifo_in_a_projects_place_is_refused_at_once(desk: Desk) -> None:
    (desk.project / ".cursor").mkdir()
    os.mkfifo(desk.project / ".cursor" / "mcp.json")

    assert "no regular file" in desk.install(CURSOR, project=True, code=2)


def test_a_name_with_control_characters_does_not_reach_the_terminal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = desk.project / "\x1b[31mred"
    odd.mkdir()
    monkeypatch.chdir(odd)

    for said in (desk.install(CURSOR, project=True), desk.uninstall(CURSOR, project=True)):
        assert "\x1b" not in said
        assert "\\u001b[31mred" in said


@pytest.mark.parametrize("name", ClientName)
def test_another_programs_entry_stays_and_its_secrets_are_not_shown(
    desk: Desk, name: ClientName
) -> None:
    servers = CLIENTS[name].servers
    foreign = {"url": "https://u:pw-9f3a@x.example", "headers": {"Authorization": "Bearer tok-77"}}
    before = json.dumps({servers: {"kie-runway": foreign | {"args": ["--key", "sk-5150"]}}})
    path = desk.write(name, before)
    said = desk.uninstall(name, code=1) + desk.install(name, code=1)

    assert path.read_text() == before
    assert "--force" in said
    assert not any(secret in said for secret in ("pw-9f3a", "tok-77", "sk-5150"))
    assert "no longer" in desk.uninstall(name, force=True)


@pytest.mark.parametrize("env", ['{"KIE_API_KEY": null}', '{"KIE_API_KEY": "${user_config.k}"}'])
def test_what_is_no_key_is_not_taken_for_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, env: str
) -> None:
    monkeypatch.delenv("KIE_API_KEY")
    before = f'{{"mcpServers": {{"kie-runway": {{"command": "kie-runway-mcp", "env": {env}}}}}}}'
    path = desk.write(DESKTOP, before)

    assert "needs the key" in desk.install(DESKTOP, code=2)
    assert path.read_text() == before


def test_an_entry_that_is_no_object_is_refused_by_its_place(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIE_API_KEY")
    desk.write(DESKTOP, '{"mcpServers": {"kie-runway": {"env": []}}}')

    assert "line 1, column" in desk.install(DESKTOP, code=2)
