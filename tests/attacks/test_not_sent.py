"""No connection to KIE: certainly nothing was sent, so it was free and may be repeated."""

import socket
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from tests.attacks.kie import START, Hurry, assert_honest, paid, sent
from tests.hosting import base_url, free_port
from tests.support import connect

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint

pytestmark = pytest.mark.anyio

NO_SUCH_HOST = "kie.invalid"


@pytest.fixture(autouse=True)
def _no_such_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """One name does not resolve; asking the machine's resolver could take long."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in (NO_SUCH_HOST, NO_SUCH_HOST.encode()):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextmanager
def closed_port(_: str) -> Generator[str]:
    with free_port() as silent:  # nobody listens there, and nobody else can
        yield base_url(silent)


def unknown_name(_: str) -> AbstractContextManager[str]:
    return nullcontext(f"http://{NO_SUCH_HOST}")


def no_tls(url: str) -> AbstractContextManager[str]:
    return nullcontext(url.replace("http://", "https://"))


Away = Callable[[str], AbstractContextManager[str]]
"""Addresses at which KIE is not, in place of its own."""

AWAY: tuple[Away, ...] = (closed_port, unknown_name, no_tls)


@pytest.mark.parametrize(
    ("endpoint", "away"),
    [*(("runway/generate", away) for away in AWAY), ("aleph/generate", closed_port)],
)
async def test_a_request_that_never_left_is_free_and_works_once_kie_is_back(
    sandbox: Sandbox,
    settings: Settings,
    hurry: Hurry,
    endpoint: Endpoint,
    away: Away,
) -> None:
    tool, arguments = START[endpoint]
    with away(settings.api_url) as url:
        async with connect(settings.model_copy(update={"api_url": url})) as agent:
            task = await agent.refuse(tool, arguments)
            assert_honest(task, sandbox)
    async with connect(settings) as agent:
        found = await agent.fail("get_task", task_id="one")
        back = await agent.call(tool, **arguments)

    assert (task["state"], task["charged"]) == ("rejected", "no")
    assert (task["error"]["code"], task["error"]["retry"]) == ("unreachable", "later")
    assert "the same request_id" in task["next"]
    assert len(hurry.pauses) == 2  # three tries
    assert found["state"] == "rejected"
    assert (back["request_id"], back["charged"]) == ("one", "yes")
    assert (sent(sandbox, endpoint), paid(sandbox)) == (1, 1)


@pytest.mark.parametrize("away", AWAY)
async def test_a_look_up_that_never_left_says_nothing_about_the_task(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, away: Away
) -> None:
    async with connect(settings) as agent:
        await agent.call("generate_video", prompt="a boat", request_id="one")
    with away(settings.api_url) as url:
        async with connect(settings.model_copy(update={"api_url": url})) as agent:
            task = await agent.call("get_task", task_id="one")
            error = await agent.fail("get_credits")

    assert (task["state"], task["charged"]) == ("wait", "yes")
    assert (task["error"]["code"], task["error"]["retry"]) == ("unavailable", "later")
    assert (error["error"]["code"], error["error"]["charged"]) == ("unavailable", "no")
    assert hurry.pauses


async def test_a_connection_that_was_made_and_reset_is_no_proof(
    sandbox: Sandbox, settings: Settings, hurry: Hurry
) -> None:
    """Nothing was handled here, but only the sandbox knows that."""
    sandbox.inject(Fault("reset_before", "runway/generate"))
    async with connect(settings) as agent:
        task = await agent.fail("generate_video", prompt="a boat")

    assert (task["state"], task["charged"]) == ("unknown", "unknown")
    assert (hurry.pauses, sent(sandbox), paid(sandbox)) == ([], 1, 0)
