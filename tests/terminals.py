"""Commands on a terminal of a fixed size."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from contextlib import suppress

from tests.wire import WITHIN_S

# What says that something is a terminal, or how wide, in place of the terminal itself.
_SAYS_OTHERWISE = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES")


def on_terminal(columns: int, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """
    Run a command on a terminal that is so wide.

    Returns:
        Its exit code and all that it wrote, its escape sequences included, as stdout.

    Raises:
        TimeoutError: It took too long, and was ended.
    """
    clean = {name: value for name, value in os.environ.items() if name not in _SAYS_OTHERWISE}
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=its,
        stdout=its,
        stderr=its,
        env=clean | {"TERM": "xterm-256color", "TZ": "UTC"} | env,
    )
    os.close(its)
    try:
        written = _read_all(ours)
        return subprocess.CompletedProcess(command, process.wait(WITHIN_S), written.decode())
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def _read_all(terminal: int) -> bytes:
    written = bytearray()
    deadline = time.monotonic() + WITHIN_S
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = b""
        with suppress(OSError):  # how the end of a terminal shows
            chunk = os.read(terminal, 65_536)
        if not chunk:
            return bytes(written)
        written += chunk
    raise TimeoutError(f"not done in {WITHIN_S:g} s:\n{written.decode(errors='replace')}")
