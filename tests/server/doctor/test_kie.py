"""What is told of KIE, the key, the clock and callbacks."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.hosting import hosted
from tests.server.doctor.looking import told
from tests.server.kie_stub import says_nothing, stub
from tests.sockets import http, sends
from tests.support import KEY, serve_sandbox, settings_for

from kie_runway.doctor import kie
from kie_runway.doctor.finding import Finding, State
from kie_runway.doctor.kie import (
    StoredKey,
    check_account,
    check_api,
    check_callbacks,
    check_uploads,
)
from kie_runway.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

OFF, OK, WARNING, FAILED = State.OFF, State.OK, State.WARNING, State.FAILED


async def test_a_key_that_works_is_told_with_what_is_left() -> None:
    async with serve_sandbox(credits=77) as (_, settings):
        findings = await check_account(settings, None)

    assert told(findings) == [("key", OK), ("credits", OK)]
    assert findings[1].says == "77 left"


async def test_too_few_credits_are_a_warning() -> None:
    async with serve_sandbox(credits=3) as (_, settings):
        findings = await check_account(settings, None)

    assert told(findings) == [("key", OK), ("credits", WARNING)]
    assert findings[1].says.startswith("3, and the cheapest video costs about")


async def test_looking_costs_nothing_and_starts_nothing() -> None:
    async with serve_sandbox() as (sandbox, settings):
        for check in (check_api, check_uploads, check_callbacks):
            await check(settings)
        await check_account(settings, None)

        assert sandbox.log.entries == []


async def test_a_key_that_a_client_keeps_is_checked_where_there_is_no_other() -> None:
    async with serve_sandbox() as (_, settings):
        keyless = settings.model_copy(update={"api_key": None})
        kept = await check_account(keyless, StoredKey("Claude Desktop", SecretStr(KEY)))
        wrong = await check_account(keyless, StoredKey("Claude Desktop", SecretStr("wrong-key")))
        secret = await check_account(keyless, StoredKey("VS Code", None))
        none = await check_account(keyless, None)

    assert told(kept) == [("key", OK), ("credits", OK)]
    assert "the one of Claude Desktop" in kept[0].says
    assert told(wrong) == [("key", FAILED)]
    assert told(secret) == [("key", OFF)]
    assert told(none) == [("key", FAILED)]


async def test_a_key_that_cannot_be_one_is_refused_before_it_is_sent() -> None:
    findings = await check_account(settings_for("http://127.0.0.1:1", api_key=SecretStr("é")), None)

    assert told(findings) == [("key", FAILED)]
    assert "no key has" in findings[0].cure


async def test_where_kie_is_away_nothing_is_said_of_the_key() -> None:
    settings = settings_for("http://127.0.0.1:1")

    assert told(await check_account(settings, None)) == [("key", WARNING)]
    assert told(await check_api(settings)) == [("KIE", FAILED)]
    assert told(await check_uploads(settings)) == [("uploads", WARNING)]


async def test_a_host_that_never_answers_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kie, "CHECK_S", 0.2)
    async with stub(says_nothing) as silent:
        settings = settings_for(silent.url)

        assert told(await check_api(settings)) == [("KIE", FAILED)]
        assert told(await check_account(settings, None)) == [("key", WARNING)]


async def test_a_host_in_trouble_is_told() -> None:
    async with stub(sends(http(b"", status="503 Service Unavailable"))) as troubled:
        findings = await check_api(settings_for(troubled.url))

    assert told(findings) == [("KIE", WARNING)]
    assert "HTTP 503" in findings[0].says


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(timedelta(0), OK), (timedelta(minutes=6), WARNING), (timedelta(minutes=-6), WARNING)],
)
async def test_a_clock_that_differs_is_told(ahead: timedelta, state: State) -> None:
    date = format_datetime(datetime.now(UTC) - ahead, usegmt=True)
    async with stub(sends(http(b"{}", f"Date: {date}"))) as host:
        findings = await check_api(settings_for(host.url))

    assert told(findings) == [("KIE", OK), ("clock", state)]
    if state is WARNING:
        assert ("ahead of" if ahead > timedelta(0) else "behind") in findings[1].says


@pytest.mark.parametrize("date", ["", "soon", "Mon, 99 Xxx 99999999999999999999 00:00:00 GMT"])
async def test_a_date_that_is_none_is_passed_over(date: str) -> None:
    async with stub(sends(http(b"{}", f"Date: {date}"))) as host:
        findings = await check_api(settings_for(host.url))

    assert told(findings) == [("KIE", OK)]


async def test_no_request_but_the_accounts_carries_the_key() -> None:
    async with stub(sends(http(b"{}"))) as host:
        settings = settings_for(host.url, callback_url=host.url)
        for check in (check_api, check_uploads, check_callbacks):
            await check(settings)

        assert host.requests
        assert not [request for request in host.requests if KEY.encode() in request]


def server(*, health: bool = True, hooks: bool = True) -> Starlette:
    """What a public address leads to."""

    async def is_well(_: Request) -> Response:
        return JSONResponse({"status": "ok", "name": "kie-runway-mcp", "version": "1"})

    async def hook(_: Request) -> Response:
        return JSONResponse({"status": "not found"}, 404)

    routes = [Route("/health", is_well)] if health else []
    if hooks:
        routes.append(Route("/hooks/kie/{token:path}", hook, methods=["POST"]))
    return Starlette(routes=routes)


async def callbacks(app: Starlette, **changes: object) -> Sequence[Finding]:
    async with hosted(app) as url:
        settings = settings_for(url, callback_url=url, **changes)
        return await check_callbacks(settings)


@pytest.mark.parametrize("app", [server(), server(health=False), server(hooks=False)])
async def test_an_address_that_leads_here_is_known(app: Starlette) -> None:
    signed = await callbacks(app, webhook_hmac_key=SecretStr("k"))
    unsigned = await callbacks(app)

    assert told(signed) == [("callbacks", WARNING)]
    assert "not encrypted" in signed[0].says
    assert told(unsigned) == [("callbacks", WARNING), ("callbacks", WARNING)]
    assert "KIE_WEBHOOK_HMAC_KEY" in unsigned[1].cure


async def test_an_address_that_leads_elsewhere_is_told() -> None:
    findings = await callbacks(server(health=False, hooks=False))

    assert told(findings)[0] == ("callbacks", FAILED)
    assert "--callbacks-port" in findings[0].cure


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://mac.local", "https://10.0.0.1"])
async def test_an_address_that_kie_cannot_reach_is_told(url: str) -> None:
    findings = await check_callbacks(settings_for("http://127.0.0.1:1", callback_url=url))

    assert told(findings)[0] == ("callbacks", FAILED)
    assert "cannot reach" in findings[0].says


async def test_without_callbacks_there_is_nothing_to_look_at() -> None:
    assert told(await check_callbacks(Settings())) == [("callbacks", OFF)]
