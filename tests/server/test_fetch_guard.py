"""Which hosts are fetched from, and that nothing but a checked address is connected to."""

import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import httpx
import pytest

from kie_runway import fetch
from kie_runway.errors import DownloadError, UnsafeUrlError
from kie_runway.fetch import Fetcher

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:4700::1111"


@dataclass
class Net(httpx.AsyncBaseTransport):
    """A whole internet: names, and what is answered; notes every connection it is asked for."""

    names: dict[str, list[Sequence[str]]] = field(default_factory=dict[str, list[Sequence[str]]])
    answers: dict[str, httpx.Response] = field(default_factory=dict[str, httpx.Response])
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        answers = self.names[name]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        key = f"{request.headers['host']}{request.url.path}"
        return self.answers.get(key) or httpx.Response(200, stream=httpx.ByteStream(b"file"))

    def transport(self, ssl_context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
        return self

    def moved(self, source: str, location: str) -> None:
        self.answers[source] = httpx.Response(302, headers={"Location": location})


@pytest.fixture
def net() -> Net:
    return Net(names={"host.example": [[PUBLIC]]})


def fetcher(net: Net, *trusted: str) -> Fetcher:
    return Fetcher(
        trusted_hosts=trusted,
        user_agent="agent/1.0",
        resolver=net.resolve,
        ssl_context=ssl.create_default_context(),
        transport=net.transport,
    )


async def get(net: Net, url: str, *trusted: str) -> bytes:
    return await fetcher(net, *trusted).fetch_bytes(url, max_bytes=100, timeout_s=30)


async def test_the_checked_address_is_connected_to_and_the_name_kept(net: Net) -> None:
    net.names["host.example"] = [[PUBLIC_V6, PUBLIC]]

    assert await get(net, "https://Host.Example/clip.mp4?Signature=a%2Fb") == b"file"

    [request] = net.requests
    assert request.url == f"https://[{PUBLIC_V6}]/clip.mp4?Signature=a%2Fb"
    assert request.headers["host"] == "host.example"
    assert request.extensions["sni_hostname"] == "host.example"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "168.63.129.16", "::1", "fd00::1"]
)
async def test_a_public_name_with_a_private_address_is_refused(net: Net, address: str) -> None:
    net.names["host.example"] = [[address]]

    with pytest.raises(UnsafeUrlError, match=r"host\.example.*KIE_TRUSTED_HOSTS"):
        await get(net, "https://host.example/clip.mp4")
    assert net.requests == []


async def test_one_private_address_among_public_ones_is_enough_to_refuse(net: Net) -> None:
    net.names["host.example"] = [[PUBLIC, PUBLIC_V6, "10.0.0.1"]]

    with pytest.raises(UnsafeUrlError):
        await get(net, "https://host.example/clip.mp4")
    assert net.requests == []


async def test_a_name_that_changes_its_answer_gains_nothing(net: Net) -> None:
    net.names["host.example"] = [[PUBLIC], ["127.0.0.1"]]

    await get(net, "http://host.example/clip.mp4")

    assert [request.url.host for request in net.requests] == [PUBLIC]
    assert net.names["host.example"] == [["127.0.0.1"]]


async def test_a_redirect_back_to_a_name_that_changed_its_answer_is_refused(net: Net) -> None:
    net.names["host.example"] = [[PUBLIC], ["127.0.0.1"]]
    net.moved("host.example/clip.mp4", "/other.mp4")

    with pytest.raises(UnsafeUrlError):
        await get(net, "http://host.example/clip.mp4")
    assert len(net.requests) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "//169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "https://inside.example/",
        "http://2130706433/",
    ],
)
async def test_a_redirect_into_a_private_network_is_refused(net: Net, location: str) -> None:
    net.names["inside.example"] = [["192.168.1.1"]]
    net.moved("host.example/clip.mp4", location)

    with pytest.raises(UnsafeUrlError):
        await get(net, "http://host.example/clip.mp4")
    assert len(net.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://0x7f000001/",
        "http://[::]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
        "file:///etc/passwd",
        "ftp://host.example/",
        "gopher://host.example/",
        "data:video/mp4;base64,AAAA",
        "javascript:alert(1)",
        "https://me:secret@host.example/",
        "https://host.example/\r\nX: y",
        "https://host.example\\@127.0.0.1/",
        "https://host.example/" + "a" * 10_000,
        "https://host.example\N{FULLWIDTH SOLIDUS}x/",
        "https://stra\N{LATIN SMALL LETTER SHARP S}e.example/",  # IDNA 2003 and 2008 disagree
    ],
)
async def test_an_address_that_may_hide_something_is_not_fetched(net: Net, url: str) -> None:
    with pytest.raises(UnsafeUrlError) as caught:
        await get(net, url)
    assert net.requests == []
    assert "secret" not in caught.value.reason


