"""Which clients have this server, and whether what they have will work."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from pydantic import SecretStr

from kie_runway.doctor.finding import Finding, failed, off, ok, warning
from kie_runway.doctor.kie import StoredKey
from kie_runway.setup.clients import CLAUDE_DESKTOP, CLIENTS, VSCODE, Client, Machine
from kie_runway.setup.config_file import ConfigFileError, read_config
from kie_runway.setup.entry import (
    INPUT_ID,
    KEY_VARIABLE,
    SERVER_NAME,
    is_placeholder,
    key_here,
    key_in,
    starts_us,
    uses_input,
)
from kie_runway.setup.jsonc import JsoncError, as_array, as_object, is_blank, parse
from kie_runway.setup.launch import COMMAND, Environment

_WHERE_LEDGERS_ARE = ("KIE_HOME", "KIE_DATABASE_URL")
_DIST_INFO = re.compile(r"kie_runway_mcp-(.+)\.dist-info")


@dataclass(frozen=True)
class Entry:
    """A server in a client's file that starts us."""

    client: Client
    path: Path
    name: str
    command: str
    args: Sequence[str]
    env: Mapping[str, object] = field(repr=False)
    has_input: bool
    """Whether the file asks for our key."""
    is_ours: bool
    """Whether install would replace it unasked."""

    @property
    def is_sandbox(self) -> bool:
        return "--sandbox" in self.args

    @property
    def cure(self) -> str:
        """What to do, ending in the command that follows."""
        if self.name == SERVER_NAME:
            return "Run:"
        return f"Remove it from {self.path}, for the new one has another name, and run:"

    @property
    def again(self) -> str:
        """The command that writes it anew."""
        options = {
            "--sandbox": self.is_sandbox,
            "--project": not self.path.is_absolute(),
            "--force": self.name == SERVER_NAME and not self.is_ours,
        }
        wanted = [option for option, is_wanted in options.items() if is_wanted]
        return Environment.here().typed("install", self.client.name, *wanted)


@dataclass(frozen=True)
class Surroundings:
    """
    What there is of us in clients.

    Attributes:
        entries: Those that start us.
        unreadable: What is wrong with files.
        bundle: The version that Claude Desktop has as a bundle; None if it has none.
    """

    entries: Sequence[Entry] = ()
    unreadable: Sequence[Finding] = ()
    bundle: str | None = None


def look_around() -> Surroundings:
    """What all four clients have: the user's files, and those of the project in this directory."""
    try:
        machine = Machine.here()
    except RuntimeError:
        nowhere = failed("clients", "there is no home directory", "Set HOME to it.")
        return Surroundings(unreadable=[nowhere])
    entries: list[Entry] = []
    unreadable: list[Finding] = []
    for client in CLIENTS.values():
        paths = [Path(machine.file_of(client))]
        if client.project_file is not None:
            of_project = Path(client.project_file)
            if os.path.realpath(of_project) != os.path.realpath(paths[0]):
                paths.append(of_project)
        for path in paths:
            try:
                entries += _entries(client, path)
            except (ConfigFileError, JsoncError) as exc:
                cure = f"Mend the file; {client.title} may ignore all of it."
                reason = str(exc) if isinstance(exc, ConfigFileError) else f"{path}: {exc}"
                unreadable.append(failed(client.title, reason, cure))
    return Surroundings(entries, unreadable, _bundle(Path(machine.bundles)))


def stored_key(around: Surroundings) -> StoredKey | None:
    """A key that a client keeps, preferably one that can be read; None if none keeps one."""
    secret = None if around.bundle is None else StoredKey(CLAUDE_DESKTOP.title, None)
    for entry in around.entries:
        key = key_in(entry.env)
        if entry.is_sandbox or not key:
            continue
        if not is_placeholder(key):
            return StoredKey(entry.client.title, SecretStr(key))
        if entry.client is VSCODE:
            secret = StoredKey(entry.client.title, None)
    return secret


def check_clients(around: Surroundings) -> Sequence[Finding]:
    """Whether what the clients have will work."""
    findings: list[Finding] = []
    for client in CLIENTS.values():
        found = [_check(entry) for entry in around.entries if entry.client is client]
        found += [finding for finding in around.unreadable if finding.name == client.title]
        if client is CLAUDE_DESKTOP and around.bundle is not None:
            found.append(ok(client.title, f"has the bundle, version {around.bundle}"))
        add = Environment.here().typed("install", client.name)
        findings += found or [off(client.title, "does not have this server", "To add it:", add)]
    findings += [finding for finding in around.unreadable if finding.name == "clients"]
    return [*findings, *_check_ledgers(around)]


