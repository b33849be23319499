"""Whether the directories and the ledger can be used, and what is installed."""

import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from kie_runway.doctor.finding import Finding, failed, off, ok, warning
from kie_runway.errors import LedgerError
from kie_runway.ledger.inspection import inspect
from kie_runway.settings import Settings
from kie_runway.setup.launch import Environment

ROOM_MIN_BYTES = 500_000_000  # some dozens of videos


def check_directories(settings: Settings) -> Sequence[Finding]:
    """Where the ledger and the videos go, and where uploads come from. Makes nothing."""
    findings = [
        _check_directory("home", settings.home_dir, "KIE_HOME"),
        _check_directory("videos", settings.videos_dir, "KIE_OUTPUT_DIR"),
    ]
    if not settings.upload_roots:
        findings.append(off("local files", "those that the client offers"))
    for root in settings.upload_roots:
        if os.access(root, os.R_OK):
            findings.append(ok("local files", str(root)))
        else:
            cure = "Correct KIE_UPLOAD_ROOTS, or let this user read it."
            findings.append(failed("local files", f"{root} cannot be read", cure))
    return findings


def _check_directory(name: str, path: Path, variable: str) -> Finding:
    is_home = variable == "KIE_HOME"  # which may hold a ledger: a new one knows of no payment
    there = path
    while not os.path.lexists(there):
        there = there.parent
    if there == path and path.is_symlink() and name == "videos":
        return failed(name, f"{path} is a link", f"Set {variable} to where it leads.")
    if not there.is_dir():
        return failed(name, f"{there} is no directory", f"Set {variable} to one of your own.")
    if not os.access(there, os.W_OK | os.X_OK):
        unless = ", if no ledger was ever there," if is_home else ""
        cure = f"Let this user write it, or{unless} set {variable} to one of your own."
        return failed(name, f"{path} cannot be written", cure)
    free = shutil.disk_usage(there).free
    if free < ROOM_MIN_BYTES:
        says = f"{path} has {free / 1e6:.0f} MB left"
        cure = "Make room." if is_home else f"Make room, or set {variable} to another disk."
        return warning(name, says, cure)
    return ok(name, str(path) if there == path else f"{path} (made when needed)")


def check_ledger(settings: Settings) -> Sequence[Finding]:
    """Whether the ledger can be read; it stays as it is."""
    path = settings.ledger_path
    try:
        found = inspect(path)
    except LedgerError as exc:
        cure = "Mend it or upgrade kie-runway-mcp: a new one would not know what was paid for."
        return [failed("ledger", exc.reason, cure)]
    if found is None:
        return [ok("ledger", f"{path} (made when needed)")]
    tasks = f"{found.tasks} task{'' if found.tasks == 1 else 's'}"
    if found.unknown:
        says = f"{tasks}, {found.unknown} of which may have been charged: their answers were lost"
        see = Environment.here().typed("tasks", "list", "--state", "unknown")
        return [warning("ledger", says, "See:", see)]
    if found.outdated:
        tasks += "; an older version's, which the next start brings up to date"
    return [ok("ledger", tasks)]


def check_extras() -> Sequence[Finding]:
    """What is installed beyond the server itself."""
    wanted = {
        "contact sheets": ("media", ("av", "PIL")),
        "sandbox": ("sandbox", ("av", "PIL", "multipart")),
    }
    findings: list[Finding] = []
    for name, (extra, modules) in wanted.items():
        if all(find_spec(module) for module in modules):
            findings.append(ok(name, "installed"))
        else:
            way = Environment.here().way_to_add(extra)
            findings.append(off(name, "not installed", "To add it:", way))
    return findings
