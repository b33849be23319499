"""Every attack is watched: nothing that leaves the server may hold a piece of a secret."""

import logging
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from tests.attacks.hooks import HMAC_KEY
from tests.attacks.kie import OTHER_KEY, Hurry
from tests.attacks.leaks import Trail, TrailHandler
from tests.build_once import build_once
from tests.support import KEY, draw, settings_for

from kie_runway import submit, webhooks
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox, SandboxOptions, serve


@pytest.fixture(name="served", scope="module")
async def _served() -> AsyncGenerator[tuple[Sandbox, str]]:
    """A sandbox on a real socket; stopping one takes longer than most tests."""
    with Sandbox(SandboxOptions(keys=(KEY, OTHER_KEY), advance="manual"), renderer=draw) as sandbox:
        async with serve(sandbox) as running:
            yield sandbox, running.url


@pytest.fixture(name="sandbox")
def _sandbox(served: tuple[Sandbox, str]) -> Sandbox:
    """KIE's stand-in, as new."""
    served[0].reset()
    return served[0]


@pytest.fixture(name="settings")
def _settings(served: tuple[Sandbox, str], sandbox: Sandbox) -> Settings:
    """A server's settings that point at the sandbox, as new."""
    assert sandbox.log.entries == []
    return settings_for(served[1])


@pytest.fixture(autouse=True)
def _build_once(monkeypatch: pytest.MonkeyPatch) -> None:
    build_once(monkeypatch)


@pytest.fixture(autouse=True)
def _unhurried(unhurried: None) -> None:
    """No test here is about the server's patience with a slow machine."""


@pytest.fixture(name="trail", autouse=True)
def _trail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[Trail]:
    """Everything that leaves the server; searched for secrets when the test is over."""
    trail = Trail()
    _note_answers(monkeypatch, trail)
    _note_tokens(monkeypatch, trail)
    _note_files_before_closing(monkeypatch, trail, tmp_path)
    handler = TrailHandler(trail)
    root = logging.getLogger()
    named = [log for log in root.manager.loggerDict.values() if isinstance(log, logging.Logger)]
    levels = [(log, log.level) for log in (root, *named)]
    for log, _ in levels:
        log.setLevel(logging.NOTSET)
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield trail
    finally:
        root.removeHandler(handler)
        for log, level in levels:
            log.setLevel(level)
    out, err = capfd.readouterr()
    trail.note("stdout", out)
    trail.note("stderr", err)
    trail.note_files(tmp_path)

    assert not trail.leaks(KEY)
    assert not trail.leaks(HMAC_KEY)
    assert not trail.token_leaks()


def _note_tokens(monkeypatch: pytest.MonkeyPatch, trail: Trail) -> None:
    """Keep what every callback address is made of."""

    def noted() -> str:
        trail.tokens.append(webhooks.new_token())
        return trail.tokens[-1]

    monkeypatch.setattr(submit, "new_token", noted)


def _note_answers(monkeypatch: pytest.MonkeyPatch, trail: Trail) -> None:
    """Keep what each tool answered, errors of the protocol included."""
    call_tool = Client.call_tool

    async def noted(self: Client, name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await call_tool(self, name, *args, **kwargs)
        except Exception as exc:
            trail.note(f"exception of {name}", repr(exc))
            raise
        trail.note(f"answer of {name}", result.model_dump_json())
        return result

    monkeypatch.setattr(Client, "call_tool", noted)


def _note_files_before_closing(monkeypatch: pytest.MonkeyPatch, trail: Trail, folder: Path) -> None:
    """Keep the files as they are while the ledger is open, its write-ahead log included."""
    aclose = SqliteLedger.aclose

    async def noted(self: SqliteLedger) -> None:
        trail.note_files(folder)
        await aclose(self)

    monkeypatch.setattr(SqliteLedger, "aclose", noted)


@pytest.fixture(name="hurry")
def _hurry(monkeypatch: pytest.MonkeyPatch) -> Hurry:
    """Servers that skip their pauses, on a clock that can be moved."""
    hurry = Hurry()
    hurry.install(monkeypatch)
    return hurry
