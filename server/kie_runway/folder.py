"""A directory that stays the same one while it is open, whatever its path comes to mean."""

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path

PART_LIFETIME_S = 3600  # longer than any download may take

# Windows has none of the first three; its links need rights that other programs lack.
_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # opening a FIFO would wait for its other end

DIR_FD_SUPPORTED = {
    os.open,
    os.rename,
    os.stat,
    os.unlink,
} <= os.supports_dir_fd and os.listdir in os.supports_fd


class Folder:
    """
    An open directory of ours, made with mode 0700 if it is missing.

    Names are single path components. Everything blocks: call it in a thread. Where the
    platform cannot work relative to a directory, it works by path.

    Raises:
        OSError: It cannot be made or opened, is a link or no directory, or is another user's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _make(path)
        self._fd = os.open(path, os.O_RDONLY | _DIRECTORY) if DIR_FD_SUPPORTED else None
        try:
            self._status = os.lstat(path) if self._fd is None else os.fstat(self._fd)
            _require_own_directory(self._status)
        except OSError:
            self.close()
            raise

    def open_existing(self, name: str) -> int:
        """
        A descriptor to read a file, which may turn out to be no regular one.

        Raises:
            FileNotFoundError: There is none.
            OSError: It is a link, or cannot be read.
        """
        return os.open(self._at(name), os.O_RDONLY | _NO_LINK | _NO_WAITING, dir_fd=self._fd)

    def create(self, name: str) -> int:
        """
        A descriptor to write and read a new file, mode 0600.

        Raises:
            OSError: The name is taken, or the directory cannot be written.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK
        return os.open(self._at(name), flags, 0o600, dir_fd=self._fd)

    def rename(self, old: str, new: str) -> None:
        """Rename a file, durably where the platform can promise that."""
        os.rename(self._at(old), self._at(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)
        if self._fd is not None:
            os.fsync(self._fd)

    def remove(self, name: str) -> None:
        """Remove a file or link, never what a link points to."""
        os.unlink(self._at(name), dir_fd=self._fd)

    def names(self) -> list[str]:
        """Everything in the directory."""
        return os.listdir(self.path if self._fd is None else self._fd)

    def remove_old_parts(self, pattern: re.Pattern[str]) -> None:
        """Remove what crashes left; another process's part that is still growing is younger."""
        oldest = time.time() - PART_LIFETIME_S
        for name in self.names():
            if pattern.fullmatch(name):
                with suppress(OSError):  # another process was faster
                    if self.status(name).st_mtime < oldest:
                        self.remove(name)

    def status(self, name: str) -> os.stat_result:
        """Of a file or link itself, not of what a link points to."""
        return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)

    def is_in_place(self) -> bool:
        """Whether the path still leads to this directory."""
        try:
            return os.path.samestat(os.lstat(self.path), self._status)
        except OSError:
            return False

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name) if self._fd is None else name


def _make(path: Path) -> None:
    """Make a directory and its parents for us alone; `os.makedirs` leaves parents open to all."""
    if not path.parent.exists():
        _make(path.parent)
    with suppress(FileExistsError):  # what it is, is checked once it is open
        os.mkdir(path, 0o700)


def _require_own_directory(status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError("it is a link or no directory")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError("it belongs to another user")