def _bundle(folder: Path) -> str | None:
    """The version of our bundle, which is known by its manifest."""
    for path in sorted(folder.glob("*/manifest.json")):
        try:
            manifest = as_object(parse(read_config(path).text).root.plain)
        except (ConfigFileError, JsoncError):
            continue  # another's, or nothing that Claude Desktop could start either
        if manifest.get("name") == COMMAND:
            return str(manifest.get("version"))
    return None


def _entries(client: Client, path: Path) -> Iterator[Entry]:
    """
    What starts us, by its name or its command.

    Raises:
        ConfigFileError: The file cannot be read.
        JsoncError: It is not JSON.
    """
    text = read_config(path).text
    if is_blank(text):
        return
    root = as_object(parse(text).root.plain)
    ids = [as_object(it).get("id") for it in as_array(root.get("inputs"))]
    for name, server in as_object(root.get(client.servers)).items():
        members = as_object(server)
        command = members.get("command")
        if not isinstance(command, str):
            continue
        words = [str(it) for it in as_array(members.get("args"))]
        names_us = any(COMMAND in it or it == "kie_runway" for it in (command, *words))
        if name == SERVER_NAME or names_us:
            env = as_object(members.get("env"))
            has_input, is_ours = INPUT_ID in ids, starts_us(server)
            yield Entry(client, path, name, command, words, env, has_input, is_ours)


def _check(entry: Entry) -> Finding:
    title = entry.client.title
    where = "" if entry.path.is_absolute() else f" (in {entry.path})"
    found = shutil.which(entry.command)
    if found is None:
        says = f"{entry.name}{where} starts {entry.command}, which is not there"
        return failed(title, says, entry.cure, entry.again)
    if problem := _about_key(entry):
        return problem
    says = f"{entry.name}{where} starts {'the sandbox' if entry.is_sandbox else 'the server'}"
    ours = Environment.here().launch(sandbox=entry.is_sandbox)
    installed = version(COMMAND)
    if os.path.realpath(found) == os.path.realpath(shutil.which(ours.command) or ours.command):
        return ok(title, f"{says}, this version")
    other = _version_beside(Path(found))
    if other is not None and other != installed:
        return warning(
            title,
            f"{says}, but version {other} at {found}; this one is {installed}",
            entry.cure,
            entry.again,
        )
    return ok(title, f"{says} at {found}")


def _about_key(entry: Entry) -> Finding | None:
    """What is wrong with the key of an entry, if anything is."""
    if entry.is_sandbox:
        return None
    client, key = entry.client, key_in(entry.env)
    is_missing = not key or is_placeholder(key)
    if client is VSCODE and uses_input(key) and not entry.has_input:
        says = f"{entry.name} takes the key from an input that the file does not have"
        return failed(client.title, says, entry.cure, entry.again)
    if client.key is None and is_missing:
        says = f"{entry.name} has no key"
        return failed(client.title, says, entry.cure, entry.again)
    asks_environment = client not in (CLAUDE_DESKTOP, VSCODE) and is_missing
    if asks_environment and not key_here():
        return warning(
            client.title,
            f"{entry.name} takes the key from {KEY_VARIABLE}, which is not set here",
            f"Set {KEY_VARIABLE} where your login sets variables, and start {client.title} anew.",
        )
    return None


def _version_beside(command: Path) -> str | None:
    """The version in the environment that a command belongs to; None if that cannot be told."""
    prefix = Path(os.path.realpath(command.parent)).parent
    for pattern in ("lib/python*/site-packages", "Lib/site-packages"):
        for packages in prefix.glob(pattern):
            for path in packages.glob("kie_runway_mcp-*.dist-info"):
                if found := _DIST_INFO.fullmatch(path.name):
                    return found[1]
    return None


def _check_ledgers(around: Surroundings) -> Sequence[Finding]:
    """Whether those that spend write to one ledger."""
    ledgers = {
        tuple(str(entry.env.get(name, "")) for name in _WHERE_LEDGERS_ARE)
        for entry in around.entries
        if not entry.is_sandbox
    }
    if around.bundle is not None:  # has no setting for it
        ledgers.add(("",) * len(_WHERE_LEDGERS_ARE))
    if len(ledgers) < 2:
        return []
    return [
        warning(
            "ledgers",
            f"your clients use {len(ledgers)} different ones",
            "Set KIE_HOME alike everywhere: videos and daily credits of one are unknown to the "
            "others.",
        )
    ]
