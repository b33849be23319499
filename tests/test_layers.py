"""Who may import whom."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server" / "kie_runway"
TOOLS = ROOT / "tools" / "kie_runway_tools"
SANDBOX = ROOT / "sandbox" / "kie_runway_sandbox"
PACKAGES = {
    ".".join(path.parent.relative_to(folder.parent).parts)
    for folder in (SERVER, TOOLS, SANDBOX)
    for path in folder.rglob("__init__.py")
}

# Modules of kie_runway that a tool may name; all of them import only what listing tools needs.
FOR_TOOLS = {
    *("addresses", "app", "errors", "expense", "given", "ledger.records", "models", "prices"),
    *("sdk", "settings", "shown", "task_extension"),
}
# Every module of kie_runway and what it names, also inside functions and for types alone.
IMPORTS: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "acceptance": {"errors", "ledger.base", "ledger.records", "models"},
    "addresses": {"errors"},
    "agenda": {"rate"},
    "answers": {"errors"},
    "app": {
        *("client", "clock", "finder", "ledger.base", "ledger.records", "media", "news", "pace"),
        *("saving", "settings", "sheets", "submit", "tracker", "uploading", "webhooks"),
    },
    "argument_errors": set(),
    "autosave": {"clock", "errors", "ledger.base", "ledger.records", "models", "saving"},
    "callbacks_port": {"hooks_app", "hosting", "http_app", "sdk", "webhooks"},
    "cli": {"commands", "serving"},
    "client": {"answers", "errors", "exchange", "models", "redaction", "values", "wire"},
    "clock": set(),
    "commands": {
        *("demo", "doctor.run", "models", "serving", "settings", "setup.commands", "task_report")
    },
    "confirming": {
        *("clock", "errors", "ledger.base", "ledger.records", "looker", "models", "pace"),
        *("tracker", "updates"),
    },
    "contact_sheet": {"frames"},
    "demo": {"terminal"},
    "doctor.__init__": set(),
    "doctor.clients": {
        *("doctor.finding", "doctor.kie", "setup.clients", "setup.config_file", "setup.entry"),
        *("setup.jsonc", "setup.launch"),
    },
    "doctor.finding": set(),
    "doctor.kie": {
        *("addresses", "answers", "client", "doctor.finding", "errors", "exchange", "prices"),
        "settings",
    },
    "doctor.places": {
        *("doctor.finding", "errors", "ledger.inspection", "settings", "setup.launch"),
    },
    "doctor.run": {
        *("doctor.clients", "doctor.finding", "doctor.kie", "doctor.places", "sandboxed"),
        *("serving", "settings", "shown", "terminal"),
    },
    "errors": set(),
    "exchange": {"answers", "handshake", "patience", "values"},
    "expense": {"models", "prices", "shown"},
    "failures": {"errors", "models"},
    "fetch": {"addresses", "errors", "handshake"},
    "finder": {"clock", "errors", "ledger.base", "ledger.records", "looker", "models", "updates"},
    "folder": set(),
    "frames": {"mp4"},
    "following": {"clock", "errors", "ledger.records", "medians", "models", "pace"},
    "given": {"models"},
    "handshake": set(),
    "hooks_app": {"errors", "signature", "webhooks"},
    "hosting": set(),
    "http_app": {"hooks_app", "hosting", "sdk", "signals", "webhooks"},
    "leases": {"clock", "errors", "ledger.base", "models", "rescue"},
    "ledger.__init__": set(),
    "ledger.base": {"ledger.records", "ledger.uploads", "models"},
    "ledger.cap": {"errors"},
    "ledger.database": {"errors", "ledger.migrations", "ledger.worker"},
    "ledger.entries": {"errors", "ledger.database", "ledger.records", "ledger.rows", "models"},
    "ledger.inspection": {"ledger.migrations", "ledger.reading"},
    "ledger.migrations": {"errors"},
    "ledger.records": {"models"},
    "ledger.rows": {"ledger.records", "models"},
    "ledger.reading": {"errors"},
    "ledger.snapshot": {"ledger.migrations", "ledger.reading", "ledger.sqlite"},
    "ledger.sqlite": {
        *("errors", "ledger.base", "ledger.database", "ledger.entries", "ledger.records"),
        *("ledger.rows", "ledger.sqlite_inbox", "ledger.sqlite_intents", "ledger.sqlite_sends"),
        *("ledger.sqlite_uploads", "models"),
    },
    "ledger.sqlite_inbox": {
        *("errors", "ledger.database", "ledger.entries", "ledger.records", "ledger.rows"),
    },
    "ledger.sqlite_intents": {
        *("errors", "ledger.entries", "ledger.records", "ledger.rows", "ledger.sqlite_sends"),
        *("models",),
    },
    "ledger.sqlite_sends": {
        *("errors", "ledger.cap", "ledger.database", "ledger.records", "ledger.rows"),
    },
    "ledger.sqlite_uploads": {"ledger.database", "ledger.rows", "ledger.uploads"},
    "ledger.uploads": set(),
    "ledger.worker": {"errors"},
    "lines": set(),
    "logs": {"redaction"},
    "looker": {"client", "errors", "models", "rate"},
    "media": {"errors", "fetch", "folder", "media_types", "mp4"},
    "media_types": {"mp4"},
    "medians": {"ledger.base", "ledger.records", "models"},
    "models": {"errors"},
    "mp4": set(),
    "news": {"errors", "ledger.base", "ledger.records", "models", "tracker"},
    "opening": {
        *("app", "autosave", "client", "clock", "confirming", "fetch", "finder", "leases"),
        *("ledger.records", "ledger.sqlite", "looker", "media", "news", "pace", "rate"),
        *("rescue", "saving", "settings", "sheets", "submit", "tracker", "uploading", "webhooks"),
    },
    "outcomes": {
        *("acceptance", "clock", "errors", "leases", "ledger.base", "ledger.records", "models"),
        "rescue",
    },
    "pace": set(),
    "patience": set(),
    "prices": {"models"},
    "rate": set(),
    "redaction": set(),
    "remedies": {"errors"},
    "rescue": {"acceptance", "errors", "folder", "ledger.base"},
    "roots": {"errors", "models"},
    "sandboxed": {"pace", "settings"},
    "saving": {"clock", "errors", "ledger.base", "ledger.records", "looker", "media", "models"},
    "sdk": {"argument_errors", "errors", "models", "remedies"},
    "server": {"app", "pace", "sdk", "settings"},
    "serving": {
        *("http_app", "logs", "pace", "redaction", "sandboxed", "server", "settings"),
        *("setup.launch", "stdio"),
    },
    "settings": set(),
    "setup.__init__": set(),
    "setup.clients": set(),
    "setup.commands": {"serving", "setup.clients", "setup.entry", "setup.install"},
    "setup.config_file": set(),
    "setup.edits": {"setup.jsonc"},
    "setup.entry": {"setup.clients", "setup.edits", "setup.jsonc", "setup.launch"},
    "setup.install": {
        *("redaction", "setup.clients", "setup.config_file", "setup.edits", "setup.entry"),
        *("setup.jsonc", "setup.launch", "shown", "terminal"),
    },
    "setup.jsonc": set(),
    "setup.launch": set(),
    "sheets": {
        *("contact_sheet", "errors", "fetch", "folder", "ledger.records", "models", "mp4"),
        *("roots",),
    },
    "shown": {"errors", "ledger.records", "models"},
    "signals": set(),
    "signature": set(),
    "stdio": {"lines", "sdk", "signals"},
    "submit": {
        *("client", "clock", "errors", "leases", "ledger.base", "ledger.records", "models"),
        *("outcomes", "prices", "rescue", "webhooks"),
    },
    "task_extension": set(),
    "task_printing": {"errors", "ledger.records", "models", "shown", "terminal"},
    "task_report": {
        *("errors", "ledger.base", "ledger.records", "ledger.snapshot", "models", "shown"),
        *("task_printing", "terminal"),
    },
    "terminal": {"shown"},
    "tracker": {
        *("agenda", "clock", "errors", "failures", "following", "ledger.base", "ledger.records"),
        *("looker", "medians", "models", "pace", "updates"),
    },
    "updates": {"clock", "failures", "ledger.base", "ledger.records", "models", "wire"},
    "uploading": {
        *("client", "clock", "errors", "given", "ledger.uploads", "media_types", "models"),
        "roots",
    },
    "values": {"models", "redaction"},
    "webhooks": {"clock", "ledger.base", "ledger.records", "models", "signature", "values"},
    "wire": {"errors", "models", "redaction", "values"},
}
# Whoever starts a server may import the module that wires it.
STARTERS = {"serving"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides what it names"
            assert node.module is not None
            if node.module in PACKAGES:  # `from kie_runway import client` names a module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def ours(path: Path, package: str = "kie_runway") -> set[str]:
    """Modules of one of our packages that a file imports, without the package's name."""
    prefix = f"{package}."
    return {name.removeprefix(prefix) for name in imports(path) if name.startswith(prefix)}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SERVER).with_suffix("").parts)


