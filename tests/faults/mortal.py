"""A server process that dies, and the agent who starts it again and repeats its call."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.faults.driver import POINTS
from tests.faults.transcript import Transcript
from tests.wire import Wire

DRIVER = Path(__file__).with_name("driver.py")
LATER_S = 60  # after a death the next start is that much later: longer than a lease
SHORT_LEASE_S = 3  # of processes that live beside each other, and so have one time


class MortalServer:
    """
    The real program on stdio, its deaths planned.

    Args:
        env: Of the process.
        arguments: Of `serve`.
        fuses: Where each start but the last ones dies: the point and the how-manieth passage.
        transcript: Told of each call, answer and death.
        caught_up: Returns when KIE has read all that was sent to it by then.
        stderr: Where the processes' logs go.
        has_neighbour: Whether another process works on the same ledger.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        arguments: Sequence[str] = (),
        fuses: Sequence[tuple[str, int]] = (),
        transcript: Transcript,
        caught_up: Callable[[], object],
        stderr: Path | None = None,
        has_neighbour: bool = False,
    ) -> None:
        assert all(at in POINTS for at, _ in fuses)
        self._env = dict(env)
        self._arguments = arguments
        self._fuses = list(fuses)
        self._transcript = transcript
        self._caught_up = caught_up
        self._stderr = stderr
        self._has_neighbour = has_neighbour
        self._wire: Wire | None = None
        self.deaths = 0
        """How often it was killed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._wire is not None:
            self._wire.process.kill()
            self._reap()

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool, again after each death, as an agent does that heard nothing."""
        while True:
            number = self._transcript.begin(tool, arguments)
            try:
                answer = self._open().tool(tool, **arguments)
            except (EOFError, BrokenPipeError):
                self._bury()
            else:
                self._transcript.end(number, answer)
                return answer

    def give_up(self, tool: str, arguments: Mapping[str, Any], is_time: Callable[[], None]) -> None:
        """Call a tool, and cancel the call when it is time."""
        self._transcript.begin(tool, arguments)
        wire = self._open()
        number = wire.ask_tool(tool, **arguments)
        is_time()
        cancelled = {"requestId": number, "reason": "timed out"}
        wire.write({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})

    def kill(self) -> None:
        """End the process with SIGKILL, whatever it is doing; the next call starts another."""
        assert self._wire is not None
        self._wire.process.kill()
        self._bury()

    def leave(self) -> None:
        """End the process as clients do: close its stdin, wait until it has gone."""
        if self._wire is not None:
            with self._wire as wire:
                wire.close_stdin()
                wire.end()
            self._wire = None

    def _open(self) -> Wire:
        if self._wire is None:
            order: dict[str, Any] = {"later_s": LATER_S * self.deaths}
            if self._has_neighbour:
                order = {"lease_s": SHORT_LEASE_S}
            if self._fuses:
                order["at"], order["passage"] = self._fuses.pop(0)
            command = (sys.executable, str(DRIVER), json.dumps(order), "serve", *self._arguments)
            self._wire = Wire(command, env=self._env, stderr=self._stderr)
            self._wire.open()
        return self._wire

    def _bury(self) -> None:
        self._reap()
        self._caught_up()  # or what it sent last would seem to have been sent afterwards
        self._transcript.note_kill()
        self.deaths += 1

    def _reap(self) -> None:
        assert self._wire is not None
        with self._wire as wire:
            wire.process.wait(60)
        assert wire.process.returncode == -9, wire.process.returncode
        self._wire = None
