"""The watch over the API key has teeth: each way to leak it is noticed."""

import base64
import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.attacks.leaks import Trail, TrailHandler, leaks_in
from tests.support import KEY, connect

from kie_runway import submit
from kie_runway.errors import BadInputError
from kie_runway.settings import Settings
from kie_runway.submit import Submitter
from kie_runway.webhooks import callback_address

pytestmark = pytest.mark.anyio

LEAKS = {
    "the key": KEY,
    "six characters": f"key starts with {KEY[:6]}",
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of a header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64, shifted by one": base64.b64encode(f"xBearer {KEY}".encode()).decode(),
    "base64, shifted by two": base64.b64encode(f"xxBearer {KEY}".encode()).decode(),
    "URL-encoded": quote(KEY, safe=""),
    "every character URL-encoded": "".join(f"%{byte:02X}" for byte in KEY.encode()),
    "hex": KEY.encode().hex(),
    "the beginning in base64": base64.b64encode(KEY[:6].encode()).decode(),
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
def test_a_key_is_found_in_every_form(text: str) -> None:
    assert leaks_in(f"some words {text} and more".encode(), KEY)


@pytest.mark.parametrize("text", ["", KEY[:5], KEY[6:], "kie-runway-mcp", "%", "%zz"])
def test_other_text_is_no_leak(text: str) -> None:
    assert not leaks_in(text.encode(), KEY)


def test_a_key_in_a_log_record_is_found_wherever_it_stands() -> None:
    log = logging.getLogger("tests.leaky")
    for number, leak in enumerate(("message", "argument", "extra", "traceback")):
        trail = Trail()
        handler = TrailHandler(trail)
        log.addHandler(handler)
        log.propagate = False
        try:
            match leak:
                case "message":
                    log.error(f"key is {KEY}")
                case "argument":
                    log.error("key is %s", KEY)
                case "extra":
                    log.error("key", extra={"header": f"Bearer {KEY}"})
                case _:
                    log.error("broke", exc_info=ValueError(KEY))
        finally:
            log.removeHandler(handler)

        assert trail.leaks(KEY), (number, leak)


async def test_a_key_in_a_file_under_the_home_is_found(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.db-wal").write_bytes(b"\x00\x01" + KEY.encode())
    trail = Trail()
    trail.note_files(tmp_path)
    (tmp_path / "home" / "ledger.db-wal").unlink()

    assert trail.leaks(KEY) == ["file ledger.db-wal: plain"]


@pytest.mark.parametrize(
    ("raised", "where"),
    [
        (RuntimeError(f"key {KEY} was refused"), "log kie_runway.sdk"),
        (BadInputError(f"key {KEY[:9]}... was refused"), "answer of generate_video"),
    ],
    ids=["a crash", "an error that is shown"],
)
async def test_a_server_that_shows_the_key_is_caught(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, trail: Trail, raised: Exception, where: str
) -> None:
    """The mutants: errors of ours that quote the key."""

    async def leaky(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(Submitter, "start", leaky)
    async with connect(settings) as agent:
        await agent.fail("generate_video", prompt="a boat")
    found = {leak.partition(":")[0] for leak in trail.leaks(KEY)}
    trail.pieces.clear()  # this test leaks on purpose

    assert where in found


async def test_a_server_that_writes_the_key_to_its_ledger_is_caught(
    settings: Settings, trail: Trail
) -> None:
    async with connect(settings) as agent:
        await agent.call("generate_video", prompt=f"a boat named {KEY}")
        trail.pieces.clear()
    found = {leak.partition(":")[0] for leak in trail.leaks(KEY)}
    trail.pieces.clear()  # this test leaks on purpose
    for path in settings.home_dir.glob("ledger.db*"):
        if path.is_file():
            path.unlink()

    assert "file ledger.db-wal" in found


async def test_a_server_that_logs_a_callback_address_is_caught(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, trail: Trail
) -> None:
    """The mutant: a line about a request, with its address."""
    log = logging.getLogger("tests.careless")

    def leaky(base: str, token: str) -> str:
        log.warning("asking to be called back at %s", token)
        return callback_address(base, token)

    monkeypatch.setattr(submit, "callback_address", leaky)
    public = settings.model_copy(update={"callback_url": "https://hooks.example"})
    async with connect(public) as agent:
        await agent.call("generate_video", prompt="a boat")
    found = {leak.partition(":")[0] for leak in trail.token_leaks()}
    trail.pieces.clear()  # this test leaks on purpose

    assert found == {"log tests.careless"}
