"""Who may import whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server" / "kie_runway"
TOOLS = ROOT / "tools" / "kie_runway_tools"
SANDBOX = ROOT / "sandbox" / "kie_runway_sandbox"

# Modules of kie_runway that a tool may name; all of them import only what listing tools needs.
FOR_TOOLS = {"addresses", "app", "errors", "ledger.base", "models", "sdk"}
ALLOWED = {
    "errors": set[str](),
    "models": {"errors"},
    "values": {"errors", "models"},
    "wire": {"errors", "models", "values"},
    "answers": {"errors", "models", "values"},
    "exchange": {"answers", "errors", "models", "values"},
    "client": {"answers", "errors", "exchange", "models", "values", "wire"},
    "addresses": {"errors"},
    "fetch": {"addresses", "errors"},
    "folder": {"errors"},
    "mp4": set[str](),
    "media": {"errors", "fetch", "folder", "models", "mp4"},
    "submit": {"budget", "client", "clock", "errors", "ledger.base", "models"},
    "updates": {"clock", "failures", "ledger.base", "models"},
    "tracker": {
        *("client", "clock", "errors", "failures", "ledger.base", "models", "pace", "updates")
    },
    "ledger.base": {"models"},
    "ledger.sqlite": {"errors", "ledger.base", "ledger.migrations", "ledger.rows", "models"},
}
# Whoever starts a server may import the module that wires it.
STARTERS = {"serving"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
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


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_inner_modules_know_only_what_is_below_them(name: str) -> None:
    path = SERVER.joinpath(*name.split(".")).with_suffix(".py")

    assert ours(path) <= ALLOWED[name]


def test_only_starters_import_the_wiring() -> None:
    importers = {module_name(path) for path in SERVER.rglob("*.py") if "server" in ours(path)}

    assert importers == STARTERS


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
    private = ("._tool_manager", "._lowlevel_server", "._resource_manager", "._prompt_manager")
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
