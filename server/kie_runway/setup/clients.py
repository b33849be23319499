"""The MCP clients that this server can be installed in: where each keeps its servers, and how."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

# Claude Desktop from its Windows installer sees a private copy of %APPDATA%, and this is the place
# of that; the name ends in an identifier of the publisher.
_PACKAGES = ("AppData", "Local", "Packages")
_PACKAGE_PREFIX = "Claude_"


class ClientName(StrEnum):
    """The names that the commands take."""

    CLAUDE_DESKTOP = "claude-desktop"
    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"


@dataclass(frozen=True)
class Client:
    """
    How a client keeps its servers.

    Attributes:
        title: What people call it.
        servers: The member of its file that holds them.
        states_type: Whether each says that it is on stdio.
        key: What stands for the key in the file; None where only the key itself can.
        takes_comments: Whether its reader allows them, and trailing commas.
        project_file: Where a project has servers of its own; None if that does not exist.
        restart: What the user has to do, so that it sees a change.
    """

    name: ClientName
    title: str
    servers: str
    states_type: bool
    key: str | None
    takes_comments: bool
    project_file: PurePosixPath | None
    restart: str


CLAUDE_DESKTOP = Client(
    name=ClientName.CLAUDE_DESKTOP,
    title="Claude Desktop",
    servers="mcpServers",
    states_type=False,
    key=None,
    takes_comments=False,
    project_file=None,
    restart="Quit Claude Desktop, also from its menu bar or tray icon, and start it again.",
)
CLAUDE_CODE = Client(
    name=ClientName.CLAUDE_CODE,
    title="Claude Code",
    servers="mcpServers",
    states_type=True,
    key="${KIE_API_KEY:-}",  # without a default, it may drop the whole file while that is unset
    takes_comments=False,
    project_file=PurePosixPath(".mcp.json"),
    restart="Start Claude Code anew; /mcp lists its servers.",
)
CURSOR = Client(
    name=ClientName.CURSOR,
    title="Cursor",
    servers="mcpServers",
    states_type=True,
    key="${env:KIE_API_KEY}",
    takes_comments=True,
    project_file=PurePosixPath(".cursor/mcp.json"),
    restart="Restart Cursor; its settings list its servers under MCP.",
)
VSCODE = Client(
    name=ClientName.VSCODE,
    title="VS Code",
    servers="servers",
    states_type=True,
    key="${input:kie-api-key}",
    takes_comments=True,
    project_file=PurePosixPath(".vscode/mcp.json"),
    restart="Run `MCP: List Servers` in VS Code's command palette, and start kie-runway there.",
)
CLIENTS: Mapping[ClientName, Client] = {
    client.name: client for client in (CLAUDE_DESKTOP, CLAUDE_CODE, CURSOR, VSCODE)
}


@dataclass(frozen=True)
class Machine:
    """
    What the places of files depend on.

    Attributes:
        platform: As `sys.platform` says: darwin, win32; anything else is taken for Linux.
        home: The user's home directory.
        environment: Variables; an empty one counts as unset.
        packages: Names of what lies in %LOCALAPPDATA%\\Packages.
    """

    platform: str
    home: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    packages: Sequence[str] = ()

    @classmethod
    def here(cls) -> "Machine":
        """
        This one.

        Raises:
            RuntimeError: The user has no home directory.
        """
        home = Path.home()
        packages: Sequence[str] = ()
        if sys.platform == "win32":
            local = os.environ.get("LOCALAPPDATA")
            folder = Path(local, "Packages") if local else home.joinpath(*_PACKAGES)
            packages = [path.name for path in folder.glob(f"{_PACKAGE_PREFIX}*")]
        return cls(sys.platform, str(home), os.environ, packages)

    @property
    def _home(self) -> PurePath:
        kind = PureWindowsPath if self.platform == "win32" else PurePosixPath
        return kind(self.home)

    def _variable(self, name: str) -> PurePath | None:
        """A directory from the environment; a relative one means nothing there."""
        value = self.environment.get(name, "")
        path = type(self._home)(value)
        return path if path.is_absolute() else None

    @property
    def _applications(self) -> PurePath:
        """Where applications keep their data."""
        match self.platform:
            case "win32":
                return self._variable("APPDATA") or self._home / "AppData" / "Roaming"
            case "darwin":
                return self._home / "Library" / "Application Support"
            case _:
                return self._variable("XDG_CONFIG_HOME") or self._home / ".config"

    def file_of(self, client: Client) -> PurePath:
        """Where a client keeps the servers that a user has everywhere."""
        match client.name:
            case ClientName.CLAUDE_DESKTOP:
                return self._claude_desktop / "claude_desktop_config.json"
            case ClientName.CLAUDE_CODE:
                return (self._variable("CLAUDE_CONFIG_DIR") or self._home) / ".claude.json"
            case ClientName.CURSOR:
                return self._home / ".cursor" / "mcp.json"
            case ClientName.VSCODE:
                portable = self._variable("VSCODE_PORTABLE")
                if portable is not None:
                    return portable / "user-data" / "User" / "mcp.json"
                applications = self._variable("VSCODE_APPDATA") or self._applications
                return applications / "Code" / "User" / "mcp.json"

    @property
    def bundles(self) -> PurePath:
        """Where Claude Desktop unpacks bundles (.mcpb), each into a folder of its own."""
        return self._claude_desktop / "Claude Extensions"

    @property
    def _claude_desktop(self) -> PurePath:
        packages = sorted(name for name in self.packages if name.startswith(_PACKAGE_PREFIX))
        if self.platform == "win32" and packages:
            local = self._variable("LOCALAPPDATA")
            folder = local / "Packages" if local else self._home.joinpath(*_PACKAGES)
            return folder / packages[0] / "LocalCache" / "Roaming" / "Claude"
        return self._applications / "Claude"
