"""Where each client keeps its servers, on every system."""

import sys
from pathlib import Path

import pytest

from kie_runway.setup.clients import CLIENTS, ClientName, Machine

MAC, WINDOWS, LINUX = "darwin", "win32", "linux"
HOMES = {MAC: "/Users/ana", WINDOWS: r"C:\Users\ana", LINUX: "/home/ana"}
DESKTOP, CODE, CURSOR, VSCODE = ClientName


@pytest.mark.parametrize(
    ("platform", "name", "path"),
    [
        (MAC, DESKTOP, "~/Library/Application Support/Claude/claude_desktop_config.json"),
        (WINDOWS, DESKTOP, r"~\AppData\Roaming\Claude\claude_desktop_config.json"),
        (LINUX, DESKTOP, "~/.config/Claude/claude_desktop_config.json"),
        (MAC, CODE, "~/.claude.json"),
        (WINDOWS, CODE, r"~\.claude.json"),
        (LINUX, CODE, "~/.claude.json"),
        (MAC, CURSOR, "~/.cursor/mcp.json"),
        (WINDOWS, CURSOR, r"~\.cursor\mcp.json"),
        (LINUX, CURSOR, "~/.cursor/mcp.json"),
        (MAC, VSCODE, "~/Library/Application Support/Code/User/mcp.json"),
        (WINDOWS, VSCODE, r"~\AppData\Roaming\Code\User\mcp.json"),
        (LINUX, VSCODE, "~/.config/Code/User/mcp.json"),
        ("freebsd14", VSCODE, "~/.config/Code/User/mcp.json"),
    ],
)
def test_each_client_has_its_place(platform: str, name: ClientName, path: str) -> None:
    home = HOMES.get(platform, HOMES[LINUX])

    assert str(Machine(platform, home).file_of(CLIENTS[name])) == path.replace("~", home)


@pytest.mark.parametrize(
    ("platform", "name", "variables", "path"),
    [
        (LINUX, DESKTOP, {"XDG_CONFIG_HOME": "/x"}, "/x/Claude/claude_desktop_config.json"),
        (LINUX, VSCODE, {"XDG_CONFIG_HOME": "/x"}, "/x/Code/User/mcp.json"),
        (LINUX, VSCODE, {"XDG_CONFIG_HOME": ""}, "/home/ana/.config/Code/User/mcp.json"),
        (LINUX, VSCODE, {"XDG_CONFIG_HOME": "x/y"}, "/home/ana/.config/Code/User/mcp.json"),
        (LINUX, VSCODE, {"VSCODE_PORTABLE": "/p"}, "/p/user-data/User/mcp.json"),
        (LINUX, VSCODE, {"VSCODE_APPDATA": "/a"}, "/a/Code/User/mcp.json"),
        (LINUX, CODE, {"CLAUDE_CONFIG_DIR": "/c"}, "/c/.claude.json"),
        (MAC, DESKTOP, {"XDG_CONFIG_HOME": "/x"}, None),
        (WINDOWS, DESKTOP, {"APPDATA": r"D:\R"}, r"D:\R\Claude\claude_desktop_config.json"),
        (WINDOWS, VSCODE, {"APPDATA": r"D:\R"}, r"D:\R\Code\User\mcp.json"),
    ],
)
def test_variables_move_it_as_they_move_the_client(
    platform: str, name: ClientName, variables: dict[str, str], path: str | None
) -> None:
    client = CLIENTS[name]
    usual = Machine(platform, HOMES[platform]).file_of(client)
    found = Machine(platform, HOMES[platform], variables).file_of(client)

    assert str(found) == (path or str(usual))


def test_claude_desktop_from_its_windows_installer_keeps_a_private_copy() -> None:
    packages = ("Microsoft.Paint_8wekyb3d8bbwe", "Claude_pzs8sxrjxfjjc")
    inside = r"Claude_pzs8sxrjxfjjc\LocalCache\Roaming\Claude\claude_desktop_config.json"
    client = CLIENTS[DESKTOP]
    here = Machine(WINDOWS, HOMES[WINDOWS], {}, packages)
    moved = Machine(WINDOWS, HOMES[WINDOWS], {"LOCALAPPDATA": r"D:\L"}, packages)

    assert str(here.file_of(client)) == rf"C:\Users\ana\AppData\Local\Packages\{inside}"
    assert str(moved.file_of(client)) == rf"D:\L\Packages\{inside}"
    assert Machine(LINUX, HOMES[LINUX], {}, packages).file_of(client) == Machine(
        LINUX, HOMES[LINUX]
    ).file_of(client)


def test_this_machine_is_told_by_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    machine = Machine.here()

    assert machine.platform == sys.platform
    assert machine.home == str(tmp_path)
    assert machine.environment["XDG_CONFIG_HOME"] == str(tmp_path / "xdg")


def test_on_windows_the_installed_packages_are_looked_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "Packages" / "Claude_x").mkdir(parents=True)
    (tmp_path / "Packages" / "Other").mkdir()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))

    assert Machine.here().packages == ["Claude_x"]
