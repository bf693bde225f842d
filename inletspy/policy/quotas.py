"""How much of the server one address may take, and what is told when a limit is reached.

Counts only; who is counted, and what happens past a limit, others decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from inletspy.policy.sources import block_of

__all__ = ["AddressQuota", "Rate", "Refusals"]

#: Seconds for which one line says enough of a limit and who has reached it.
_QUIET: Final = 60.0
#: Those who are remembered to have been told of, at most.
_MAX_TOLD: Final = 10_000


class Refusals:
    """Counts what limits refuse, and has it told of now and then.

    Args:
        now: the present time in seconds.
        tell: is called with a line for the log.

    Attributes:
        counts: by limit, since the start.
    """

    def __init__(
        self, now: Callable[[], float], tell: Callable[[str], None] = lambda line: None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._now = now
        self._tell = tell
        #: When each was told of last, the oldest first.
        self._told: dict[tuple[str, str], float] = {}

    def note(self, limit: str, line: str, owner: str = "") -> None:
        """A limit has refused something.

        Args:
            limit: its name.
            line: says so; told once a minute at most for each limit and owner.
            owner: whose limit it is; empty where it is nobody's in particular.
        """
        self.counts[limit] += 1
        now = self._now()
        last = self._told.get((limit, owner))
        if last is not None and 0 <= now - last < _QUIET:
            return
        self._told.pop((limit, owner), None)
        self._told[limit, owner] = now
        if len(self._told) > _MAX_TOLD:
            del self._told[next(iter(self._told))]
        self._tell(line)


class Rate:
    """So many a second, and so many at once: a bucket that fills up again by and by.

    It is kept as the moment at which it will be full (the generic cell rate algorithm), so
    that it costs one number and needs no timer.

    Attributes:
        full_at: that moment.
    """

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        self.full_at = 0.0

    def take(self, now: float, rate: float, burst: float) -> float:
        """Take one.

        Args:
            now: the present time in seconds.
            rate: how many come back in a second; above 0.
            burst: how many there are in a full bucket; less than one counts as one.

        Returns:
            0 if there was one, else the seconds until there is.
        """
        burst = max(burst, 1.0)
        # Where the clock was set back, or the rate changed, it is empty at the most.
        self.full_at = min(max(now, self.full_at), now + burst / rate)
        wait = self.full_at - now - (burst - 1.0) / rate
        if wait > 1e-6:
            return wait
        self.full_at += 1.0 / rate
        return 0.0


class AddressQuota:
    """Connections at once, per address (of IPv6, per /64).

    Args:
        limit: how many one address may have, asked anew each time.
        refused: is called with an address that has as many as it may.
    """

    def __init__(
        self,
        limit: Callable[[], float],
        refused: Callable[[str], None] = lambda address: None,
    ) -> None:
        self._limit = limit
        self._refused = refused
        self._counts: dict[str, int] = {}

    def take(self, address: str, *, exempt: bool = False) -> bool:
        """Count one more connection; False, and not counted, if that is one too many."""
        address = block_of(address)
        count = self._counts.get(address, 0)
        if count >= self._limit() and not exempt:
            self._refused(address)
            return False
        self._counts[address] = count + 1
        return True

    def __len__(self) -> int:
        return sum(self._counts.values())

    def give_back(self, address: str) -> None:
        """A counted connection has ended."""
        address = block_of(address)
        count = self._counts[address] - 1
        if count:
            self._counts[address] = count
        else:
            del self._counts[address]