@pytest.mark.parametrize("path", sorted(TOOLS.glob("*.py")), ids=lambda path: path.stem)
def test_tools_import_only_what_listing_them_needs(path: Path) -> None:
    assert ours(path) <= FOR_TOOLS


def test_every_module_imports_what_is_written_down_for_it() -> None:
    found = {module_name(path): ours(path) for path in SERVER.rglob("*.py")}

    assert found == IMPORTS


def test_no_module_imports_itself_by_way_of_others() -> None:
    tools = {path.stem: ours(path, "kie_runway_tools") for path in TOOLS.glob("*.py")}
    for graph in (IMPORTS, tools):
        TopologicalSorter(graph).prepare()  # raises a CycleError


def test_a_module_named_through_its_package_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("from kie_runway import client\nfrom kie_runway.ledger import base as ledger\n")

    assert ours(path) == {"client", "ledger.base"}


def test_only_starters_import_the_wiring() -> None:
    importers = {module_name(path) for path in SERVER.rglob("*.py") if "server" in ours(path)}

    assert importers == STARTERS


def test_only_the_wiring_imports_the_tools() -> None:
    importers = {
        module_name(path) for path in SERVER.rglob("*.py") if ours(path, "kie_runway_tools")
    }

    assert importers == {"server"}


def test_the_sandbox_stands_alone_and_is_imported_lazily() -> None:
    for path in SANDBOX.rglob("*.py"):
        named = set(imports(path))
        assert not {name for name in named if name.split(".")[0].startswith("kie_runway")} - {
            name for name in named if name.split(".")[0] == "kie_runway_sandbox"
        }, path
    importers = {
        module_name(path)
        for path in SERVER.rglob("*.py")
        if any(name.startswith("kie_runway_sandbox") for name in imports(path))
    }

    assert importers == {"commands", "sandboxed"}


def test_only_the_http_core_and_downloads_use_httpx() -> None:
    users = {module_name(path) for path in SERVER.rglob("*.py") if "httpx" in set(imports(path))}

    assert users == {"client", "exchange", "fetch"}


def test_only_one_module_names_private_parts_of_the_sdk() -> None:
    private = (
        *("._tool_manager", "._lowlevel_server", "._resource_manager", "._prompt_manager"),
        *("._connection", '"_connection"', "._subscriptions"),
    )
    users = {
        path.stem
        for folder in (SERVER, TOOLS)
        for path in folder.rglob("*.py")
        if any(name in path.read_text(encoding="utf-8") for name in private)
    }

    assert users == {"sdk"}


def test_nothing_spawns_processes_or_evaluates_text() -> None:
    forbidden = {"subprocess", "pickle", "shelve", "marshal"}
    for folder in (SERVER, TOOLS, SANDBOX):
        for path in folder.rglob("*.py"):
            assert not forbidden & {name.split(".")[0] for name in imports(path)}, path
