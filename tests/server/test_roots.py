"""Which files can be opened, and what is said of those that cannot."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kie_runway import roots as roots_module
from kie_runway.errors import BadInputError
from kie_runway.roots import open_within, root_of

INSIDE, OUTSIDE = b"inside", b"outside"
OPEN = "_open"  # what comes after the check
SAID_OF_OUTSIDE = (
    "`path` is outside the directories that this server may read: use a file inside them, or ask "
    "the user to name its directory in KIE_UPLOAD_ROOTS."
)


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    """A root with a file in a folder, and files beside the root."""
    return lay_out(tmp_path)


def lay_out(place: Path) -> Path:
    for folder, content in (("root/a", INSIDE), ("root-evil", OUTSIDE), ("beside", OUTSIDE)):
        (place / folder).mkdir(parents=True)
        (place / folder / "file.png").write_bytes(content)
    return place / "root"


def read(address: object, *roots: Path) -> bytes:
    with open_within(str(address), roots, "path") as file:
        return file.read()


def refusal(address: object, *roots: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        read(address, *roots)
    return caught.value.reason


def test_a_file_inside_a_root_is_read_by_path_and_by_uri(root: Path) -> None:
    file = root / "a" / "file.png"

    assert read(file, root) == INSIDE
    assert read(file.as_uri(), root) == INSIDE
    assert read(f"file://localhost{file}", root) == INSIDE
    assert read(file, root.parent / "beside", root) == INSIDE


@pytest.mark.parametrize(
    "name", ["ä ö.png", "100%.png", "a?b#c.png", "日本.png", ".hidden", "a\\b", "%41.png"]
)
def test_any_name_can_be_written_as_a_uri(root: Path, name: str) -> None:
    (root / name).write_bytes(INSIDE)

    assert read((root / name).as_uri(), root) == INSIDE
    assert read(root / name, root) == INSIDE


def test_a_name_of_any_bytes_can_be_written_as_a_uri(root: Path) -> None:
    with open(os.fsencode(root) + b"/\xff.png", "wb") as file:
        file.write(INSIDE)

    assert read(f"{root.as_uri()}/%FF.png", root) == INSIDE


def test_a_uri_is_decoded_once(root: Path) -> None:
    (root / "%2e%2e").mkdir()
    (root / "%2e%2e" / "file.png").write_bytes(INSIDE)

    assert read(f"{root.as_uri()}/%252e%252e/file.png", root) == INSIDE


def test_a_link_inside_leads_to_what_is_inside(root: Path) -> None:
    (root / "link").symlink_to(root / "a")

    assert read(root / "link" / "file.png", root) == INSIDE


def test_a_root_may_be_named_through_a_link(root: Path) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)

    assert read(root / "a" / "file.png", alias) == INSIDE
    assert read(alias / "a" / "file.png", root) == INSIDE


def test_a_root_may_be_a_single_file(root: Path) -> None:
    file = root / "a" / "file.png"

    assert read(file, file) == INSIDE
    assert refusal(root / "a" / "other.png", file) == SAID_OF_OUTSIDE


def test_the_whole_machine_may_be_a_root(root: Path) -> None:
    assert read(root / "a" / "file.png", Path("/")) == INSIDE
    assert "no regular file" in refusal("/", Path("/"))


def test_directories_that_may_only_be_passed_are_passed(root: Path) -> None:
    (root / "a").chmod(0o100)
    try:
        assert read(root / "a" / "file.png", root) == INSIDE
    finally:
        (root / "a").chmod(0o700)


@pytest.mark.parametrize(
    "address",
    [
        "/etc/passwd",
        "/etc/no-such-file",
        "/proc/self/environ",
        "/dev/zero",
        "/",
        "{place}/beside/file.png",
        "{place}/beside/no-such.png",
        "{place}/root-evil/file.png",
        "{place}/root-evil",
        "{place}/no-such-root/file.png",
        "file://{place}/beside/file.png",
        "{place}/root/out/file.png",
        "{place}/root/out/no-such.png",
        "{place}/root/out",
        "{place}/root/to-file",
        "{place}/root/to-nothing",
    ],
)
def test_nothing_outside_is_told_from_what_does_not_exist(root: Path, address: str) -> None:
    (root / "out").symlink_to(root.parent / "beside")
    (root / "to-file").symlink_to(root.parent / "beside" / "file.png")
    (root / "to-nothing").symlink_to(root.parent / "beside" / "no-such.png")

    assert refusal(address.format(place=root.parent), root) == SAID_OF_OUTSIDE


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "absolute path"),
        ("a/file.png", "absolute path"),
        ("~/file.png", "absolute path"),
        ("file:/etc/passwd", "absolute path"),
        ("{root}/../beside/file.png", "`..`"),
        ("file://{root}/%2e%2e/beside/file.png", "`..`"),
        ("file://{root}/a%2f..%2f..%2fbeside/file.png", "`..`"),
        ("{root}/a/file.png\0", "NUL"),
        ("file://{root}/a/file.png%00.png", "NUL"),
        ("file://other.example/share/file.png", "another machine"),
        ("file://C:/file.png", "another machine"),
        ("file://", "another machine"),
        ("file://{root}/a/file.png?x", "%3F"),
        ("file://{root}/a/file.png#x", "%23"),
        ("{root}/\ud800.png", "no path"),
        ("file://{root}/\ud800.png", "no path"),
        ("{root}/a/no-such.png", "does not exist"),
        ("{root}/a/file.png/deeper", "does not exist"),
        ("{root}/a", "no regular file"),
        ("{root}", "no regular file"),
        ("{root}/" + "x" * 300, "too long"),
        ("{root}" + "/x" * 3000, "does not exist"),
    ],
)
def test_what_cannot_be_opened_is_told_why(root: Path, address: str, words: str) -> None:
    said = refusal(address.replace("{root}", str(root)), root)

    assert said.startswith("`path` ")
    assert words in said
    assert str(root) not in said


def test_a_fifo_a_socket_and_a_link_to_a_device_are_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(root)  # a socket's name must be short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)

        assert "no regular file" in refusal(root / "fifo", root)
        assert "no regular file" in refusal(root / "socket", root)
        assert "no regular file" in refusal("/dev/zero", Path("/dev"))
        assert refusal(root / "zero", root) == SAID_OF_OUTSIDE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_this_user_may_not_read_is_told_as_such(root: Path) -> None:
    (root / "a" / "file.png").chmod(0)

    assert "permissions" in refusal(root / "a" / "file.png", root)


def test_links_that_lead_in_circles_are_refused(root: Path) -> None:
    (root / "x").symlink_to(root / "y")
    (root / "y").symlink_to(root / "x")
    for number in range(1500):
        (root / f"l{number}").symlink_to(root / f"l{number + 1}")

    assert "does not exist" in refusal(root / "x", root)
    assert refusal(root / "l0", root)


def swapped(target: Path, link_to: Path) -> Callable[[Path], None]:
    def swap() -> None:
        target.rename(target.with_name("away"))
        target.symlink_to(link_to)

    return lambda _: swap()


@pytest.mark.parametrize("what", ["a", "a/file.png"])
def test_a_link_swapped_in_after_the_check_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    beside = root.parent / "beside"
    target = beside / "file.png" if what.endswith(".png") else beside
    walk = getattr(roots_module, OPEN)

    def swap_first(folder: Path, names: tuple[str, ...]) -> int:
        swapped(root / what, target)(root)
        fd: int = walk(folder, names)
        return fd

    monkeypatch.setattr(roots_module, OPEN, swap_first)

    assert "does not exist" in refusal(root / "a" / "file.png", root)


def test_a_directory_swapped_in_the_middle_of_the_walk_changes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def swap_then_open(path: str, flags: int, **options: int | None) -> int:
        if path == "file.png":
            swapped(root / "a", root.parent / "beside")(root)
        return really(path, flags, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swap_then_open)

    assert read(root / "a" / "file.png", root) == INSIDE
    assert (root / "a" / "file.png").read_bytes() == OUTSIDE


def test_without_directory_descriptors_links_are_not_followed_either(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots_module, "_HAS_DIR_FD", False)
    walk = getattr(roots_module, OPEN)
    assert read(root / "a" / "file.png", root) == INSIDE

    def swap_first(folder: Path, names: tuple[str, ...]) -> int:
        swapped(root / "a", root.parent / "beside")(root)
        fd: int = walk(folder, names)
        return fd

    monkeypatch.setattr(roots_module, OPEN, swap_first)

    assert "does not exist" in refusal(root / "a" / "file.png", root)


def test_refusals_leave_no_descriptor_open(root: Path) -> None:
    os.mkfifo(root / "fifo")
    before = set(os.listdir("/proc/self/fd"))
    for name in ("a", "fifo", "no-such", "a/no-such", "a/file.png/x"):
        refusal(root / name, root)

    assert set(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///srv/media", "/srv/media"),
        ("file:///srv/my%20media/", "/srv/my media"),
        ("file://localhost/srv", "/srv"),
        ("file://other.example/srv", None),
        ("https://example.com/srv", None),
        ("file:///srv?x", None),
        ("file:///srv/%00", None),
        ("", None),
    ],
)
def test_only_file_uris_of_this_machine_are_roots(uri: str, path: str | None) -> None:
    assert root_of(uri) == (None if path is None else Path(path))


PARTS = st.sampled_from(
    [
        "a",
        "file.png",
        "out",
        "in",
        "..",
        ".",
        "",
        "root",
        "root-evil",
        "beside",
        "no",
        "%2e%2e",
        "\0",
    ]
)


@given(st.lists(PARTS, max_size=8), st.booleans(), st.booleans(), st.booleans())
@example(["out", "file.png"], True, False, False)
@settings(max_examples=400)
def test_no_path_reads_anything_outside(
    parts: list[str], from_root: bool, as_uri: bool, escaped: bool
) -> None:
    with TemporaryDirectory() as place:
        root = lay_out(Path(place))
        (root / "out").symlink_to("../beside")
        (root / "in").symlink_to("a")
        path = "/".join([str(root) if from_root else place, *parts])
        address = f"file://{quote(path, safe='') if escaped else path}" if as_uri else path
        try:
            content = read(address.replace("file://%2F", "file:///"), root)
        except BadInputError as exc:
            assert place not in exc.reason
        else:
            assert content == INSIDE
