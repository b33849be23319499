"""`kie-runway-mcp install` and `uninstall`: what they do to a client's file, and what they say."""

import getpass
import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kie_runway.redaction import MASK
from kie_runway.setup.clients import CLAUDE_DESKTOP, CLIENTS, VSCODE, Client, ClientName, Machine
from kie_runway.setup.config_file import ConfigFile, ConfigFileError, read_config
from kie_runway.setup.edits import get, put, take
from kie_runway.setup.entry import (
    INPUTS,
    KEY_VARIABLE,
    SERVER_NAME,
    Addition,
    Wish,
    additions,
    is_our_input,
    is_placeholder,
    key_here,
    key_in,
    renewed,
    server_path,
    starts_us,
    uses_input,
)
from kie_runway.setup.jsonc import Document, JsoncError, as_array, as_object, is_blank, parse
from kie_runway.setup.launch import FROM_A_CLONE, Environment
from kie_runway.shown import escaped
from kie_runway.terminal import Facts, open_console, refuse

EXIT_DIFFERS = 1
EXIT_UNUSABLE = 2
_SHOWN_MEMBERS = ("type", "command")
_SHOWN_VARIABLES = ("KIE_OUTPUT_DIR", "KIE_DAILY_CREDITS", "KIE_HOME")


class SetupError(Exception):
    """The user has to do something first; the text says what. Nothing was changed."""


@dataclass(frozen=True)
class Place:
    """Where a client, or a project of it, keeps its servers."""

    client: Client
    path: Path
    project: Path | None

    def read(self) -> tuple[ConfigFile, Document | None]:
        """
        The file and what is in it; None when that is nothing yet.

        Raises:
            ConfigFileError: It cannot be used.
            SetupError: It is not JSON.
        """
        file = read_config(self.path, within=self.project)
        if is_blank(file.text):
            return file, None
        with self.changing():
            document = parse(file.text)
            get(document, server_path(self.client))
        return file, document

    @contextmanager
    def changing(self) -> Generator[None]:
        """
        What is in the file is read or changed.

        Raises:
            SetupError: It is not JSON, or not what belongs there; it says where.
        """
        try:
            yield
        except JsoncError as exc:
            raise SetupError(
                f"{self.path} is left as it is, for it cannot be changed safely: {exc}."
            ) from exc


def find_place(client: Client, *, project: bool) -> Place:
    """
    The file for all projects, or for the one in the working directory.

    Raises:
        SetupError: There is no home directory, or the client has no files for projects.
    """
    if project:
        if client.project_file is None:
            raise SetupError(f"{client.title} has no projects: leave --project out.")
        here = Path.cwd()
        return Place(client, here / client.project_file, here)
    try:
        return Place(client, Path(Machine.here().file_of(client)), None)
    except RuntimeError as exc:
        raise SetupError("You have no home directory here: set HOME to it.") from exc


def install(name: ClientName, wish: Wish, *, project: bool, print_only: bool, force: bool) -> int:
    """
    Put the server into a client's configuration, and say what to do next.

    An older entry of ours is brought up to date, and keeps what it has besides; `force` puts a
    plain one in its place.

    Returns:
        The exit code: 0; 1 when another program's entry of that name is there and `force` is not
        given; 2 when the file cannot be used, a key is missing, or this program will be gone (all
        said on stderr).
    """
    client = CLIENTS[name]
    try:
        _require_to_stay()
        place = find_place(client, project=project)
        if print_only:
            return _print(place, wish)
        file, document = place.read()
        text = file.text
        with place.changing():
            key = _key(client, document) if client.key is None and not wish.sandbox else ""
            added = additions(client, Environment.here().launch(sandbox=wish.sandbox), wish, key)
            there = None if document is None else get(document, server_path(client))
            old = None if there is None else there.value.plain
            is_ours = starts_us(old)
            if is_ours and not force:
                server = renewed(old, added[0].value, is_sandbox=wish.sandbox)
                added = [Addition(added[0].path, server), *added[1:]]
            for addition in added:
                if not _is_asked_for_already(document, addition):
                    text = put(text, addition.path, addition.value)
        if text == file.text:
            return _tell_that_it_is_there(place)
        if there is not None and old != added[0].value and not (is_ours or force):
            return _tell_that_it_is_foreign(place, old, "replace")
        is_secret = bool(key) or _holds_key(old)
        backup = file.replace(text, datetime.now(UTC), is_secret=is_secret)
    except (SetupError, ConfigFileError) as exc:
        return refuse(str(exc), EXIT_UNUSABLE)
    _tell_what_was_installed(place, document, old, added[0], backup, wish)
    return 0


