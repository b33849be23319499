"""A client's file: read as it is, backed up, replaced at once, and never while somebody else is."""

import errno
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

MAX_BYTES = 32 * 1024 * 1024  # Claude Code keeps much more than servers in its file
NEW_FILE_MODE = 0o600
NEW_FOLDER_MODE = 0o700

# Opening a FIFO or a terminal must neither wait nor take it over; Windows has no such files.
_READ = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class ConfigFileError(Exception):
    """A file that cannot be used; the text says which and why, and nothing was changed."""


@dataclass(frozen=True)
class ConfigFile:
    """
    A configuration file as it was when it was read.

    Attributes:
        path: Where the client looks for it.
        target: The file itself: where a link at `path` leads to.
        text: What is in it; empty if it does not exist.
        status: None if it does not exist.
    """

    path: Path
    target: Path
    text: str = field(repr=False)
    status: os.stat_result | None

    def replace(self, text: str, now: datetime, *, is_secret: bool = False) -> Path | None:
        """
        Write another text in the file's place, in one step; an empty one removes it.

        Args:
            text: Replaces all of it.
            now: Names the backup.
            is_secret: Nobody else may read it or the backup, whatever the file's mode was.

        Returns:
            The backup, which lies beside the file; None if there was no file.

        Raises:
            ConfigFileError: It cannot be written, or has changed since it was read.
        """
        try:
            _make_folder(self.target.parent)
            backup = self._back_up(now, is_secret) if self.status is not None else None
            if not text:
                self._check_unchanged()
                self.target.unlink()
            else:
                self._write(text, is_secret)
        except OSError as exc:
            raise ConfigFileError(f"{self.path} cannot be written ({exc.strerror}).") from exc
        return backup

    def _back_up(self, now: datetime, is_secret: bool) -> Path:
        """A copy whose name tells when, for whoever may read the file."""
        stem = f"{self.target.name}.{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        number = 1
        while True:
            backup = self.target.with_name(f"{stem}{f'-{number}' if number > 1 else ''}.bak")
            try:
                self._create(backup, self.text, is_secret)
            except FileExistsError:
                number += 1
            else:
                return backup

    def _write(self, text: str, is_secret: bool) -> None:
        part = self.target.with_name(f".{self.target.name}.{secrets.token_hex(8)}.tmp")
        try:
            self._create(part, text, is_secret)
            self._check_unchanged()
            os.replace(part, self.target)
        except BaseException:
            with suppress(FileNotFoundError):
                part.unlink()
            raise
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(self.target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _create(self, path: Path, text: str, is_secret: bool) -> None:
        """A new file with the mode of the one that it stands for, on the disk when this returns."""
        with os.fdopen(os.open(path, _WRITE, NEW_FILE_MODE), "wb") as file:
            file.write(text.encode())
            if self.status is not None and hasattr(os, "fchmod"):
                mode = stat.S_IMODE(self.status.st_mode)
                os.fchmod(file.fileno(), mode & NEW_FILE_MODE if is_secret else mode)
            file.flush()
            os.fsync(file.fileno())

    def _check_unchanged(self) -> None:
        if _text(self.path, self.target)[0] != self.text:
            raise ConfigFileError(
                f"{self.path} was changed by another program just now; nothing was written. "
                "Run the command once more."
            )


def read_config(path: Path, *, within: Path | None = None) -> ConfigFile:
    """
    A file as it is now; one that does not exist is empty.

    Args:
        path: May be a link.
        within: A project that the file must lie in, wherever links lead: others may have made them.

    Raises:
        ConfigFileError: It is no regular file of this user's that can be read, is longer than
            32 MiB or not UTF-8, or lies outside.
    """
    try:
        target = Path(os.path.realpath(path))
        if within is not None and not target.is_relative_to(os.path.realpath(within)):
            raise ConfigFileError(f"{path} is a link that leads out of the project, to {target}.")
        text, status = _text(path, target)
    except OSError as exc:
        raise ConfigFileError(f"{path} {_cause(exc)}.") from exc
    if status is None and path.is_symlink():
        raise ConfigFileError(f"{path} is a link to {target}, which does not exist.")
    return ConfigFile(path, target, text, status)


def _text(path: Path, target: Path) -> tuple[str, os.stat_result | None]:
    try:
        descriptor = os.open(target, _READ)
    except FileNotFoundError:
        return "", None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigFileError(f"{path} is no regular file.")
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            raise ConfigFileError(f"{path} belongs to another user.")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigFileError(f"{path} is larger than {MAX_BYTES >> 20} MiB.")
    try:
        return content.decode(), status
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigFileError(f"{path} is not UTF-8, line {line}.") from exc


def _make_folder(path: Path) -> None:
    """Make a folder and those above it, for this user alone."""
    if not path.exists():
        _make_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(NEW_FOLDER_MODE)


def _cause(exc: OSError) -> str:
    match exc.errno:
        case errno.EISDIR | errno.ENXIO:
            return "is no regular file"
        case errno.ENOTDIR:
            return "lies below something that is no directory"
        case errno.ELOOP:
            return "is a link that leads in a circle"
        case _:
            return f"cannot be read ({exc.strerror})"
