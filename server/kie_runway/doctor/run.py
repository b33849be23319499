"""`kie-runway-mcp doctor`: all checks at once, and the report."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import version

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from kie_runway.doctor.clients import check_clients, look_around, stored_key
from kie_runway.doctor.finding import Finding, State, failed, ok
from kie_runway.doctor.kie import (
    StoredKey,
    check_account,
    check_api,
    check_budget,
    check_callbacks,
    check_uploads,
)
from kie_runway.doctor.places import check_directories, check_extras, check_ledger
from kie_runway.serving import SANDBOX_SPEED, explain_settings
from kie_runway.settings import Settings
from kie_runway.shown import escaped
from kie_runway.terminal import Mark, mark, open_console, wrapped

CHECK_MAX_S = 25.0  # a check may ask twice

_NAME_WIDTH = 14
_INDENT = _NAME_WIDTH + 4
_MARKS: dict[State, Mark] = {
    State.OK: "done",
    State.OFF: "none",
    State.WARNING: "warning",
    State.FAILED: "failed",
}

Check = Callable[[], Awaitable[Sequence[Finding]]]


def run_doctor(*, sandbox: bool, as_json: bool) -> int:
    """
    Run all checks and print what they found.

    Args:
        sandbox: Check against an embedded sandbox instead of KIE.
        as_json: One JSON object instead of lines.

    Returns:
        The exit code: 0, or 1 when something is broken; warnings are not.
    """
    findings = asyncio.run(examine(sandbox=sandbox))
    broken = any(finding.state is State.FAILED for finding in findings)
    if as_json:
        _print_json(findings, is_ok=not broken)
    else:
        _print(open_console(), findings)
    return 1 if broken else 0


async def examine(*, sandbox: bool) -> Sequence[Finding]:
    """All findings, in the order of the report; takes half a minute at most."""
    around = await asyncio.to_thread(look_around)
    of_clients = _in_thread(partial(check_clients, around))
    here = [_in_thread(check_extras), of_clients]
    try:
        settings = Settings()
    except ValidationError as exc:
        wrong = [
            failed("settings", line, "Correct or unset it.")
            for line in explain_settings(exc).splitlines()
        ]
        return [*wrong, *await _together(here)]
    if not sandbox:
        ledger = partial(check_ledger, settings)
        return await _together([*_checks_of(settings, stored_key(around), ledger), *here])
    from kie_runway.sandboxed import embedded_sandbox

    async with embedded_sandbox(settings, SANDBOX_SPEED) as (replaced, _):
        return await _together([*_checks_of(replaced, None, _sandboxs_ledger), *here])


def _sandboxs_ledger() -> Sequence[Finding]:
    return [ok("ledger", "the sandbox's own, which ends with it")]


def _checks_of(
    settings: Settings, stored: StoredKey | None, ledger: Callable[[], Sequence[Finding]]
) -> Sequence[Check]:
    return (
        partial(check_account, settings, stored),
        partial(check_api, settings),
        partial(check_uploads, settings),
        partial(check_callbacks, settings),
        _in_thread(partial(check_budget, settings)),
        _in_thread(partial(check_directories, settings)),
        _in_thread(ledger),
    )


def _in_thread(check: Callable[[], Sequence[Finding]]) -> Check:
    """A check that blocks."""
    return partial(asyncio.to_thread, check)


async def _together(checks: Sequence[Check]) -> Sequence[Finding]:
    found = await asyncio.gather(*map(_within_time, checks))
    return [finding for findings in found for finding in findings]


async def _within_time(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(CHECK_MAX_S):
            return await check()
    except TimeoutError:
        return [failed("doctor", "a check took too long", "Look at the network and the disks.")]


def _print(console: Console, findings: Sequence[Finding]) -> None:
    console.print(Text(f"kie-runway-mcp {version('kie-runway-mcp')}", style="bold"))
    console.print()
    for finding in findings:
        _print_finding(console, finding)
    console.print()
    console.print(_summary(findings))


def _print_finding(console: Console, finding: Finding) -> None:
    lead = Text.assemble(
        mark(console, _MARKS[finding.state]), f"  {escaped(finding.name):{_NAME_WIDTH}} "
    )
    style = "dim" if finding.state is State.OFF else ""
    for line in wrapped(console, finding.says, _INDENT, style):
        console.print(Text.assemble(lead, line))
        lead = Text(" " * _INDENT)
    if finding.cure:
        for line in wrapped(console, finding.cure, _INDENT, "dim"):
            console.print(Text.assemble(" " * _INDENT, line))
    if finding.command:  # is meant to be copied, and so never broken
        console.print(Text.assemble(" " * _INDENT, escaped(finding.command)))


def _summary(findings: Sequence[Finding]) -> Text:
    broken = sum(finding.state is State.FAILED for finding in findings)
    doubtful = sum(finding.state is State.WARNING for finding in findings)
    if not broken and not doubtful:
        return Text("All is well.", "bold green")
    words = [
        f"{number} {word if number == 1 else words}"
        for number, word, words in (
            (broken, "thing is broken", "things are broken"),
            (doubtful, "warning", "warnings"),
        )
        if number
    ]
    return Text(", ".join(words) + ".", "bold red" if broken else "bold yellow")


def _print_json(findings: Sequence[Finding], *, is_ok: bool) -> None:
    report = {
        "version": version("kie-runway-mcp"),
        "ok": is_ok,
        "checks": [
            {"name": it.name, "state": it.state, "says": it.says}
            | ({"cure": it.cure} if it.cure else {})
            | ({"command": it.command} if it.command else {})
            for it in findings
        ],
    }
    # Escaped to ASCII, so that nothing in it can disturb a terminal.
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