def uninstall(name: ClientName, *, project: bool, force: bool) -> int:
    """
    Take the server out of a client's configuration, and leave the rest as it is.

    Returns:
        The exit code: 0, also when it was not there; 1 when it is another program's entry of that
        name and `force` is not given; 2 when the file cannot be used (both said on stderr).
    """
    client = CLIENTS[name]
    try:
        place = find_place(client, project=project)
        file, document = place.read()
        there = None if document is None else get(document, server_path(client))
        if document is None or there is None:
            facts = Facts(open_console())
            facts.head("none", f"Nothing to do: {client.title} has no {SERVER_NAME}.")
            facts.tell("file", str(place.path), is_literal=True)
            return 0
        old = there.value.plain
        if not (starts_us(old) or force):
            return _tell_that_it_is_foreign(place, old, "remove")
        with place.changing():
            text = take(_without_input(document, client), server_path(client))
        backup = file.replace(text, datetime.now(UTC), is_secret=_holds_key(old))
    except (SetupError, ConfigFileError) as exc:
        return refuse(str(exc), EXIT_UNUSABLE)
    console = open_console()
    facts = Facts(console)
    facts.head("done", f"{SERVER_NAME} is no longer in the configuration of {client.title}.")
    facts.tell("file", str(place.path), is_literal=True)
    if not text:
        facts.tell("", "It is gone, for nothing else was in it.")
    facts.tell("before", str(backup), is_literal=True)
    if _holds_key(old):
        facts.tell("", "That copy still holds your key: delete it once you need it no more.")
    facts.tell("now", f"Restart {client.title}.")
    return 0


def _require_to_stay() -> None:
    """
    Refuse to be put into a file from an environment that uv or pipx will delete.

    Raises:
        SetupError: This is one.
    """
    if Environment.here().is_throw_away:
        raise SetupError(
            "This program runs in an environment that uv or pipx made for one run: a client would "
            f"not find it tomorrow. {FROM_A_CLONE} Run install from there."
        )


