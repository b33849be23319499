"""Real sockets that misbehave at every stage of a paid request and of a look-up."""

import asyncio
import gzip
import os
import socket
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.server.kie_stub import (
    GENERATE,
    KEY,
    Waits,
    client,
    resets_after,
    says_nothing,
    stub,
)
from tests.sockets import Handle, envelope, http, read_request, sends

from kie_runway.client import KieClient
from kie_runway.errors import (
    KieError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
    UnavailableError,
)
from kie_runway.exchange import BODY_MAX_BYTES
from kie_runway.models import TaskKind, TaskState

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

ACCEPTED = envelope({"taskId": "t-1"})
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def gzip_bomb() -> bytes:
    """A megabyte that unpacks to a gigabyte."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    head = packer.compress(b"{") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1024**2)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * 1024  # after a full flush a block stands for itself


# What the peer does after it took the request, and what it proves nothing about.
AMBIGUOUS: dict[str, Handle] = {
    "closes": sends(),
    "resets": resets_after(),
    "half a status line": sends(b"HTTP/1.1 20"),
    "resets after half a status line": resets_after(b"HTTP/1.1 20"),
    "half the headers": sends(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no body": sends(http(length=50)),
    "truncated body": sends(http(ACCEPTED[:-10], length=len(ACCEPTED))),
    "resets within the body": resets_after(http(ACCEPTED[:-10], length=len(ACCEPTED))),
    "truncated JSON of the promised length": sends(http(ACCEPTED[:-10])),
    "truncated chunks": sends(CHUNKED, chunk(ACCEPTED)),
    "not HTTP": sends(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "HTML 502": sends(http(b"<html>bad gateway</html>", status="502 Bad Gateway")),
    "too much for the promised length": sends(http(ACCEPTED + b"}", length=len(ACCEPTED) + 1)),
    "deep nesting": sends(http(b"[" * 900_000)),
    "a number of a million digits": sends(http(b'{"code":' + b"2" * 900_000 + b"}")),
    "broken gzip": sends(http(b"\x1f\x8bnonsense", "Content-Encoding: gzip")),
    "truncated gzip": sends(http(gzip.compress(ACCEPTED)[:-12], "Content-Encoding: gzip")),
    "gzip without its checksum": sends(
        http(gzip.compress(ACCEPTED)[:-8], "Content-Encoding: gzip")
    ),
    "an encoding nobody asked for": sends(http(ACCEPTED, "Content-Encoding: br")),
    "1 MB of headers": sends(http(ACCEPTED, *(f"X-{n}: {'x' * 99}" for n in range(9999)))),
    "endless headers": sends(
        b"HTTP/1.1 200 OK\r\n", forever=b"X-Pad: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
    ),
    "endless chunks": sends(CHUNKED, forever=chunk(b" " * 4096)),
    "a gzip header of a megabyte": sends(
        http(
            b"\x1f\x8b\x08\x08\0\0\0\0\0\0"  # a header that names a file
            + (b"a" * BODY_MAX_BYTES + b"\0")
            + gzip.compress(ACCEPTED)[10:],
            "200 OK",
            "Content-Encoding: gzip",
        )
    ),
    "a body of one byte too many": sends(http(ACCEPTED.ljust(BODY_MAX_BYTES + 1))),
    "says nothing until the deadline": says_nothing,
    "interim answers until the deadline": sends(forever=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "one byte at a time until the deadline": sends(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", forever=b" "
    ),
}


Broken = tuple[KieClient, list[bytes], bool]


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture(params=sorted(AMBIGUOUS))
async def broken(request: pytest.FixtureRequest, waits: Waits) -> AsyncGenerator[Broken]:
    """A client of a peer that takes the request and fails; what it got, and if that takes long."""
    slow = request.param.endswith("deadline")
    async with (
        stub(AMBIGUOUS[request.param]) as peer,
        client(peer.url, waits=waits, deadline_s=0.2 if slow else 60) as kie,
    ):
        yield kie, peer.requests, slow


async def test_a_paid_request_that_got_no_clear_answer_is_sent_once_and_unknown(
    broken: Broken,
) -> None:
    kie, requests, slow = broken
    with pytest.raises(OutcomeUnknownError) as caught:
        await kie.create(GENERATE)

    assert len(requests) == 1 or (slow and not requests)  # the deadline passed on its way
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_a_look_up_that_got_no_clear_answer_is_unavailable_after_two_retries(
    broken: Broken, waits: Waits
) -> None:
    kie, requests, slow = broken
    with pytest.raises(UnavailableError):
        await kie.look_up(TaskKind.GENERATE, "t-1")

    assert len(waits.seconds) == 2
    assert len(requests) == 3 or (slow and len(requests) < 3)


@pytest.mark.parametrize("at", [0, 1, 40, 200], ids="{} bytes read".format)
async def test_a_peer_that_dies_while_the_request_comes_in_leaves_the_outcome_unknown(
    at: int,
) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(at)
        await resets_after()(reader, writer)

    async with stub(dies, read=False) as peer, client(peer.url) as kie:
        with pytest.raises(OutcomeUnknownError):
            await kie.create(GENERATE)

    assert peer.connections == 1


@pytest.mark.parametrize(
    "body",
    [
        http(ACCEPTED),
        http(gzip.compress(ACCEPTED), "Content-Encoding: gzip"),
        CHUNKED + chunk(ACCEPTED[:9]) + chunk(ACCEPTED[9:]) + b"0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + http(ACCEPTED),
        b"HTTP/1.0 200 OK\r\n\r\n" + ACCEPTED,
        http(ACCEPTED.ljust(BODY_MAX_BYTES)),
    ],
    ids=["plain", "gzip", "chunked", "after 100", "HTTP/1.0", "longest"],
)
async def test_an_answer_that_came_whole_is_taken(body: bytes) -> None:
    async with stub(sends(body)) as peer, client(peer.url) as kie:
        assert await kie.create(GENERATE) == "t-1"


async def test_an_answer_that_came_whole_stands_when_closing_fails() -> None:
    class Stream(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncGenerator[bytes]:
            yield ACCEPTED

        async def aclose(self) -> None:
            raise httpx.CloseError("the connection broke at the very end")

    async with client(handler=lambda _: httpx.Response(200, stream=Stream())) as kie:
        assert await kie.create(GENERATE) == "t-1"


async def test_a_refusal_with_a_body_that_never_fits_is_still_a_refusal() -> None:
    body = b"x" * (BODY_MAX_BYTES + 1)
    async with stub(sends(http(body, status="400 Bad Request"))) as peer, client(peer.url) as kie:
        with pytest.raises(RefusedError):
            await kie.create(GENERATE)


async def test_a_megabyte_that_unpacks_to_a_gigabyte_takes_little_memory() -> None:
    bomb = gzip_bomb()
    reply = sends(http(bomb, "Content-Encoding: gzip"))
    async with stub(reply) as peer, client(peer.url) as kie:
        tracemalloc.start()
        try:
            with pytest.raises(OutcomeUnknownError):
                await kie.create(GENERATE)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(bomb, 9) == b"{" + bytes(8)
    assert len(bomb) < 1.2 * 1024**2
    assert peak_bytes < 16 * 1024**2


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed_and_the_key_stays(status: str) -> None:
    async with stub(sends(http(ACCEPTED))) as other:
        answer = http(ACCEPTED, f"Location: {other.url}/api/v1/runway/generate", status=status)
        async with stub(sends(answer)) as peer, client(peer.url) as kie:
            with pytest.raises(OutcomeUnknownError):
                await kie.create(GENERATE)
            with pytest.raises(UnavailableError):
                await kie.credits()

    assert other.connections == 0
    assert len(peer.requests) == 4  # the paid one once, the look at the balance three times


async def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with client(url) as kie:
            with pytest.raises(NotSentError):
                await kie.create(GENERATE)
            with pytest.raises(UnavailableError):
                await kie.credits()


async def test_a_name_that_does_not_resolve_proves_that_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with client("http://kie.invalid") as kie:
        with pytest.raises(NotSentError):
            await kie.create(GENERATE)


@pytest.mark.parametrize("reply", [sends(b"no TLS here\r\n"), resets_after(), sends()])
async def test_a_failed_tls_handshake_proves_that_nothing_was_sent(reply: Handle) -> None:
    async with (
        stub(reply, read=False) as peer,
        client(peer.url.replace("http://", "https://")) as kie,
    ):
        with pytest.raises(NotSentError):
            await kie.create(GENERATE)


async def test_every_paid_request_has_a_connection_of_its_own_and_reads_share_one() -> None:
    record = {"taskId": "t-1", "state": "wait"}

    async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            requests.append(request)
            body = ACCEPTED if request.startswith(b"POST") else envelope(record)
            writer.write(http(body).replace(b"Connection: close", b"Connection: keep-alive"))

    requests: list[bytes] = []
    async with stub(keeps, read=False) as peer, client(peer.url) as kie:
        for _ in range(3):
            update = await kie.look_up(TaskKind.GENERATE, "t-1")
            assert update is not None
            assert update.state is TaskState.WAIT
        assert peer.connections == 1
        for _ in range(3):
            await kie.create(GENERATE)
        assert peer.connections == 4
        await kie.look_up(TaskKind.GENERATE, "t-1")

    assert peer.connections == 4
    assert all(request.split(b"\r\n")[0].endswith(b" HTTP/1.1") for request in requests)


async def test_the_environment_sends_nothing_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stub(sends(http(ACCEPTED))) as proxy, stub(sends(http(ACCEPTED))) as peer:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setitem(os.environ, name, proxy.url)
        async with client(peer.url) as kie:
            await kie.create(GENERATE)

    assert (proxy.connections, peer.connections) == (0, 1)


async def test_a_peer_that_quotes_the_key_does_not_get_it_into_an_error() -> None:
    """Chained errors count as well: loggers print them."""
    replies = [
        sends(f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
        sends(http(b"", f"X {KEY}: 1")),
        sends(http(envelope(code=422, msg=f"Wrong key: Bearer {KEY}"))),
        sends(http(envelope(code=422, msg=f"{'x' * 290} {KEY}"))),
        sends(http(envelope(code=401, msg=f"Incorrect key {KEY[:9]}****"))),
        sends(http(KEY.encode(), status="403 Forbidden")),
    ]
    for reply in replies:
        async with stub(reply) as peer, client(peer.url, waits=Waits()) as kie:
            for paid in (True, False):
                with pytest.raises(KieError) as caught:
                    await (kie.create(GENERATE) if paid else kie.credits())
                printed = "".join(traceback.format_exception(caught.value))
                shown = f"{printed} {caught.value!r} {vars(caught.value)}"
                assert peer.requests
                assert KEY.encode() in peer.requests[-1]
                assert KEY[:6] not in shown
