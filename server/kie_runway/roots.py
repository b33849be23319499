"""The one way to a file of the user's: inside the directories that were named, and no other."""

import errno
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from kie_runway.errors import BadInputError
from kie_runway.models import FILE_URI

# Windows has none of these; a walk there goes by path, and is checked afterwards.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# `O_PATH` needs no right to list the directories on the way.
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
_FILE = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a FIFO would wait for its other end
    | getattr(os, "O_NOCTTY", 0)
    | _NO_LINK
)
_HAS_DIR_FD = os.open in os.supports_dir_fd
_DRIVE = re.compile(r"/[A-Za-z]:")


def root_of(uri: str) -> Path | None:
    """The directory or file that a client offers as a root; None if it is none of this machine."""
    try:
        path = _path_of_uri(uri) if uri.startswith(FILE_URI) else None
    except ValueError:
        return None
    return None if "\0" in str(path) else path


def open_within(address: str, roots: Sequence[Path], argument: str) -> BinaryIO:
    """
    A regular file below one of the roots, open for reading. Blocks: call it in a thread.

    Links count as what they lead to. Once that is known to lie below a root, no link is followed
    any more, so swapping one in gains nothing.

    Args:
        address: An absolute path or a `file://` URI.
        roots: Directories, or single files.
        argument: What errors call the address.

    Raises:
        BadInputError: It lies outside, or is no file that can be read. What lies outside is not
            told from what does not exist.
    """
    try:
        real = _real(_path(address))
    except UnicodeError as exc:
        raise BadInputError(f"`{argument}` {_NO_PATH}.") from exc
    except ValueError as exc:
        raise BadInputError(f"`{argument}` {exc}.") from exc
    for root in roots:
        real_root = Path(os.path.realpath(root))
        if real.is_relative_to(real_root):
            break
    else:
        raise BadInputError(
            f"`{argument}` is outside the directories that this server may read: use a file "
            "inside them, or ask the user to name its directory in KIE_UPLOAD_ROOTS."
        )
    # A root may be a single file.
    folder = real_root.parent if real == real_root else real_root
    try:
        fd = _open(folder, real.relative_to(folder).parts)
    except OSError as exc:
        raise BadInputError(f"`{argument}` {_cause(exc)}.") from exc
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadInputError(f"`{argument}` {_NOT_REGULAR}.")
    return os.fdopen(fd, "rb")


def _path(address: str) -> Path:
    """
    The path that an address names, wherever it lies.

    Raises:
        ValueError: It names none, or one that could mean anything; completes a sentence about it.
    """
    path = _path_of_uri(address) if address.startswith(FILE_URI) else Path(address)
    if "\0" in str(path):
        raise ValueError("contains a NUL character: remove it")
    if not path.is_absolute():
        raise ValueError("must be an absolute path or a file:// URI")
    if str(path).startswith("\\\\"):  # merely asking would log in there
        raise ValueError("lies on another machine or is a device: use a file on a drive")
    if ".." in path.parts:
        raise ValueError("contains `..`: write the path without it")
    return path


def _path_of_uri(uri: str) -> Path:
    host, slash, path = uri.removeprefix(FILE_URI).partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError("names another machine: write file:///directory/file.png, three slashes")
    if "?" in path or "#" in path:
        raise ValueError("contains ? or #: write them as %3F and %23")
    text = os.fsdecode(unquote_to_bytes(f"/{path}"))
    return Path(text[1:] if os.name == "nt" and _DRIVE.match(text) else text)


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, RecursionError) as exc:  # a maze of links
        raise ValueError(_NO_PATH) from exc


def _open(folder: Path, names: Sequence[str]) -> int:
    """
    A descriptor of what is at the end of a walk that passes no link.

    Raises:
        OSError: There is a link on the way, or whatever else is wrong with it.
    """
    if not _HAS_DIR_FD:
        path = folder.joinpath(*names)
        fd = os.open(path, _FILE)
        if Path(os.path.realpath(path)) != path:
            os.close(fd)
            raise OSError(errno.ELOOP, "a link")
        return fd
    *directories, name = names or (".",)
    at = os.open(folder, _DIRECTORY)
    try:
        for directory in directories:
            inner = os.open(directory, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(name, _FILE, dir_fd=at)
    finally:
        os.close(at)


_NO_PATH = "is no path that can be opened"
_NOT_REGULAR = "is no regular file: name a picture or a video"


def _cause(exc: OSError) -> str:
    """Completes a sentence about a path inside the roots."""
    match exc.errno:
        case errno.EACCES | errno.EPERM:
            return "cannot be read by this server: change its permissions"
        case errno.EISDIR | errno.ENXIO:
            return _NOT_REGULAR
        case errno.ENAMETOOLONG:
            return "is too long for a path"
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
            return "does not exist: check its spelling"
        case _:
            return f"cannot be opened ({errno.errorcode.get(exc.errno or 0, 'error')})"