def _key(client: Client, document: Document | None) -> str:
    """
    The key for a file that has to hold it: from the environment, the file itself, or the user.

    Raises:
        JsoncError: What stands in the file for the server is no object.
        SetupError: There is none, or it is no key.
    """
    key = key_here()
    if not key and document is not None:
        there = get(document, (*server_path(client), "env", KEY_VARIABLE))
        key = "" if there is None else key_in({KEY_VARIABLE: there.value.plain})
    if not key or is_placeholder(key):
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise SetupError(
                f"{client.title} needs the key in its file: run this in a terminal, which asks for "
                f"it, or set {KEY_VARIABLE}. The bundle (.mcpb) keeps it in the keychain instead; "
                "--sandbox needs none."
            )
        try:
            key = getpass.getpass("KIE API key (from https://kie.ai/api-key; not shown): ").strip()
        except EOFError:
            key = ""
    if not key:
        raise SetupError("No key was given; nothing was written. --sandbox needs none.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise SetupError("The key holds characters that no key has: copy it again.")
    return key


def _is_asked_for_already(document: Document | None, addition: Addition) -> bool:
    """Whether the file has an input of our name; how it asks is the user's."""
    if document is None or addition.path is not INPUTS:
        return False
    return get(document, INPUTS) is not None


def _without_input(document: Document, client: Client) -> str:
    """The text without VS Code's question for the key, unless another server uses it."""
    if client is not VSCODE:
        return document.text
    asked = get(document, INPUTS)
    if asked is None or not is_our_input(asked.value.plain):
        return document.text
    rest = take(document.text, server_path(client))
    others = {
        name: it for name, it in as_object(parse(rest).root.plain).items() if name != "inputs"
    }
    return document.text if uses_input(others) else take(document.text, INPUTS)


def _print(place: Place, wish: Wish) -> int:
    """Show what would be written, and nothing else on stdout."""
    text = ""
    launch = Environment.here().launch(sandbox=wish.sandbox)
    for addition in additions(place.client, launch, wish):
        text = put(text, addition.path, addition.value)
    sys.stdout.write(text)
    sys.stderr.write(f"This belongs in {escaped(str(place.path))}; nothing was written.\n")
    return 0


def _tell_that_it_is_there(place: Place) -> int:
    facts = Facts(open_console())
    facts.head("done", f"{SERVER_NAME} is in the configuration of {place.client.title} already.")
    facts.tell("file", str(place.path), is_literal=True)
    facts.tell("undo", _undo(place), is_literal=True)
    return 0


def _tell_that_it_is_foreign(place: Place, there: object, what: str) -> int:
    text = json.dumps(_without_secrets(there), indent=2, ensure_ascii=False)
    sys.stderr.write(
        f"{escaped(str(place.path))} has another {SERVER_NAME} already:\n"
        + "".join(f"  {escaped(line)}\n" for line in text.splitlines())
        + f"Nothing was written. To {what} it, add --force.\n"
    )
    return EXIT_DIFFERS


def _without_secrets(server: object) -> object:
    """An entry for the eye: what may be secret is masked, in arguments and headers as well."""
    members = as_object(server)
    shown: dict[str, object] = {
        name: value if name in _SHOWN_MEMBERS else MASK for name, value in members.items()
    }
    if env := as_object(members.get("env")):
        shown["env"] = {
            name: value if name in _SHOWN_VARIABLES or is_placeholder(value) else MASK
            for name, value in env.items()
        }
    return shown if isinstance(server, dict) else MASK


def _holds_key(server: object) -> bool:
    key = key_in(as_object(server).get("env"))
    return bool(key) and not is_placeholder(key)


def _tell_what_was_installed(
    place: Place,
    before: Document | None,
    old: object,
    server: Addition,
    backup: Path | None,
    wish: Wish,
) -> None:
    client = place.client
    facts = Facts(open_console())
    facts.head("done", f"{SERVER_NAME} is in the configuration of {client.title}.")
    facts.tell("file", str(place.path), is_literal=True)
    if backup is not None:
        facts.tell("before", str(backup), is_literal=True)
        if _holds_key(old):
            facts.tell("", "That copy still holds your key: delete it once you need it no more.")
    starts, started = _starts(server.value), _starts(old)
    facts.tell("starts", starts, is_literal=True)
    if starts_us(old):
        if started != starts:
            facts.tell("was", started, is_literal=True)
        facts.tell("", "An older entry of ours was replaced; the copy has it.")
    facts.tell("key", _about_key(client, wish))
    if before is not None and before.first_extra is not None and not client.takes_comments:
        line, column = before.position(before.first_extra)
        facts.tell(
            "careful",
            f"{client.title} reads plain JSON: what stands at line {line}, column {column} (a "
            "comment, or a comma too many) may keep it from reading the file.",
        )
    facts.tell("now", client.restart)
    facts.tell("undo", _undo(place), is_literal=True)


def _starts(server: object) -> str:
    """What an entry starts, on one line."""
    members = as_object(server)
    return " ".join(map(str, (members.get("command", ""), *as_array(members.get("args")))))


def _about_key(client: Client, wish: Wish) -> str:
    if wish.sandbox:
        return "none: the sandbox is free, and nothing leaves this machine"
    if client is CLAUDE_DESKTOP:
        return (
            "in that file, since Claude Desktop has no better place for it; the bundle (.mcpb) "
            "keeps it in the keychain"
        )
    if client is VSCODE:
        return "VS Code asks for it when it first starts the server, and keeps it encrypted"
    where = f"taken from {KEY_VARIABLE} in the environment that {client.title} is started from"
    if not key_here():
        where += ", which is not set here: set it where your login sets such variables"
    return where


def _undo(place: Place) -> str:
    project = ["--project"] if place.project is not None else []
    return Environment.here().typed("uninstall", place.client.name, *project)
