"""Ending in an orderly way."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def on_signal(stop: Callable[[], object]) -> Generator[None]:
    """
    Call `stop` at the first SIGINT, SIGTERM or SIGHUP. POSIX only.

    From then on SIGTERM and SIGHUP do nothing until the context ends, which has to be soon:
    programs send more than one, in haste or after a Ctrl-C that reached this process as well. A
    SIGINT after that kills as usual. A hang-up that is ignored, as under `nohup`, stays so.
    """
    loop = asyncio.get_running_loop()
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)

    def take() -> None:
        if loop.remove_signal_handler(signal.SIGINT):  # false from the second one on
            stop()

    for number in signals:
        loop.add_signal_handler(number, take)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
