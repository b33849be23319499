"""What is told of the clients on this machine."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.server.doctor.looking import told
from tests.support import KEY

from kie_runway.doctor.clients import check_clients, look_around, stored_key
from kie_runway.doctor.finding import Finding, State
from kie_runway.setup.clients import CLIENTS, ClientName, Machine
from kie_runway.setup.entry import Wish
from kie_runway.setup.install import install

OFF, OK, WARNING, FAILED = State.OFF, State.OK, State.WARNING, State.FAILED
DESKTOP, CODE, CURSOR, VSCODE = ClientName
TITLES = ("Claude Desktop", "Claude Code", "Cursor", "VS Code")


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "VSCODE_PORTABLE", "VSCODE_APPDATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KIE_API_KEY", KEY)
    monkeypatch.chdir(tmp_path / "project")


def added(name: ClientName, wish: Wish | None = None, *, project: bool = False) -> Path:
    """Install; returns the file."""
    wish = wish or Wish()
    assert install(name, wish, project=project, print_only=False, force=True) == 0
    return Path(Machine.here().file_of(CLIENTS[name]))


def write(name: ClientName, **servers: Any) -> Path:
    path = Path(Machine.here().file_of(CLIENTS[name]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({CLIENTS[name].servers: servers}))
    return path


def look() -> Sequence[Finding]:
    findings = check_clients(look_around())
    assert not [it for it in findings if KEY[:6] in it.says + it.cure + it.command]
    return findings


def only(title: str) -> Finding:
    (finding,) = [it for it in look() if it.name == title]
    told([finding])
    return finding


def test_clients_without_us_are_told_how_to_get_us() -> None:
    findings = look()

    assert told(findings) == [(title, OFF) for title in TITLES]
    assert findings[3].command.endswith("kie-runway-mcp install vscode")
    assert stored_key(look_around()) is None


@pytest.mark.parametrize("wish", [Wish(), Wish(sandbox=True)], ids=["key", "sandbox"])
def test_what_install_wrote_is_well(wish: Wish) -> None:
    for name in ClientName:
        added(name, wish)

    assert told(look()) == [(title, OK) for title in TITLES]


def test_projects_are_looked_at_as_well() -> None:
    added(CURSOR)
    added(CURSOR, project=True)
    says = [it.says for it in look() if it.name == "Cursor"]

    assert len(says) == 2
    assert "(in .cursor/mcp.json)" in says[1]


def test_in_the_home_directory_a_file_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    added(CURSOR)
    (tmp_path / "link").symlink_to(tmp_path)
    for home in (tmp_path, tmp_path / "link"):
        monkeypatch.chdir(home)

        assert only("Cursor").state is OK


def unpack(home: Path, folder: str, manifest: str) -> None:
    """As Claude Desktop does it."""
    application = Path(Machine.here().file_of(CLIENTS[DESKTOP])).parent
    path = application / "Claude Extensions" / folder / "manifest.json"
    assert path.is_relative_to(home)
    path.parent.mkdir(parents=True)
    path.write_text(manifest)


def test_the_bundle_is_known_and_keeps_its_key(tmp_path: Path) -> None:
    unpack(tmp_path, "a.broken.one", "{")
    unpack(tmp_path, "ant.dir.other", '{"name": "other", "version": "7"}')
    assert only("Claude Desktop").state is OFF
    unpack(tmp_path, "local.mcpb.x", '{"name": "kie-runway-mcp", "version": "0.0.9"}')
    kept = stored_key(look_around())

    assert only("Claude Desktop") == Finding("Claude Desktop", OK, "has the bundle, version 0.0.9")
    assert kept is not None
    assert (kept.client, kept.key) == ("Claude Desktop", None)
    write(CODE, **{"kie-runway": {"command": sys.executable, "env": {"KIE_HOME": "/elsewhere"}}})
    assert told(look())[-1] == ("ledgers", WARNING)


@pytest.mark.parametrize("key", ["${KIE_API_KEY}", "${KIE_API_KEY:-}", ""])
def test_every_way_to_the_variable_is_known(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.delenv("KIE_API_KEY")
    write(CODE, **{"kie-runway": {"command": sys.executable, "env": {"KIE_API_KEY": key}}})

    assert only("Claude Code").state is WARNING


def test_a_key_in_a_variable_that_is_not_set_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added(CODE)
    added(CURSOR)
    monkeypatch.delenv("KIE_API_KEY")

    assert only("Claude Code").state is only("Cursor").state is WARNING
    assert "Set KIE_API_KEY" in only("Cursor").cure


def test_a_command_that_is_gone_is_told() -> None:
    write(CURSOR, **{"kie-runway": {"command": "/gone/bin/kie-runway-mcp", "args": ["serve"]}})
    finding = only("Cursor")

    assert finding.state is FAILED
    assert "/gone/bin/kie-runway-mcp, which is not there" in finding.says
    assert finding.cure == "Run:"
    assert finding.command.endswith("kie-runway-mcp install cursor")


def test_an_entry_under_another_name_is_known_by_its_command() -> None:
    write(
        CURSOR,
        mine={"command": "uvx-that-is-nowhere", "args": ["kie-runway-mcp", "serve", "--sandbox"]},
        other={"command": "npx", "args": ["something-else"]},
        remote={"url": "https://mcp.example"},
    )

    finding = only("Cursor")

    assert finding.says.startswith("mine starts uvx-that-is-nowhere")
    assert finding.cure.startswith("Remove it from ")
    assert finding.command.endswith("kie-runway-mcp install cursor --sandbox")


def test_another_version_is_told(tmp_path: Path) -> None:
    command = tmp_path / "old" / "bin" / "kie-runway-mcp"
    packages = tmp_path / "old" / "lib" / "python3.11" / "site-packages"
    (packages / "kie_runway_mcp-0.0.9.dist-info").mkdir(parents=True)
    command.parent.mkdir()
    command.touch(0o755)
    write(CURSOR, **{"kie-runway": {"command": str(command), "env": {"KIE_API_KEY": "x"}}})
    finding = only("Cursor")

    assert finding.state is WARNING
    assert "version 0.0.9" in finding.says


def test_another_installation_of_the_same_version_is_well(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "kie-runway-mcp"
    command.parent.mkdir()
    command.touch(0o755)
    write(CURSOR, **{"kie-runway": {"command": str(command), "env": {"KIE_API_KEY": "x"}}})

    assert only("Cursor").state is OK


@pytest.mark.parametrize("key", ["${KIE_API_KEY}", " ", None, 12345])
def test_claude_desktop_without_a_key_is_told(key: object) -> None:
    path = added(DESKTOP)
    config = json.loads(path.read_text())
    config["mcpServers"]["kie-runway"]["env"]["KIE_API_KEY"] = key
    path.write_text(json.dumps(config))

    assert only("Claude Desktop").state is FAILED
    assert stored_key(look_around()) is None


def test_vs_code_without_its_input_is_told() -> None:
    path = added(VSCODE)
    config = json.loads(path.read_text())
    del config["inputs"]
    path.write_text(json.dumps(config))

    assert only("VS Code").state is FAILED


@pytest.mark.parametrize("text", ['{"mcpServers": }', "\xff"])
def test_a_file_that_cannot_be_read_is_told_with_its_place(text: str) -> None:
    path = write(CURSOR)
    path.write_bytes(text.encode("latin-1"))
    finding = only("Cursor")

    assert finding.state is FAILED
    assert str(path) in finding.says
    assert "line 1" in finding.says


def test_odd_files_are_looked_over() -> None:
    for text in ("[]", '{"mcpServers": []}', '{"mcpServers": {"kie-runway": 1}}', "  "):
        write(CURSOR).write_text(text)

        assert only("Cursor").state is OFF


def test_clients_on_different_ledgers_are_told() -> None:
    added(CURSOR)
    server = json.loads(added(CODE).read_text())["mcpServers"]["kie-runway"]
    server["env"]["KIE_HOME"] = "/elsewhere"
    write(CODE, **{"kie-runway": server})
    added(VSCODE, Wish(sandbox=True))

    assert told(look())[-1] == ("ledgers", WARNING)


def test_the_key_that_a_client_keeps_is_found() -> None:
    added(VSCODE)
    secret = stored_key(look_around())
    added(DESKTOP)
    kept = stored_key(look_around())

    assert secret is not None
    assert (secret.client, secret.key) == ("VS Code", None)
    assert kept is not None
    assert kept.client == "Claude Desktop"
    assert kept.key is not None
    assert kept.key.get_secret_value() == KEY
    assert KEY not in repr(kept)
    assert KEY not in repr(look_around())


def test_without_a_home_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)

    assert told(look())[-1] == ("clients", FAILED)
