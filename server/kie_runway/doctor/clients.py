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
from kie_runway.setup.clients import CLIENTS, VSCODE, Client, Machine
from kie_runway.setup.config_file import ConfigFileError, read_config
from kie_runway.setup.entry import INPUT_ID, KEY_VARIABLE, SERVER_NAME, uses_input
from kie_runway.setup.jsonc import JsoncError, as_array, as_object, parse
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

    @property
    def is_sandbox(self) -> bool:
        return "--sandbox" in self.args

    @property
    def again(self) -> str:
        """The command that writes it anew."""
        project = "" if self.path.is_absolute() else " --project"
        sandbox = " --sandbox" if self.is_sandbox else ""
        return f"{COMMAND} install {self.client.name}{sandbox}{project} --force"


def look_around() -> tuple[Sequence[Entry], Sequence[Finding]]:
    """
    What all four clients have: the user's files, and those of the project in this directory.

    Returns:
        Entries that start us, and what is wrong with files.
    """
    try:
        machine = Machine.here()
    except RuntimeError:
        return [], [failed("clients", "there is no home directory", "Set HOME to it.")]
    entries: list[Entry] = []
    unreadable: list[Finding] = []
    for client in CLIENTS.values():
        paths = [Path(machine.file_of(client))]
        if client.project_file is not None:
            paths.append(Path(client.project_file))
        for path in paths:
            try:
                entries += _entries(client, path)
            except (ConfigFileError, JsoncError) as exc:
                cure = f"Mend the file; {client.title} may ignore all of it."
                reason = str(exc) if isinstance(exc, ConfigFileError) else f"{path}: {exc}"
                unreadable.append(failed(client.title, reason, cure))
    return entries, unreadable


def stored_key(entries: Sequence[Entry]) -> StoredKey | None:
    """A key that a client keeps, best one that can be read; None if none keeps one."""
    secret = None
    for entry in entries:
        key = str(entry.env.get(KEY_VARIABLE, ""))
        if entry.is_sandbox or not key:
            continue
        if not key.startswith("${"):
            return StoredKey(entry.client.title, SecretStr(key))
        if entry.client is VSCODE:
            secret = StoredKey(entry.client.title, None)
    return secret


def check_clients(entries: Sequence[Entry], unreadable: Sequence[Finding]) -> Sequence[Finding]:
    """Whether what the clients have will work."""
    findings: list[Finding] = []
    for client in CLIENTS.values():
        found = [_check(entry) for entry in entries if entry.client is client]
        found += [finding for finding in unreadable if finding.name == client.title]
        add = f"To add it: {COMMAND} install {client.name}"
        findings += found or [off(client.title, "does not have this server", add)]
    findings += [finding for finding in unreadable if finding.name == "clients"]
    return [*findings, *_check_ledgers(entries)]


def _entries(client: Client, path: Path) -> Iterator[Entry]:
    """
    What starts us, by its name or its command.

    Raises:
        ConfigFileError: The file cannot be read.
        JsoncError: It is not JSON.
    """
    text = read_config(path).text
    if not text.strip("\ufeff \t\r\n"):
        return
    root = as_object(parse(text).root.plain)
    ids = [as_object(it).get("id") for it in as_array(root.get("inputs"))]
    for name, server in as_object(root.get(client.servers)).items():
        members = as_object(server)
        command = members.get("command")
        if not isinstance(command, str):
            continue
        words = [str(it) for it in as_array(members.get("args"))]
        starts_us = any(COMMAND in it or it == "kie_runway" for it in (command, *words))
        if name == SERVER_NAME or starts_us:
            env = as_object(members.get("env"))
            yield Entry(client, path, name, command, words, env, INPUT_ID in ids)


def _check(entry: Entry) -> Finding:
    title = entry.client.title
    where = "" if entry.path.is_absolute() else f" (in {entry.path})"
    found = shutil.which(entry.command)
    if found is None:
        says = f"{entry.name}{where} starts {entry.command}, which is not there"
        return failed(title, says, f"Run: {entry.again}")
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
            f"Run: {entry.again}",
        )
    return ok(title, f"{says} at {found}")


def _about_key(entry: Entry) -> Finding | None:
    """What is wrong with the key of an entry, if anything is."""
    if entry.is_sandbox:
        return None
    client, key = entry.client, str(entry.env.get(KEY_VARIABLE, ""))
    is_placeholder = key.startswith("${")
    if client is VSCODE and uses_input(key) and not entry.has_input:
        says = f"{entry.name} takes the key from an input that the file does not have"
        return failed(client.title, says, f"Run: {entry.again}")
    if client.key is None and (not key or is_placeholder):
        says = f"{entry.name} has no key"
        return failed(client.title, says, f"Run: {entry.again}")
    asks_environment = client.key is not None and client is not VSCODE and key in ("", client.key)
    if asks_environment and not os.environ.get(KEY_VARIABLE, "").strip():
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


def _check_ledgers(entries: Sequence[Entry]) -> Sequence[Finding]:
    """Whether those that spend write to one ledger."""
    ledgers = {
        tuple(str(entry.env.get(name, "")) for name in _WHERE_LEDGERS_ARE)
        for entry in entries
        if not entry.is_sandbox
    }
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
