"""Who wants to be told of something, and the telling.

Knows nothing of what is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec

from twisted.logger import Logger

__all__ = ["Observers"]

P = ParamSpec("P")

log = Logger()


class Observers(Generic[P]):
    """Functions to call when something happens, in the order they came."""

    def __init__(self) -> None:
        self._observers: dict[object, Callable[P, object]] = {}

    def subscribe(self, observer: Callable[P, object]) -> Callable[[], None]:
        """Have `observer` called from now on; returns what ends that."""
        subscription = object()
        self._observers[subscription] = observer

        def end() -> None:
            self._observers.pop(subscription, None)

        return end

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call them all; one that fails is logged and does not keep the others from it."""
        for observer in list(self._observers.values()):
            try:
                observer(*args, **kwargs)
            except Exception:
                log.failure("An observer failed")
