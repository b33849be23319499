"""How a client starts this server: with a command that will still be there tomorrow."""

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND = "kie-runway-mcp"

# Environments that uv and pipx make for one run, and delete when they like.
_THROW_AWAY = re.compile(
    r"[/\\](archive|environments|builds)-v\d+[/\\]|[/\\]pipx[/\\](\.cache|Cache)[/\\]"
    r"|[/\\]\.cache[/\\]pipx[/\\]"
)


@dataclass(frozen=True)
class Launch:
    """A program and its arguments."""

    command: str
    args: Sequence[str]


@dataclass(frozen=True)
class Environment:
    """
    Where this program is installed.

    Attributes:
        prefix: The environment's directory.
        scripts: Where it keeps its commands.
        python: Its interpreter.
        which: Finds a command on the PATH.
    """

    prefix: str
    scripts: str
    python: str
    which: Callable[[str], str | None] = shutil.which

    @classmethod
    def here(cls) -> "Environment":
        return cls(sys.prefix, sysconfig.get_path("scripts"), sys.executable)

    @property
    def is_throw_away(self) -> bool:
        """Whether it is one that uv or pipx made for this run alone."""
        return _THROW_AWAY.search(os.path.join(self.prefix, "")) is not None

    def launch(self, *, sandbox: bool) -> Launch:
        """
        How to start the server.

        The environment's own command by its absolute path, or its interpreter. From a throw-away
        environment uvx, which makes one whenever it is needed.
        """
        args = ["serve", "--sandbox"] if sandbox else ["serve"]
        if self.is_throw_away:
            wanted = ["--from", f"{COMMAND}[sandbox]", COMMAND] if sandbox else [COMMAND]
            return Launch(self.which("uvx") or "uvx", [*wanted, *args])
        suffix = ".exe" if os.name == "nt" else ""
        script = Path(self.scripts, COMMAND + suffix)
        if script.is_file():
            return Launch(str(script), args)
        return Launch(self.python, ["-m", "kie_runway", *args])
