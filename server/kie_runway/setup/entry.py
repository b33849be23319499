"""What stands in a client's configuration for this server, and links that put it there."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import quote, urlencode

from kie_runway.setup.clients import CURSOR, VSCODE, Client
from kie_runway.setup.edits import Item, Path
from kie_runway.setup.jsonc import as_array, as_object
from kie_runway.setup.launch import COMMAND, Launch, serve_args

SERVER_NAME = "kie-runway"
KEY_VARIABLE = "KIE_API_KEY"
KEY_PLACEHOLDER = "<your KIE API key>"
INPUT_ID = "kie-api-key"
_RUNNERS = ("uv", "uvx", "pipx")

INPUTS: Path = ("inputs", Item("id", INPUT_ID))
_INPUT: Mapping[str, Any] = {
    "type": "promptString",
    "id": INPUT_ID,
    "description": "KIE API key, from https://kie.ai/api-key",
    "password": True,
}


@dataclass(frozen=True)
class Addition:
    """A value, and where it goes."""

    path: Path
    value: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Wish:
    """
    What the user wants of the server.

    Attributes:
        sandbox: Try it for free; then it needs no key.
        output_dir: Where videos are saved, absolute; None leaves that to the server.
        daily_credits: What 24 hours may cost at most.
    """

    sandbox: bool = False
    output_dir: str | None = None
    daily_credits: float | None = None


def server_path(client: Client) -> Path:
    """Where a client's file has this server."""
    return (client.servers, SERVER_NAME)


def additions(
    client: Client, launch: Launch, wish: Wish, key: str = KEY_PLACEHOLDER
) -> Sequence[Addition]:
    """
    All that a client's file needs, in the order in which to put it.

    Args:
        client: Whose file it is.
        launch: Starts the server.
        wish: Settings.
        key: Stands in the file where the client has no place for secrets; else unused.
    """
    env: dict[str, str] = {}
    if not wish.sandbox:
        env[KEY_VARIABLE] = client.key or key
    if wish.output_dir is not None:
        env["KIE_OUTPUT_DIR"] = wish.output_dir
    if wish.daily_credits is not None:
        env["KIE_DAILY_CREDITS"] = str(wish.daily_credits).removesuffix(".0")
    server: dict[str, Any] = {"type": "stdio"} if client.states_type else {}
    server |= {"command": launch.command, "args": list(launch.args)}
    if env:
        server["env"] = env
    added = [Addition(server_path(client), server)]
    if client is VSCODE and not wish.sandbox:
        added.append(Addition(INPUTS, _INPUT))
    return added


def starts_us(server: object) -> bool:
    """Whether an entry starts this server: by its command, through uv or pipx, or as a module."""
    members = as_object(server)
    # Its separators are those of Windows where the file comes from there.
    program = PureWindowsPath(str(members.get("command", ""))).name.removesuffix(".exe")
    args = [str(it) for it in as_array(members.get("args"))]
    if program == COMMAND or (program in _RUNNERS and COMMAND in args):
        return True
    return any(args[at : at + 2] == ["-m", "kie_runway"] for at in range(len(args)))


def renewed(old: object, new: Mapping[str, Any], *, is_sandbox: bool) -> Mapping[str, Any]:
    """An entry of ours in the place of an older one, whose other settings stay."""
    env = {**as_object(as_object(old).get("env")), **new.get("env", {})}
    if is_sandbox:
        env.pop(KEY_VARIABLE, None)
    members = {**as_object(old), **new}
    members.pop("env", None)
    return {**members, "env": env} if env else members


def key_in(env: object) -> str:
    """What stands for the key among an entry's variables; empty if nothing does."""
    key = as_object(env).get(KEY_VARIABLE)
    return key.strip() if isinstance(key, str) else ""


def key_here() -> str:
    """The key in the environment; empty if there is none."""
    return os.environ.get(KEY_VARIABLE, "").strip()


def is_placeholder(value: object) -> bool:
    """Whether a value only names what a client has to fill in."""
    return isinstance(value, str) and value.startswith("${") and value.endswith("}")


def uses_input(value: object) -> bool:
    """Whether anything in a configuration asks for our input."""
    return f"${{input:{INPUT_ID}}}" in json.dumps(value)


def is_our_input(value: object) -> bool:
    """Whether an input is as `additions` makes it."""
    return value == _INPUT


@dataclass(frozen=True)
class Links:
    """Addresses that install the server by a click: one of the client's own, one of the web."""

    app: str
    web: str


def cursor_links(wish: Wish | None = None) -> Links:
    """For Cursor, with the command as it is found on the PATH."""
    server = _server_on_path(CURSOR, wish)
    config = base64.b64encode(_compact(server).encode()).decode()
    query = urlencode({"name": SERVER_NAME, "config": config})
    return Links(
        f"cursor://anysphere.cursor-deeplink/mcp/install?{query}",
        f"https://cursor.com/install-mcp?{query}",
    )


def vscode_links(wish: Wish | None = None) -> Links:
    """For VS Code, with the command as it is found on the PATH; asks for the key."""
    server, *inputs = (it.value for it in _additions_on_path(VSCODE, wish))
    whole = {"name": SERVER_NAME, **server, **({"inputs": inputs} if inputs else {})}
    app = f"vscode:mcp/install?{quote(_compact(whole), safe='')}"
    query = {"name": SERVER_NAME, "config": _compact(server)}
    if inputs:
        query["inputs"] = _compact(inputs)
    return Links(
        app, f"https://insiders.vscode.dev/redirect/mcp/install?{urlencode(query, quote_via=quote)}"
    )


def _server_on_path(client: Client, wish: Wish | None) -> Mapping[str, Any]:
    return _additions_on_path(client, wish)[0].value


def _additions_on_path(client: Client, wish: Wish | None) -> Sequence[Addition]:
    wish = wish or Wish()
    return additions(client, Launch(COMMAND, serve_args(sandbox=wish.sandbox)), wish)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
