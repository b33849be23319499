"""Commands on a terminal of a fixed size."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from contextlib import suppress

# What says that something is a terminal, or how wide, in place of the terminal itself.
_SAYS_OTHERWISE = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES")


def on_terminal(columns: int, *command: str, **env: str) -> str:
    """All that a command writes to a terminal that is so wide, its escape sequences included."""
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
    written = bytearray()
    with suppress(OSError):  # how the end of a terminal shows
        while chunk := os.read(ours, 65_536):
            written += chunk
    os.close(ours)
    process.wait()
    return written.decode()