@pytest.mark.parametrize("port", [22, 25, 8080, 6379, 65535])
async def test_other_ports_than_80_and_443_are_refused(net: Net, port: int) -> None:
    with pytest.raises(UnsafeUrlError, match=rf"host\.example, port {port};"):
        await get(net, f"http://host.example:{port}/")
    assert net.requests == []


@pytest.mark.parametrize("url", ["http://host.example:80/", "https://host.example:443/"])
async def test_the_usual_ports_may_be_written_out(net: Net, url: str) -> None:
    assert await get(net, url) == b"file"


async def test_https_is_not_downgraded(net: Net) -> None:
    net.moved("host.example/clip.mp4", "http://host.example/clip.mp4")

    with pytest.raises(UnsafeUrlError, match="https to plain http"):
        await get(net, "https://host.example/clip.mp4")
    assert len(net.requests) == 1


async def test_http_may_be_upgraded(net: Net) -> None:
    net.moved("host.example/clip.mp4", "https://host.example/other.mp4")

    assert await get(net, "http://host.example/clip.mp4") == b"file"


async def test_a_trusted_host_is_exempt(net: Net) -> None:
    net.names["nas"] = [["192.168.1.7"]]
    net.moved("host.example/clip.mp4", "http://nas:8080/clip.mp4")

    assert await get(net, "https://host.example/clip.mp4", "nas:8080") == b"file"
    assert net.requests[-1].url == "http://192.168.1.7:8080/clip.mp4"
    assert net.requests[-1].headers["host"] == "nas:8080"


async def test_trust_does_not_reach_beyond_the_host(net: Net) -> None:
    net.names["nas"] = [["192.168.1.7"]]
    net.moved("nas:8080/clip.mp4", "http://192.168.1.8/clip.mp4")

    with pytest.raises(UnsafeUrlError):
        await get(net, "http://nas:8080/clip.mp4", "nas:8080")
    with pytest.raises(UnsafeUrlError):
        await get(net, "http://192.168.1.7:8080/clip.mp4", "nas:8080")


def _failing(error: Exception) -> Callable[[str, int], object]:
    async def resolve(name: str, port: int) -> Sequence[str]:
        raise error

    return resolve


@pytest.mark.parametrize(
    "error", [OSError("no such name"), UnicodeError("label too long"), TimeoutError()]
)
async def test_an_unknown_host_is_a_download_error(
    net: Net, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net, "resolve", _failing(error))

    with pytest.raises(DownloadError, match=r"host\.example, was not found"):
        await get(net, "https://host.example/clip.mp4")


@pytest.mark.parametrize("found", [[], ["nonsense"]])
async def test_a_resolver_that_finds_no_address_is_a_download_error(
    net: Net, found: list[str]
) -> None:
    net.names["host.example"] = [found]

    with pytest.raises(DownloadError, match="was not found"):
        await get(net, "https://host.example/clip.mp4")


async def test_a_resolver_that_hangs_is_given_up(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(name: str, port: int) -> Sequence[str]:
        await anyio.sleep_forever()
        return []

    monkeypatch.setattr(net, "resolve", hang)
    monkeypatch.setattr(fetch, "CONNECT_TIMEOUT_S", 0.01)

    with pytest.raises(DownloadError, match="was not found"):
        await get(net, "https://host.example/clip.mp4")


async def test_a_signed_address_reaches_neither_log_nor_error(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    net.answers["host.example/gone.mp4"] = httpx.Response(404)
    reasons: list[str] = []

    await get(net, "https://host.example/clip.mp4?Signature=hidden")
    for url in (
        "https://host.example/gone.mp4?Signature=hidden",
        "https://host.example:8080/clip.mp4?Signature=hidden",
        "http://127.0.0.1/clip.mp4?Signature=hidden",
        "ftp://host.example/clip.mp4?Signature=hidden",
    ):
        with pytest.raises(DownloadError) as caught:
            await get(net, url)
        reasons.append(f"{caught.value} {caught.value.reason}")

    assert "hidden" not in caplog.text + " ".join(reasons)
