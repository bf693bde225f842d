"""Passwords of visitors, checked beside the reactor.

A check takes tens of milliseconds, so it runs in a thread: few at a time, few waiting,
and each password once however many requests come with it. Whose password it is and what
follows, others know.
"""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from collections.abc import Callable
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

#: Runs a function in a thread; fires with what it returns.
InThread = Callable[..., Deferred[Any]]


class PasswordChecks:
    """Checks passwords.

    Args:
        in_thread: is called with a function and its arguments.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        #: Makes what is remembered of passwords useless outside this process.
        self._secret = secrets.token_bytes(32)
        self._waiting: deque[tuple[bytes, Account, bytes]] = deque()
        #: Who is to be told, by `mark`.
        self._asked: dict[bytes, list[Callable[[bool], None]]] = {}
        self._running = 0

    def mark(self, account: Account, password: bytes) -> bytes:
        """What a password for an account is remembered by, once it was right."""
        return hmac.digest(self._secret, account.salt + account.hash + password, "sha256")

    def under_way(self, mark: bytes) -> bool:
        """Whether this very password is being checked."""
        return mark in self._asked

    @property
    def full(self) -> bool:
        """Whether no other one can be checked just now."""
        return len(self._asked) >= _MAX_CHECKS

    def check(
        self, mark: bytes, account: Account, password: bytes, tell: Callable[[bool], None]
    ) -> None:
        """Have a password checked.

        Args:
            mark: see `mark`.
            account: whose it may be.
            password: as the visitor typed it.
            tell: is called with whether it was right, later.
        """
        if mark in self._asked:
            self._asked[mark].append(tell)
        else:
            self._asked[mark] = [tell]
            self._waiting.append((mark, account, password))
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting and self._running < _AT_ONCE:
            self._running += 1
            mark, account, password = self._waiting.popleft()
            hashing = self._in_thread(hash_password, password, account.salt)
            hashing.addBoth(self._checked, mark, account)

    def _checked(self, result: bytes | Failure, mark: bytes, account: Account) -> None:
        self._running -= 1
        if isinstance(result, Failure):  # no memory, for example
            _log.failure("A password could not be checked", failure=result)
            right = False
        else:
            right = hmac.compare_digest(result, account.hash)
        for tell in self._asked.pop(mark):
            try:
                tell(right)
            except Exception:
                _log.failure("A visitor could not be told")
        self._go_on()
