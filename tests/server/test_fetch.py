"""Downloads from a host that misbehaves; the host is on loopback, so it is trusted."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncGenerator, Sequence

import anyio
import httpx
import pytest
from tests.server.file_host import FileHost, moved, open_file_host
from tests.sockets import http

from kie_runway import fetch
from kie_runway.errors import DownloadError, DownloadStatusError, UnsafeUrlError
from kie_runway.fetch import CHUNK_BYTES, Fetcher

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

TIMEOUT_S = 60.0
AGENT = "agent/1.0"


@pytest.fixture
async def host() -> AsyncGenerator[FileHost]:
    async with open_file_host() as host:
        yield host


@pytest.fixture
def fetcher(host: FileHost) -> Fetcher:
    return Fetcher(trusted_hosts=[host.address], user_agent=AGENT)


async def get(fetcher: Fetcher, url: str, max_bytes: int = 1_000_000) -> bytes:
    return await fetcher.fetch_bytes(url, max_bytes=max_bytes, timeout_s=TIMEOUT_S)


async def test_a_file_arrives_whole(host: FileHost, fetcher: Fetcher) -> None:
    body = bytes(range(256)) * 3000
    host.answers["/clip"] = http(body)

    assert await get(fetcher, host.url("/clip?Signature=a%2Fb+c~*'")) == body
    assert host.requests[0].startswith("GET /clip?Signature=a%2Fb+c~*' HTTP/1.1\r\n")


async def test_a_file_is_handed_over_in_pieces_of_one_size(
    host: FileHost, fetcher: Fetcher
) -> None:
    host.answers["/clip"] = http(bytes(2 * CHUNK_BYTES + 10))
    sizes: list[int] = []

    async def write(chunk: bytes) -> None:
        sizes.append(len(chunk))

    await fetcher.fetch_to(host.url("/clip"), write, max_bytes=1_000_000, timeout_s=TIMEOUT_S)

    assert sizes == [CHUNK_BYTES, CHUNK_BYTES, 10]


async def test_a_request_carries_no_key_and_no_cookie(host: FileHost, fetcher: Fetcher) -> None:
    host.answers["/first"] = http(
        b"", "Set-Cookie: id=1; Path=/", "Location: /second", status="302 Found"
    )
    host.answers["/second"] = http(b"x")

    await get(fetcher, host.url("/first"))

    names = {line.partition(":")[0] for line in host.requests[-1].split("\r\n")[1:] if line}
    assert names == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
    assert host.header("User-Agent") == AGENT


async def test_the_environments_proxy_is_not_used(
    host: FileHost, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    host.answers["/clip"] = http(b"x")

    assert await get(fetcher, host.url("/clip")) == b"x"


async def test_a_file_of_exactly_the_limit_is_accepted(host: FileHost, fetcher: Fetcher) -> None:
    host.answers["/clip"] = http(bytes(1000))

    assert len(await get(fetcher, host.url("/clip"), max_bytes=1000)) == 1000


async def test_a_file_that_declares_too_much_is_refused_before_it_is_read(
    host: FileHost, fetcher: Fetcher
) -> None:
    host.answers["/clip"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"

    with pytest.raises(DownloadError, match="larger than the limit of 1,000 bytes"):
        await get(fetcher, host.url("/clip"), max_bytes=1000)


async def test_an_endless_file_ends_at_the_limit(host: FileHost, fetcher: Fetcher) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()

    host.answers["/clip"] = endless

    with pytest.raises(DownloadError, match="larger than"):
        await get(fetcher, host.url("/clip"))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP"])
async def test_a_compressed_file_is_refused_unopened(
    host: FileHost, fetcher: Fetcher, encoding: str
) -> None:
    """A megabyte can hold a gigabyte, and a second layer a thousand of them."""
    host.answers["/clip"] = http(gzip.compress(bytes(10_000_000)), f"Content-Encoding: {encoding}")

    with pytest.raises(DownloadError, match="compressed"):
        await get(fetcher, host.url("/clip"))
    assert host.header("Accept-Encoding") == "identity"


async def test_a_store_that_keeps_its_upload_encoding_with_the_file_works(
    host: FileHost, fetcher: Fetcher
) -> None:
    host.answers["/clip"] = http(b"plain", "Content-Encoding: aws-chunked")

    assert await get(fetcher, host.url("/clip")) == b"plain"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x16\x03\x01 no http",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"X-Padding: " + b"x" * 1_000_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "no-http", "half", "half-chunk", "minus", "digits", "two-lengths", "headers"],
)
async def test_a_broken_answer_is_a_download_error(
    host: FileHost, fetcher: Fetcher, reply: bytes
) -> None:
    host.answers["/clip"] = reply

    with pytest.raises(DownloadError, match="cut off") as caught:
        await get(fetcher, host.url("/clip?Signature=hidden"))
    assert caught.value.retry == "later"
    assert "hidden" not in caught.value.reason


@pytest.mark.parametrize("status", [204, 206, 304, 400, 403, 404, 410, 429, 500, 503])
async def test_an_answer_without_the_file_keeps_its_status(
    host: FileHost, fetcher: Fetcher, status: int
) -> None:
    host.answers["/clip"] = http(status=f"{status} Reason")

    with pytest.raises(DownloadStatusError, match=f"127.0.0.1 answered {status}") as caught:
        await get(fetcher, host.url("/clip?Signature=hidden"))
    assert caught.value.http_status == status
    assert "hidden" not in caught.value.reason


async def test_a_host_that_never_answers_ends_with_the_time_limit(
    host: FileHost, fetcher: Fetcher
) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    host.answers["/clip"] = silent

    with anyio.fail_after(TIMEOUT_S), pytest.raises(DownloadError, match=r"longer than 0\.05 s"):
        await fetcher.fetch_bytes(host.url("/clip"), max_bytes=1, timeout_s=0.05)


async def test_a_host_that_falls_silent_is_given_up_before_the_time_limit(
    host: FileHost, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stalling(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await asyncio.Event().wait()

    monkeypatch.setattr(fetch, "READ_TIMEOUT_S", 0.05)
    host.answers["/clip"] = stalling

    with pytest.raises(DownloadError, match="stalled"):
        await get(fetcher, host.url("/clip"))


async def test_a_host_that_takes_no_connection_is_a_download_error(
    host: FileHost, fetcher: Fetcher
) -> None:
    async def resolver(name: str, port: int) -> Sequence[str]:
        return ["127.0.0.2"]

    fetcher = Fetcher(trusted_hosts=["host.example"], user_agent=AGENT, resolver=resolver)

    with pytest.raises(DownloadError, match=r"host\.example, where the file lies"):
        await get(fetcher, f"http://host.example:{host.port}/clip")


async def test_the_next_address_is_tried_when_the_first_takes_no_connection(
    host: FileHost,
) -> None:
    async def resolver(name: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    fetcher = Fetcher(trusted_hosts=["host.example"], user_agent=AGENT, resolver=resolver)
    host.answers["/clip"] = http(b"x")

    assert await get(fetcher, f"http://host.example:{host.port}/clip") == b"x"
    assert host.header("Host") == f"host.example:{host.port}"


async def test_the_systems_resolver_finds_localhost(host: FileHost) -> None:
    fetcher = Fetcher(trusted_hosts=["localhost"], user_agent=AGENT)
    host.answers["/clip"] = http(b"x")

    assert await get(fetcher, f"http://localhost:{host.port}/clip") == b"x"


async def test_redirects_are_followed_three_times(host: FileHost, fetcher: Fetcher) -> None:
    host.answers["/1"] = moved("/2")
    host.answers["/2"] = moved(host.url("/a/3"))
    host.answers["/a/3"] = moved("4?x=1")
    host.answers["/a/4"] = http(b"x")

    assert await get(fetcher, host.url("/1")) == b"x"
    assert len(host.requests) == 4


@pytest.mark.parametrize("location", ["/loop", ""])
async def test_more_redirects_are_an_error(host: FileHost, fetcher: Fetcher, location: str) -> None:
    host.answers["/loop"] = moved(location)

    with pytest.raises(DownloadError, match="more than 3 times"):
        await get(fetcher, host.url("/loop"))
    assert len(host.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "//[::1",
        "http://a\\@b/",
        "file:///etc/passwd",
        "http://me@127.0.0.1/",
        "javascript:alert(1)",
    ],
)
async def test_a_redirect_to_no_web_address_is_refused(
    host: FileHost, fetcher: Fetcher, location: str
) -> None:
    host.answers["/clip"] = moved(location)

    with pytest.raises(UnsafeUrlError):
        await get(fetcher, host.url("/clip"))


async def test_what_the_writer_raises_passes_through(host: FileHost, fetcher: Fetcher) -> None:
    host.answers["/clip"] = http(b"x")

    async def write(chunk: bytes) -> None:
        raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk full"):
        await fetcher.fetch_to(host.url("/clip"), write, max_bytes=1, timeout_s=TIMEOUT_S)


async def test_broken_encryption_in_the_middle_is_a_download_error() -> None:
    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise ssl.SSLError("bad record mac")

    def transport(ssl_context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
        return Broken()

    fetcher = Fetcher(user_agent=AGENT, transport=transport)

    with pytest.raises(DownloadError, match="cut off"):
        await get(fetcher, "https://93.184.216.34/clip")


async def test_a_cancelled_download_ends_at_once(host: FileHost, fetcher: Fetcher) -> None:
    arrived = anyio.Event()

    async def silent(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    host.answers["/clip"] = silent

    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get, fetcher, host.url("/clip"))
            await arrived.wait()
            tasks.cancel_scope.cancel()
