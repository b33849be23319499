"""What counts as a public web address, by its form."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_runway.addresses import URL_MAX_CHARS, check_media_url, is_public, parse_origin
from kie_runway.errors import BadInputError

METADATA = IPv4Address("169.254.169.254")


def refused(url: str, *trusted: str) -> bool:
    try:
        check_media_url(url, "image_url", trusted)
    except BadInputError as exc:
        assert exc.reason.startswith("`image_url` ")
        return True
    return False


def notations(address: IPv4Address) -> list[str]:
    """Every way to write an IPv4 address as the host of a URL."""
    number = int(address)
    a, b, c, d = address.packed
    return [
        str(address),
        f"{address}.",
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{a}.{b:#X}.{c}.0{d:o}",
        "。".join(str(part) for part in address.packed),
        str(address).translate(
            {ord("0") + digit: ord("\N{FULLWIDTH DIGIT ZERO}") + digit for digit in range(10)}
        ),
        f"%3{str(address)[0]}{str(address)[1:]}",
    ]


def embeddings(address: IPv4Address) -> list[IPv6Address]:
    """Every way to hide an IPv4 address in an IPv6 one."""
    number = int(address)
    return [
        IPv6Address(0xFFFF << 32 | number),  # mapped
        IPv6Address(number),  # compatible
        IPv6Address(0xFFFF << 48 | number),  # translated
        IPv6Address(0x64FF9B << 96 | number),  # NAT64
        IPv6Address(0x64FF9B0001 << 80 | number),  # NAT64, private use
        IPv6Address(0x2002 << 112 | number << 80),  # 6to4
        IPv6Address(0x20010000 << 96 | (number ^ 0xFFFFFFFF)),  # Teredo
    ]


PRIVATE_NETWORKS = st.sampled_from(
    [
        (0x00000000, 24),
        (0x0A000000, 24),
        (0x64400000, 22),
        (0x7F000000, 24),
        (0xA9FE0000, 16),
        (0xAC100000, 20),
        (0xC0A80000, 16),
        (0xC6120000, 17),
        (0xE0000000, 29),
    ]
)


@st.composite
def private_addresses(draw: st.DrawFn) -> IPv4Address:
    base, host_bits = draw(PRIVATE_NETWORKS)
    return IPv4Address(base + draw(st.integers(0, (1 << host_bits) - 1)))


@given(private_addresses())
def test_a_private_address_is_refused_in_every_notation(address: IPv4Address) -> None:
    for host in notations(address):
        assert refused(f"http://{host}/clip.mp4"), host


@given(private_addresses())
def test_a_private_address_is_refused_inside_an_ipv6_address(address: IPv4Address) -> None:
    for hidden in embeddings(address):
        assert not is_public(hidden), hidden
        assert refused(f"https://[{hidden}]/clip.mp4"), hidden
        assert refused(f"https://[{hidden.exploded}]:443/clip.mp4"), hidden


@pytest.mark.parametrize("host", notations(METADATA))
def test_the_metadata_address_is_refused_in_every_notation(host: str) -> None:
    assert refused(f"http://{host}/latest/meta-data/")


@given(st.ip_addresses())
def test_only_global_addresses_are_public(address: IPv4Address | IPv6Address) -> None:
    if is_public(address) and not (isinstance(address, IPv6Address) and hides_ipv4(address)):
        assert address.is_global
        assert not (address.is_multicast or address.is_private or address.is_link_local)


def hides_ipv4(address: IPv6Address) -> bool:
    return int(address) >> 32 in (0xFFFF, 0x64FF9B << 64)


@pytest.mark.parametrize(
    "address",
    [
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.0.9",
        "192.88.99.1",
        "192.0.2.1",
        "255.255.255.255",
        "240.0.0.1",
        "224.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "2001:db8::1",
        "2001:2::1",
        "3fff::1",
        "5f00::1",
    ],
)
def test_a_reserved_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.216.34",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "app.localhost",
        "localhost.localdomain",
        "nas",
        "printer.local",
        "metadata.google.internal",
        "metadata.google.internal.",
        "router.home.arpa",
        "127.1",
        "0",
        "0x7f.1",
        "0x",
        "1.2.3.999",
        "1.2.3.4.5",
        "08.8.8.8",
        "[::]",
        "[::1]",
        "[::1%25lo]",
        "[v1.x]",
        "a%2eexample",
        "host;.example",
        "x" * 64 + ".example",
        "a." * 127 + "example",
        "..",
        "host..example",
    ],
)
def test_a_host_that_kie_cannot_reach_is_refused(host: str) -> None:
    assert refused(f"https://{host}/clip.mp4")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "clip.mp4",
        "/etc/passwd",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "ftp://host.example/clip.mp4",
        "gopher://host.example/",
        "javascript:alert(1)",
        "//host.example/clip.mp4",
        "http:/127.0.0.1/",
        "http:///127.0.0.1/",
        "http:127.0.0.1",
        "https://",
        "https://:443/",
        "https://user@host.example/",
        "https://user:password@host.example/",
        "https://@host.example/",
        "https://host.example\\@127.0.0.1/",
        "https://host.example\t/",
        "https://host.example/\r\nHost: other",
        "https://host.example/a b",
        " https://host.example/",
        "https://host.example/\x00",
        "https://host.example/\u202egnp",
        "https://host.example/\ud800",
        "https://host.example:0/",
        "https://host.example:65536/",
        "https://host.example:x/",
        "https://[::1/",
        "https://host.example\N{FULLWIDTH SOLIDUS}.other/",
        "https://host.example/" + "a" * URL_MAX_CHARS,
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert refused(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/clip.mp4",
        "http://host.example:8080/clip.mp4?X-Amz-Signature=a%2Fb+c&e=1#t=1",
        "HTTPS://Host.Example./Clip.MP4",
        "https://93.184.216.34/clip.mp4",
        "https://[2606:4700::1111]/clip.mp4",
        "https://my_bucket.host.example/ü.mp4",
        "https://bücher.example/clip.mp4",
        "https://host.example/a@b",
    ],
)
def test_a_public_web_address_is_accepted(url: str) -> None:
    assert not refused(url)


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused_and_never_crashes(text: str) -> None:
    refused(text)
    refused(f"https://{text}/")
    refused(f"https://host.example/{text}")


def test_a_refusal_names_the_cure_and_keeps_the_address_to_itself() -> None:
    with pytest.raises(BadInputError, match="on a public host") as private:
        check_media_url("http://10.0.0.7/clip.mp4?signature=hidden", "video_url", ())
    with pytest.raises(BadInputError, match="without") as named:
        check_media_url("http://me:hidden@host.example/", "video_url", ())

    assert "hidden" not in private.value.reason + named.value.reason


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://localhost:8765/clip.mp4", "localhost"),
        ("http://localhost:8765/clip.mp4", "LOCALHOST:8765 "),
        ("http://127.0.0.1/clip.mp4", "127.0.0.1:80"),
        ("http://[::1]:8765/clip.mp4", "[::1]:8765"),
        ("http://[::1]:8765/clip.mp4", "::1"),
        ("http://nas./clip.mp4", "nas"),
    ],
)
def test_a_trusted_host_may_be_private(url: str, trusted: str) -> None:
    assert refused(url)
    assert not refused(url, trusted)


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://localhost:8766/clip.mp4", "localhost:8765"),
        ("http://evil.localhost/clip.mp4", "localhost"),
        ("http://2130706433/clip.mp4", "127.0.0.1"),
        ("http://127.0.0.1/clip.mp4", ""),
        ("ftp://localhost/clip.mp4", "localhost"),
        ("http://me@localhost/clip.mp4", "localhost"),
    ],
)
def test_trust_is_for_exactly_one_host(url: str, trusted: str) -> None:
    assert refused(url, trusted)


def test_an_origin_is_in_ascii_with_its_port() -> None:
    origin = parse_origin("HTTPS://Bücher.example/clip.mp4")

    assert (origin.scheme, origin.host, origin.port, origin.ip) == (
        "https",
        "xn--bcher-kva.example",
        443,
        None,
    )
