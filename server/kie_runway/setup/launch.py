"""How a client starts this server: with a command that will still be there tomorrow."""

import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

COMMAND = "kie-runway-mcp"
FROM_A_CLONE = f"In a clone, `make demo` installs it as .venv/bin/{COMMAND}."

# Environments that uv and pipx make for one run, and delete when they like.
_THROW_AWAY = re.compile(
    r"[/\\](archive|environments|builds)-v\d+[/\\]|[/\\]pipx[/\\](\.cache|Cache)[/\\]"
    r"|[/\\]\.cache[/\\]pipx[/\\]"
)
_EXTRA = re.compile(r"(?P<requirement>[^;]+);\s*extra == ['\"](?P<extra>[\w-]+)['\"]")
_SAFE_WORD = re.compile(r"[\w.:\\/=-]+")  # for shells of Windows


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
        How to start the server: its command by the absolute path, or its interpreter.

        Not for a client where the environment is a throw-away one: it will be gone.
        """
        program, *before = self._program
        return Launch(program, [*before, *serve_args(sandbox=sandbox)])

    def typed(self, *arguments: str) -> str:
        """A command of ours as it can be typed here: by its bare name where that starts us."""
        program = self._program
        found = self.which(COMMAND)
        if found is not None and os.path.realpath(found) == os.path.realpath(program[0]):
            program = [COMMAND]
        return _in_shell([*program, *arguments])

    def way_to_add(self, extra: str) -> str:
        """The command that installs what an extra needs, here: this project is on no index."""
        found = filter(None, map(_EXTRA.fullmatch, requires(COMMAND) or ()))
        wanted = [it["requirement"].strip() for it in found if it["extra"] == extra]
        if find_spec("pip"):
            return _in_shell([self.python, "-m", "pip", "install", *wanted])
        return _in_shell(["uv", "pip", "install", "--python", self.python, *wanted])

    @property
    def _program(self) -> Sequence[str]:
        """What starts us."""
        script = Path(self.scripts, COMMAND + (".exe" if os.name == "nt" else ""))
        return [str(script)] if script.is_file() else [self.python, "-m", "kie_runway"]


def serve_args(*, sandbox: bool) -> Sequence[str]:
    """What our command takes to serve."""
    return ["serve", "--sandbox"] if sandbox else ["serve"]


def _in_shell(words: Sequence[str]) -> str:
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(word if _SAFE_WORD.fullmatch(word) else f'"{word}"' for word in words)
