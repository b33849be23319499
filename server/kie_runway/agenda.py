"""Whose turn it is: one due-time heap, the urgent first, no faster than a rate allows."""

import asyncio
import heapq
import itertools
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from kie_runway.rate import Rate


class _Place(NamedTuple):
    number: int  # also breaks ties between equal times
    urgent: bool


class Agenda:
    """Keys and the event loop's times at which they are due, each key once."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._numbers = itertools.count()
        self._places: dict[int, _Place] = {}
        self._heap: list[tuple[float, int, int]] = []  # due, number, key
        self._urgent: deque[tuple[int, int]] = deque()  # number, key
        self._others: deque[tuple[int, int]] = deque()
        self._moved = asyncio.Event()

    def put(self, key: int, due: float, *, urgent: bool) -> None:
        """Make a key due at a time, instead of whenever it was due before."""
        place = _Place(next(self._numbers), urgent)
        self._places[key] = place
        heapq.heappush(self._heap, (due, place.number, key))
        self._moved.set()

    def drop(self, key: int) -> None:
        """Forget a key."""
        self._places.pop(key, None)

    async def take(self) -> int:
        """Wait for the next key that is due, once the rate allows one; it is then forgotten."""
        loop = asyncio.get_running_loop()
        while True:
            self._moved.clear()
            self._sort_due(loop.time())
            queue = next((queue for queue in (self._urgent, self._others) if queue), None)
            if queue is not None:
                pause_s: float | None = self._rate.take(loop.time())
                if not pause_s:
                    _, key = queue.popleft()
                    del self._places[key]
                    return key
            else:
                pause_s = self._heap[0][0] - loop.time() if self._heap else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._moved.wait()

    def _sort_due(self, now: float) -> None:
        """Move what is due to the queues; a key that was put again left its older places behind."""
        while self._heap and self._heap[0][0] <= now:
            _, number, key = heapq.heappop(self._heap)
            if self._is_current(number, key):
                queue = self._urgent if self._places[key].urgent else self._others
                queue.append((number, key))
        for queue in (self._urgent, self._others):
            while queue and not self._is_current(*queue[0]):
                queue.popleft()

    def _is_current(self, number: int, key: int) -> bool:
        place = self._places.get(key)
        return place is not None and place.number == number
