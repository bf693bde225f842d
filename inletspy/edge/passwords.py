"""Passwords of visitors, checked beside the reactor.

A check takes tens of milliseconds, so it runs in a thread: few at a time, few waiting, of
them fewer for one service and fewest for one visitor, and each password once however many
requests come with it. Whose password it is and what follows, others know.
"""

from __future__ import annotations

import hmac
import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from inletspy.policy.visits import Account, hash_password

__all__ = ["InThread", "PasswordChecks"]

_log = Logger()

#: Checks at once: each takes a processor, and 16 MiB.
_AT_ONCE: Final = 2
#: Checks that are under way or wait, at most.
_MAX_CHECKS: Final = 32
#: Of these, those for one service, and those for one visitor.
_MAX_OF_SERVICE: Final = 8
_MAX_OF_VISITOR: Final = 2

#: Runs a function in a thread; fires with what it returns.
InThread = Callable[..., Deferred[Any]]


@dataclass(frozen=True)
class _Check:
    """One that is under way or waits."""

    mark: bytes
    account: Account
    password: bytes
    service: str
    visitor: str | None


class PasswordChecks:
    """Checks passwords.

    Args:
        in_thread: is called with a function and its arguments.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        #: Makes what is remembered of passwords useless outside this process.
        self._secret = secrets.token_bytes(32)
        self._waiting: deque[_Check] = deque()
        #: Who is to be told, by `mark`.
        self._asked: dict[bytes, list[Callable[[bool], None]]] = {}
        #: How many checks there are for each service, and for each visitor.
        self._of_service: Counter[str] = Counter()
        self._of_visitor: Counter[str] = Counter()
        self._running = 0

    def mark(self, account: Account, password: bytes) -> bytes:
        """What a password for an account is remembered by, once it was right."""
        return hmac.digest(self._secret, account.salt + account.hash + password, "sha256")

    def under_way(self, mark: bytes) -> bool:
        """Whether this very password is being checked."""
        return mark in self._asked

    def full(self, service: str, visitor: str | None) -> bool:
        """Whether no other one can be checked for these just now; see `check`."""
        return (
            len(self._asked) >= _MAX_CHECKS
            or self._of_service[service] >= _MAX_OF_SERVICE
            or (visitor is not None and self._of_visitor[visitor] >= _MAX_OF_VISITOR)
        )

    def check(
        self,
        mark: bytes,
        account: Account,
        password: bytes,
        tell: Callable[[bool], None],
        service: str,
        visitor: str | None,
    ) -> None:
        """Have a password checked.

        Args:
            mark: see `mark`.
            account: whose it may be.
            password: as the visitor typed it.
            tell: is called with whether it was right, later.
            service: the name of the service that it is for.
            visitor: whose address counts as one; None if it is not known.
        """
        if mark in self._asked:
            self._asked[mark].append(tell)
            return
        self._asked[mark] = [tell]
        self._of_service[service] += 1
        if visitor is not None:
            self._of_visitor[visitor] += 1
        self._waiting.append(_Check(mark, account, password, service, visitor))
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and self._running < _AT_ONCE:
            self._running += 1
            check = self._waiting.popleft()
            hashing = self._in_thread(hash_password, check.password, check.account.salt)
            hashing.addBoth(self._checked, check)

    def _checked(self, result: bytes | Failure, check: _Check) -> None:
        self._running -= 1
        _give_back(self._of_service, check.service)
        if check.visitor is not None:
            _give_back(self._of_visitor, check.visitor)
        if isinstance(result, Failure):  # no memory, for example
            _log.failure("A password could not be checked", failure=result)
            right = False
        else:
            right = hmac.compare_digest(result, check.account.hash)
        for tell in self._asked.pop(check.mark):
            try:
                tell(right)
            except Exception:
                _log.failure("A visitor could not be told")
        self._go_on()


def _give_back(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
