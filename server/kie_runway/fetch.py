"""
Downloads from addresses that others chose, kept out of private networks (SSRF).

The host is resolved once, every address it has is checked, and the connection goes to a checked
address, so a name that changes its answer in between gains nothing. `Host`, SNI and the check of
the certificate stay with the name.
"""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from socket import SOCK_STREAM

import anyio
import anyio.to_thread
import httpx

from kie_runway.addresses import PORTS, IPAddress, Origin, is_public, parse_origin
from kie_runway.errors import DownloadError, DownloadStatusError, UnsafeUrlError
from kie_runway.handshake import closing_on_failure

MAX_REDIRECTS = 3
MAX_ADDRESSES = 4  # tried in turn: without an IPv6 route the first one may fail
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
CHUNK_BYTES = 256 * 1024

_REDIRECTS = (301, 302, 303, 307, 308)
# Nothing is ever unpacked, so there is no bomb to defuse. Some stores keep the name of an upload
# encoding with the file although it is not applied to downloads.
_PLAIN_ENCODINGS = ("", "identity", "aws-chunked")
_NO_WEB_ADDRESS = "The address of the file is no proper http(s) address."

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
TransportFactory = Callable[[ssl.SSLContext], httpx.AsyncBaseTransport]
Write = Callable[[bytes], Awaitable[object]]


@dataclass(frozen=True)
class _Target:
    """An address that may be fetched, and where to connect for it."""

    url: httpx.URL
    origin: Origin
    trusted: bool
    addresses: Sequence[IPAddress]


async def resolve(host: str, port: int) -> Sequence[str]:
    """
    All addresses of a host, from the system's resolver, without blocking the event loop.

    Raises:
        OSError: There are none.
    """
    found = await anyio.getaddrinfo(host.encode("ascii"), port, type=SOCK_STREAM)
    return list(dict.fromkeys(info[4][0] for info in found))


