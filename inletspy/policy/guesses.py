"""How often somebody may guess a secret, and how long to wait after a wrong guess.

Counts wrong guesses by whatever key it is given, with the time passed in. The first few
are free, each further one doubles the wait. What is guessed is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

__all__ = ["Guesses"]

#: Seconds without a wrong guess after which all is forgotten.
_FORGET: Final = 1800
#: Keys that are kept, at most; the ones whose last guess is longest ago go first.
_MAX_KEYS: Final = 20_000


class Guesses:
    """Wrong guesses, by key.

    Args:
        now: the present time in seconds.
        free: how many cost nothing, since people mistype; 0 for any number.
        longest: the longest wait, in seconds.
    """

    def __init__(
        self,
        now: Callable[[], float],
        free: Callable[[], float] = lambda: 5,
        longest: float = 300,
    ) -> None:
        self._now = now
        self._free = free
        self._longest = longest
        #: Key to the number of wrong guesses and the time of the last, oldest first.
        self._wrong: dict[Hashable, tuple[int, float]] = {}

    def wait(self, key: Hashable) -> float:
        """How many seconds to wait until the next guess; 0 if it may be made now."""
        count, last = self._wrong.get(key, (0, 0.0))
        free = int(self._free())
        if count < free or not free:
            return 0.0
        pause = min(2.0 ** min(count - free, 16), self._longest)
        return max(0.0, min(last + pause - self._now(), pause))

    def guessed(self, key: Hashable) -> None:
        """A guess is made; it counts as wrong until it is known to be right."""
        now = self._now()
        count, last = self._wrong.pop(key, (0, now))
        self._wrong[key] = (1 if now - last > _FORGET else count + 1, now)
        oldest = next(iter(self._wrong))
        if len(self._wrong) > _MAX_KEYS or now - self._wrong[oldest][1] > _FORGET:
            del self._wrong[oldest]

    def was_right(self, key: Hashable) -> None:
        """That guess was right. Those before it stay: they may have been for another secret."""
        count, last = self._wrong.get(key, (0, 0.0))
        if count > 1:
            self._wrong[key] = (count - 1, last)
        else:
            self._wrong.pop(key, None)
