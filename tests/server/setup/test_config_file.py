"""A client's file is replaced whole or not at all, and only when it is what it seems to be."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kie_runway.setup.config_file import MAX_BYTES, ConfigFileError, read_config

NOW = datetime(2026, 11, 21, 16, 30, 5, tzinfo=UTC)
STAMP = "20261121T163005Z"


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "mcp.json"
    path.write_bytes(b"\xef\xbb\xbf{}\r\n")
    path.chmod(0o640)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_and_a_copy_of_it_stays(path: Path) -> None:
    file = read_config(path)
    backup = file.replace("new\r\n", NOW)

    assert backup is not None
    assert file.text == "\ufeff{}\r\n"
    assert backup == path.with_name(f"mcp.json.{STAMP}.bak")
    assert backup.read_bytes() == b"\xef\xbb\xbf{}\r\n"
    assert path.read_bytes() == b"new\r\n"
    assert mode(path) == mode(backup) == 0o640
    assert len(list(path.parent.iterdir())) == 2


def test_every_change_has_a_copy_of_its_own(path: Path) -> None:
    backups = [read_config(path).replace(f"{number}", NOW) for number in range(3)]

    assert [it.name for it in backups if it] == [
        f"mcp.json.{STAMP}.bak",
        f"mcp.json.{STAMP}-2.bak",
        f"mcp.json.{STAMP}-3.bak",
    ]
    assert [it.read_text() for it in backups if it] == ["\ufeff{}\n", "0", "1"]


def test_a_new_file_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "mcp.json"
    file = read_config(path)

    assert file.text == ""
    assert file.replace("new", NOW) is None
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert mode(path.parent) == mode(path.parent.parent) == 0o700


def test_a_file_that_gets_a_secret_is_its_users_alone_from_then_on(path: Path) -> None:
    backup = read_config(path).replace("secret", NOW, is_secret=True)

    assert backup is not None
    assert mode(path) == mode(backup) == 0o600


def test_a_file_of_which_nothing_is_left_is_removed(path: Path) -> None:
    backup = read_config(path).replace("", NOW)

    assert backup is not None
    assert not path.exists()
    assert backup.exists()


def test_a_link_stays_a_link(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "home" / ".mcp.json"
    link.parent.mkdir()
    link.symlink_to(path)
    backup = read_config(link).replace("new", NOW)

    assert link.is_symlink()
    assert path.read_text() == "new"
    assert backup is not None
    assert backup.parent == path.parent


def test_what_was_changed_meanwhile_is_kept(path: Path) -> None:
    file = read_config(path)
    path.write_text("theirs")
    with pytest.raises(ConfigFileError, match="changed by another program"):
        file.replace("ours", NOW)
    with pytest.raises(ConfigFileError, match="changed by another program"):
        file.replace("", NOW)

    assert path.read_text() == "theirs"
    assert not list(path.parent.glob(".*"))


def test_what_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    file = read_config(path)
    path.write_text("theirs")
    with pytest.raises(ConfigFileError, match="changed by another program"):
        file.replace("ours", NOW)

    assert path.read_text() == "theirs"


def test_a_file_that_cannot_be_written_stays_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = read_config(path)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ConfigFileError, match=r"cannot be written \(No space left on device\)"):
        file.replace("new", NOW)

    assert path.read_bytes() == b"\xef\xbb\xbf{}\r\n"
    assert not list(path.parent.glob(".*"))


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mcp.json")
    with pytest.raises(ConfigFileError, match="no regular file"):
        read_config(tmp_path / "mcp.json")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(tmp_path: Path, device: str) -> None:
    (tmp_path / "mcp.json").symlink_to(device)
    with pytest.raises(ConfigFileError, match="no regular file"):
        read_config(tmp_path / "mcp.json")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="no regular file"):
        read_config(tmp_path)


def test_what_lies_below_a_file_is_refused(path: Path) -> None:
    with pytest.raises(ConfigFileError, match="below something that is no directory"):
        read_config(path / "mcp.json")


def test_links_to_nothing_and_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with pytest.raises(ConfigFileError, match="which does not exist"):
        read_config(tmp_path / "lost")
    with pytest.raises(ConfigFileError, match="leads in a circle"):
        read_config(tmp_path / "one")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ConfigFileError, match="larger than 32 MiB"):
        read_config(path)


@pytest.mark.parametrize("content", [b"{\n\xff}", '{"a": "é"}'.encode("utf-16")])
def test_another_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(content)
    with pytest.raises(ConfigFileError, match=r"not UTF-8, line \d"):
        read_config(path)


def test_a_projects_file_that_leads_out_of_it_is_refused(tmp_path: Path, path: Path) -> None:
    project = tmp_path / "project"
    (project / "inside").mkdir(parents=True)
    (project / ".mcp.json").symlink_to(path)
    (project / ".cursor").symlink_to(tmp_path)
    (project / ".vscode").symlink_to("inside")
    for name in (".mcp.json", ".cursor/mcp.json"):
        with pytest.raises(ConfigFileError, match="leads out of the project"):
            read_config(project / name, within=project)

    assert read_config(project / ".vscode" / "mcp.json", within=project).text == ""


def test_what_belongs_to_somebody_else_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigFileError, match="belongs to another user"):
        read_config(path)


def test_what_may_not_be_read_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as a mode of 000, which does not keep root out."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigFileError, match=r"cannot be read \(Permission denied\)"):
        read_config(path)


def test_a_directory_that_may_not_be_written_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = read_config(path)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigFileError, match=r"cannot be written \(Permission denied\)"):
        file.replace("new", NOW)

    assert path.read_bytes() == b"\xef\xbb\xbf{}\r\n"
