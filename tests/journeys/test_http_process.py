"""The HTTP server as a process: who may talk to it."""

import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from tests.journeys.processes import ACCEPT, HttpServer, http_server
from tests.wire import COMMAND, INITIALIZE, WITHIN_S

HANDSHAKE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Generator[HttpServer]:
    home = tmp_path_factory.mktemp("home")
    with http_server(env={"KIE_HOME": str(home)}) as server:
        yield server


def initialize(server: HttpServer, **headers: str) -> int:
    """The status of a handshake sent with further headers."""
    headers = ACCEPT | headers
    return httpx.post(server.url, json=HANDSHAKE, headers=headers, timeout=WITHIN_S).status_code


def test_a_handshake_from_this_machine_is_answered(server: HttpServer) -> None:
    assert initialize(server) == 200
    assert initialize(server, Origin=server.base) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0:80"])
def test_a_foreign_host_is_misdirected(server: HttpServer, host: str) -> None:
    assert initialize(server, Host=host) == 421


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost.evil.example", "null"]
)
def test_a_foreign_origin_is_forbidden(server: HttpServer, origin: str) -> None:
    assert initialize(server, Origin=origin) == 403


def test_health_says_who_is_there(server: HttpServer) -> None:
    answer = httpx.get(f"{server.base}/health", timeout=WITHIN_S)

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["name"] == "kie-runway-mcp"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_takes_its_sandbox_down(
    number: signal.Signals, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with http_server("--sandbox", env={"TMPDIR": str(scratch)}) as server:
        assert initialize(server) == 200
        assert list(scratch.iterdir())
        server.process.send_signal(number)
        code = server.process.wait(WITHIN_S)

    assert code == 0
    assert not list(scratch.iterdir())


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*COMMAND, "serve", "--http", *arguments),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_address_that_others_reach_is_refused_with_the_reason(host: str) -> None:
    done = refused("--host", host)

    assert done.returncode == 2
    assert f"--host {host} is not loopback" in done.stderr
    assert "credits" in done.stderr
    assert not done.stdout


def test_a_taken_port_is_refused_with_the_reason(server: HttpServer) -> None:
    port = server.base.rpartition(":")[2]
    done = refused("--port", port)

    assert done.returncode != 0
    assert "address already in use" in done.stderr
    assert not done.stdout
