"""What several tests of the store need: errors as values, and what was logged."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from twisted.internet import reactor as installed
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

__all__ = ["failure_of", "lines_logged", "reactor"]

#: The real reactor; what it can do depends on the platform and is not in its type.
reactor: Any = installed

E = TypeVar("E", bound=Exception)


async def failure_of(awaited: Awaitable[object], kind: type[E]) -> E:
    """The error of that kind which is raised."""
    try:
        await awaited
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


@implementer(ILogObserver)
class _Lines(list[str]):
    def __call__(self, event: LogEvent) -> None:
        self.append(formatEvent(event))


def lines_logged(test: TestCase) -> list[str]:
    """What is logged from now on, one text for each event."""
    lines = _Lines()
    globalLogPublisher.addObserver(lines)
    test.addCleanup(globalLogPublisher.removeObserver, lines)
    return lines