def make_transport(ssl_context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    """A transport for one request; the environment's proxies are not for it."""
    return httpx.AsyncHTTPTransport(verify=ssl_context, trust_env=False)


class Fetcher:
    """
    Fetches files over http and https from public hosts, ports 80 and 443.

    Args:
        trusted_hosts: `host` or `host:port`, exempt from the address and port rules.
        user_agent: Sent with every request; no key, no cookie ever is.
        resolver: Finds a host's addresses; raises OSError when there are none.
        ssl_context: Checks certificates; by default against the public authorities, or
            those of SSL_CERT_FILE.
        transport: Makes the transport of one request.
    """

    def __init__(
        self,
        *,
        trusted_hosts: Iterable[str] = (),
        user_agent: str,
        resolver: Resolver = resolve,
        ssl_context: ssl.SSLContext | None = None,
        transport: TransportFactory = make_transport,
    ) -> None:
        self._trusted_hosts = tuple(trusted_hosts)
        self._user_agent = user_agent
        self._resolve = resolver
        self._ssl_context = ssl_context
        self._transport = transport

    async def fetch_bytes(self, url: str, *, max_bytes: int, timeout_s: float) -> bytes:
        """
        A whole small file.

        Raises:
            UnsafeUrlError: The address, or one it redirects to, must not be fetched.
            DownloadStatusError: The host answered with something else than the file.
            DownloadError: It could not be had, is larger than `max_bytes`, or took too long.
        """
        body = bytearray()

        async def write(chunk: bytes) -> None:
            body.extend(chunk)

        await self.fetch_to(url, write, max_bytes=max_bytes, timeout_s=timeout_s)
        return bytes(body)

    async def fetch_to(self, url: str, write: Write, *, max_bytes: int, timeout_s: float) -> None:
        """
        Hand a file to `write` in pieces; all but the last have 256 KiB.

        What `write` raises passes through. After an error the pieces written are worthless.

        Args:
            timeout_s: For everything: redirects, the answer, `write`.

        Raises:
            UnsafeUrlError: The address, or one it redirects to, must not be fetched.
            DownloadStatusError: The host answered with something else than the file.
            DownloadError: It could not be had, is larger than `max_bytes`, or took too long.
        """
        with anyio.move_on_after(timeout_s):
            try:
                async with self._open(url) as response:
                    await _copy(response, write, max_bytes)
                    return
            except httpx.TimeoutException as exc:
                raise DownloadError("The download stalled.") from exc
            except (httpx.HTTPError, ssl.SSLError) as exc:
                raise DownloadError("The download was cut off.") from exc
        raise DownloadError(f"The download took longer than {timeout_s:g} s.")

    @asynccontextmanager
    async def _open(self, url: str) -> AsyncGenerator[httpx.Response]:
        """The answer that carries the file, redirects followed, each checked like the first."""
        next_url = url
        previous: _Target | None = None
        for _ in range(1 + MAX_REDIRECTS):
            target = await self._check(next_url)
            if previous and not target.trusted:
                _refuse_downgrade(previous.origin, target.origin)
            async with self._request(target) as response:
                if response.status_code not in _REDIRECTS:
                    _require_file(response, target.origin.host)
                    yield response
                    return
                next_url = _location(response, target)
            previous = target
        raise DownloadError(f"The download was redirected more than {MAX_REDIRECTS} times.")

    async def _check(self, url: str) -> _Target:
        """
        Where an address leads, resolved once.

        Raises:
            UnsafeUrlError: It must not be fetched.
            DownloadError: Its host is unknown.
        """
        try:
            origin = parse_origin(url)
            parsed = httpx.URL(url)
        except (ValueError, httpx.InvalidURL) as exc:
            raise UnsafeUrlError(_NO_WEB_ADDRESS) from exc
        if (parsed.raw_host, parsed.port or PORTS[parsed.scheme]) != (
            origin.host.encode(),
            origin.port,
        ):
            raise UnsafeUrlError(_NO_WEB_ADDRESS)  # the two parsers read different hosts
        trusted = origin.is_trusted(self._trusted_hosts)
        if not trusted and origin.port not in PORTS.values():
            raise UnsafeUrlError(
                f"The file lies at {origin.host}, port {origin.port}; "
                "only ports 80 and 443 are fetched from."
            )
        addresses = [origin.ip] if origin.ip else await self._addresses(origin)
        if not trusted and not all(is_public(address) for address in addresses):
            raise UnsafeUrlError(
                f"The file lies at {origin.host}, which is not a public address. "
                "If that is meant to be, add the host to KIE_TRUSTED_HOSTS."
            )
        return _Target(parsed, origin, trusted, addresses)

    async def _addresses(self, origin: Origin) -> Sequence[IPAddress]:
        not_found = DownloadError(f"The file's host, {origin.host}, was not found.")
        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                found = await self._resolve(origin.host, origin.port)
            addresses = [ip_address(address) for address in found]
        except (OSError, ValueError) as exc:  # a time-out is an OSError as well
            raise not_found from exc
        if not addresses:
            raise not_found
        return addresses

    @asynccontextmanager
    async def _request(self, target: _Target) -> AsyncGenerator[httpx.Response]:
        """
        The answer to one GET, from the first address that takes the connection.

        There is no `httpx.AsyncClient`: it would write the whole address, a secret when it is
        signed, to the log. And no connection is kept: connections are filed under their address,
        and one that was made for another name must not serve this one.
        """
        if self._ssl_context is None:  # reads hundreds of certificates
            self._ssl_context = await anyio.to_thread.run_sync(httpx.create_ssl_context)
        async with self._transport(self._ssl_context) as transport:
            response = await self._send(transport, target)
            try:
                yield response
            finally:
                await response.aclose()

    async def _send(self, transport: httpx.AsyncBaseTransport, target: _Target) -> httpx.Response:
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        failure: Exception | None = None
        for address in target.addresses[:MAX_ADDRESSES]:
            request = httpx.Request(
                "GET",
                target.url.copy_with(host=str(address), port=target.origin.port),
                headers={
                    "Host": target.url.netloc.decode("ascii"),  # not the address
                    "User-Agent": self._user_agent,
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                    "Connection": "close",
                },
                extensions={
                    "sni_hostname": target.origin.host,
                    "timeout": timeout.as_dict(),
                    "trace": closing_on_failure(),
                },
            )
            try:
                return await transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                failure = exc
        raise DownloadError(
            f"{target.origin.host}, where the file lies, takes no connection, or its certificate "
            "is wrong."
        ) from failure


def _refuse_downgrade(previous: Origin, origin: Origin) -> None:
    if previous.scheme == "https" and origin.scheme == "http":
        raise UnsafeUrlError(
            f"{previous.host} redirected the download from https to plain http at {origin.host}."
        )


def _location(response: httpx.Response, target: _Target) -> str:
    location = response.headers.get("location", "")
    try:
        return str(target.url.join(location))
    except httpx.InvalidURL as exc:
        raise UnsafeUrlError(_NO_WEB_ADDRESS) from exc


def _require_file(response: httpx.Response, host: str) -> None:
    status = response.status_code
    if status != 200:
        raise DownloadStatusError(
            f"{host} answered {status} instead of the file.", http_status=status
        )
    if response.headers.get("content-encoding", "").strip().lower() not in _PLAIN_ENCODINGS:
        raise DownloadError(f"{host} sent the file compressed although that was not asked for.")


async def _copy(response: httpx.Response, write: Write, max_bytes: int) -> None:
    too_large = DownloadError(f"The file is larger than the limit of {max_bytes:,} bytes.")
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    size = 0
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        await write(chunk)
