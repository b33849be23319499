"""Which web addresses are public: the rules that keep downloads out of private networks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from kie_runway.errors import BadInputError

IPAddress = IPv4Address | IPv6Address

URL_MAX_CHARS = 8192  # signed addresses are long
PORTS = {"http": 80, "https": 443}

# `is_global` alone is not enough: it lets these through on some or all Python versions.
_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "100.64.0.0/10",  # carriers' NAT; metadata of Alibaba Cloud
        "168.63.129.16/32",  # Azure's metadata and agent address, formally public
        "192.0.0.0/24",  # protocol assignments; metadata of Oracle Cloud
        "192.88.99.0/24",  # relays from 6to4
        "198.18.0.0/15",  # benchmarks
        "224.0.0.0/3",  # multicast and reserved
    )
)
# Public IPv6 lies in one block; mapped, compatible, unique-local, link-local and multicast
# addresses are all outside it.
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, which hides an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which hides an IPv4 address
        "3fff::/20",  # documentation
    )
)
# Networks without IPv4 reach public IPv4 hosts through this prefix, so what it holds counts.
# (64:ff9b:1::/48 is the same for private use, and outside the global block.)
_NAT64 = IPv6Network("64:ff9b::/96")

_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_LAST_LABEL_IS_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?")
_NAME_MAX_CHARS = 253
_PRIVATE_SUFFIXES = (
    ".localhost",
    ".localdomain",
    ".local",
    ".internal",
    ".intranet",
    ".lan",
    ".home.arpa",
)


@dataclass(frozen=True)
class Origin:
    """
    What a web address connects to.

    Attributes:
        host: Lower-case ASCII; IPv6 without brackets.
        ip: The host, if it is an address and no name.
    """

    scheme: str
    host: str
    port: int
    ip: IPAddress | None

    def is_trusted(self, trusted_hosts: Iterable[str]) -> bool:
        """Whether `host` or `host:port` is listed; IPv6 may be listed in brackets."""
        host = self.host.removesuffix(".")
        written = f"[{host}]" if ":" in host else host
        names = (host, written, f"{written}:{self.port}")
        return any(trusted.strip().lower() in names for trusted in trusted_hosts)


def check_media_url(
    url: str, argument: str, trusted_hosts: Iterable[str], *, https_only: bool = False
) -> None:
    """
    Refuse an address that KIE cannot fetch, before a task that needs it is paid.

    By its form alone: nothing is resolved or fetched. Trusted hosts may be private.

    Raises:
        BadInputError: Names the argument, the rule and the cure.
    """
    try:
        origin = parse_origin(url)
    except ValueError as exc:
        raise BadInputError(f"`{argument}` {exc}.") from exc
    if origin.is_trusted(trusted_hosts):
        return
    if https_only and origin.scheme != "https":
        raise BadInputError(f"`{argument}` must be an https URL: KIE takes no other here.")
    if _is_private_name(origin.host) if origin.ip is None else not is_public(origin.ip):
        raise BadInputError(
            f"`{argument}` lies on a private host, which KIE cannot reach: put the file on a "
            "public host."
        )


def parse_origin(url: str) -> Origin:
    """
    The origin of an http(s) address that every program reads the same way.

    Raises:
        ValueError: It is not such an address; the text completes a sentence about it and
            quotes nothing of it.
    """
    if len(url) > URL_MAX_CHARS:
        raise ValueError(f"is longer than {URL_MAX_CHARS} characters: use a shorter one")
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("contains spaces, control characters or backslashes: encode them")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ValueError("is no valid URL: write it as https://host.example/file.mp4") from exc
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be a public http(s) URL with a host: https://host.example/file.mp4")
    if "@" in parts.netloc:
        raise ValueError("carries a user name or password: use an address that works without")
    if port == 0:
        raise ValueError("has an impossible port: correct it")
    try:
        host, ip = _parse_host(parts.hostname, in_brackets="[" in parts.netloc)
    except ValueError as exc:
        raise ValueError(
            "has a host that is neither a name nor an IP address in its usual notation: correct it"
        ) from exc
    return Origin(parts.scheme, host, PORTS[parts.scheme] if port is None else port, ip)


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to a host of the public internet; embedded IPv4 counts."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _REFUSED_V4)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return (
        address in _GLOBAL_V6
        and address.is_global
        and not any(address in network for network in _REFUSED_V6)
    )


def _parse_host(host: str, *, in_brackets: bool) -> tuple[str, IPAddress | None]:
    """
    A host in lower-case ASCII, and what it is when it is no name.

    Raises:
        ValueError: It is neither name nor address, or an IPv4 address in a notation (decimal,
            octal, hex, short) that programs read differently.
    """
    if in_brackets:
        return host, ip_address(host)
    if len(host) > _NAME_MAX_CHARS:
        raise ValueError("too long")
    name = host.encode("idna").decode("ascii").lower()
    if _LAST_LABEL_IS_NUMBER.fullmatch(name):
        return name, IPv4Address(name)
    if not _NAME.fullmatch(name):
        raise ValueError("not a name")
    return name, None


def _is_private_name(name: str) -> bool:
    """Whether a name means something on one machine or network only, by its form alone."""
    name = name.removesuffix(".")
    return "." not in name or name.endswith(_PRIVATE_SUFFIXES)
