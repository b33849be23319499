"""Serving: loopback only, quick to stop, and light to import."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
import uvicorn
from tests.sandbox.helpers import CREDIT, KEY, WITHIN_S, client, started

from kie_runway_sandbox import Fault, Sandbox, SandboxOptions, serve

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "8.8.8.8", "example.com"])
async def test_only_loopback_is_served(host: str) -> None:
    with Sandbox() as sandbox, pytest.raises(ValueError, match=re.escape(host)):
        async with serve(sandbox, host):
            pass


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


IPV6 = pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", IPV6])
async def test_loopback_has_several_names(host: str) -> None:
    with Sandbox() as sandbox:
        async with serve(sandbox, host) as running, client(running.url) as kie:
            assert await kie.credits() == 1000.0


async def test_a_taken_port_is_an_os_error() -> None:
    async with started() as (_, kie):
        with Sandbox() as other, pytest.raises(OSError, match="in use"):
            async with serve(other, port=kie.http.base_url.port or 0):
                pass


async def test_signal_handlers_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with started():
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    assert during == before


async def test_the_end_does_not_wait_for_hung_requests() -> None:
    errors: list[Exception] = []

    async def hang(url: str) -> None:
        async with client(url) as kie:
            try:
                await kie.http.get(CREDIT, timeout=None)
            except httpx.HTTPError as error:
                errors.append(error)

    with Sandbox() as sandbox, anyio.fail_after(WITHIN_S):
        sandbox.inject(Fault("slow_head", seconds=3600))
        async with anyio.create_task_group() as group, serve(sandbox) as running:
            group.start_soon(hang, running.url)
            while not sandbox.requests:
                await anyio.lowlevel.checkpoint()

    assert len(errors) == 1


async def test_a_sandbox_can_be_served_again() -> None:
    with Sandbox(SandboxOptions()) as sandbox:
        for _ in range(2):
            async with serve(sandbox) as running, client(running.url) as kie:
                assert await kie.credits() == 1000.0


@pytest.mark.parametrize("steps", range(4))
async def test_a_connection_that_comes_at_the_very_end_is_closed(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    strangers: list[socket.socket] = []

    async def run(server: uvicorn.Server) -> None:
        (listener,) = server.servers[0].sockets
        strangers.append(socket.create_connection(listener.getsockname(), WITHIN_S))
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(uvicorn.Server, "main_loop", run)
    with Sandbox() as sandbox:
        async with serve(sandbox):
            pass
    with strangers[0] as stranger, suppress(ConnectionResetError):
        assert not await anyio.to_thread.run_sync(stranger.recv, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_answers_do_not_wait_for_delayed_acknowledgements() -> None:
    """Every accepted connection must have Nagle's algorithm off."""
    async with started() as (_, kie):
        before = set(open_sockets())
        await kie.credits()
        added = set(open_sockets()) - before

    assert added
    assert all(nodelay for _, nodelay in added)


def open_sockets() -> Iterator[tuple[int, bool]]:
    """This process's TCP connections, and whether they send at once."""
    for name in os.listdir("/proc/self/fd"):
        with duplicate(int(name)) as found:
            if found is not None:
                yield int(name), bool(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@contextmanager
def duplicate(number: int) -> Generator[socket.socket | None]:
    try:
        found = socket.socket(fileno=os.dup(number))
    except OSError:
        yield None
        return
    with found:
        is_connection = found.family == socket.AF_INET and not found.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        )
        yield found if is_connection else None


RUN = """
import signal
from kie_runway_sandbox import Sandbox, run
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell puts aside ignores it
with Sandbox() as sandbox:
    run(sandbox, lambda line: print(line, flush=True), port=0)
print("closed", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_tells_how_to_use_it_and_stops_on_a_signal(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            lines = [process.stdout.readline() for _ in range(8)]
            url = re.findall(r"http://\S+", lines[0])[0]
            headers = {"Authorization": f"Bearer {KEY}"}
            answer = httpx.get(url + CREDIT, headers=headers, trust_env=False, timeout=WITHIN_S)
            process.send_signal(number)
            rest, errors = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()

    assert answer.json()["data"] == 1000.0
    assert any("curl" in line for line in lines)
    assert any(KEY in line for line in lines)
    assert (rest, errors, process.returncode) == ("closed\n", "", 0)


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_is_light_until_it_is_used() -> None:
    assert not loaded_after("import kie_runway_sandbox") & {"uvicorn", "starlette", "pydantic"}
    assert not loaded_after("from kie_runway_sandbox import Sandbox, serve") & {"av", "PIL"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    import kie_runway_sandbox

    with pytest.raises(AttributeError, match="no_such_name"):
        kie_runway_sandbox.no_such_name  # noqa: B018
    assert all(getattr(kie_runway_sandbox, name) for name in kie_runway_sandbox.__all__)


def test_it_imports_nothing_of_the_product() -> None:
    imported: set[str] = set()
    for path in Path(str(files("kie_runway_sandbox"))).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])

    assert "starlette" in imported
    assert not imported & {"kie_runway", "kie_runway_tools"}
