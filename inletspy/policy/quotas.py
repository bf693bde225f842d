"""How much of the server one visitor's address may take.

Counts only; who is counted, and what happens past the limit, the edge decides.
"""

from __future__ import annotations

from collections.abc import Callable

from inletspy.policy.sources import block_of

__all__ = ["AddressQuota"]


class AddressQuota:
    """Connections at once, per address (of IPv6, per /64).

    Args:
        limit: how many one address may have, asked anew each time.
    """

    def __init__(self, limit: Callable[[], float]) -> None:
        self._limit = limit
        self._counts: dict[str, int] = {}

    def take(self, address: str, *, exempt: bool = False) -> bool:
        """Count one more connection; False, and not counted, if that is one too many."""
        address = block_of(address)
        count = self._counts.get(address, 0)
        if count >= self._limit() and not exempt:
            return False
        self._counts[address] = count + 1
        return True

    def give_back(self, address: str) -> None:
        """A counted connection has ended."""
        address = block_of(address)
        count = self._counts[address] - 1
        if count:
            self._counts[address] = count
        else:
            del self._counts[address]
