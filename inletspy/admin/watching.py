"""What `inletspy top` makes of what a server tells: pictures for people, lines for programs.

How the table looks is the matter of `board`, the terminal that of `screen`, and that a server
which goes away is tried again that of `following`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, ensureDeferred

from inletspy.admin.board import COLUMNS, Board
from inletspy.admin.following import Follower
from inletspy.admin.screen import Screen
from inletspy.admin.statusport import StatusPort
from inletspy.errors import UsageError

__all__ = ["watch"]


async def watch(reactor: Any, arguments: argparse.Namespace) -> None:
    """Show what passes through the tunnels until somebody has seen enough.

    Args:
        reactor: runs everything.
        arguments: see `top.register`.

    Raises:
        InletspyError: it can't be shown.
    """
    if arguments.sort not in [column.key for column in COLUMNS]:
        known = ", ".join(f"{column.key} ({column.title.lower()})" for column in COLUMNS)
        raise UsageError(f"--sort: must be one of {known}")

    def find() -> StatusPort:
        return StatusPort.find(reactor, arguments, os.environ)

    if arguments.json:
        await Follower(reactor, find, _Lines()).run()
        return
    if not sys.stdout.isatty():
        raise UsageError("top needs a terminal to draw on; for programs there is --json")
    pictures = _Pictures(reactor, arguments)
    following = ensureDeferred(Follower(reactor, find, pictures).run())
    pictures.quit = following.cancel
    try:
        await following
    except CancelledError:  # by a key
        pass
    finally:
        pictures.stop()


class _Lines:
    """Tells programs; see `inletspy.admin.following.Teller`."""

    def __init__(self) -> None:
        self._away = False

    def opened(self, url: str, user: str, sees_all: bool) -> None:
        self._away = False

    def got(self, event: str, data: str) -> None:
        print(json.dumps({"event": event, **json.loads(data)}), flush=True)

    def lost(self, reason: str, wait: int) -> None:
        if not self._away:
            print(json.dumps({"event": "away", "reason": reason}), flush=True)
        self._away = True


class _Pictures:
    """Draws for people; see `inletspy.admin.following.Teller`.

    Attributes:
        quit: ends it.
    """

    def __init__(self, reactor: Any, arguments: argparse.Namespace) -> None:
        self.quit: Callable[[], None] = reactor.stop
        self._reactor = reactor
        self._arguments = arguments
        self._board: Board | None = None
        self._screen: Screen | None = None

    def opened(self, url: str, user: str, sees_all: bool) -> None:
        if self._board is None:
            self._board = self._start(Board(url, user, sees_all=sees_all))
        self._board.connected(url, user, sees_all=sees_all)

    def _start(self, board: Board) -> Board:
        board.sort(self._arguments.sort)
        board.own_only = self._arguments.own
        keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._screen = Screen(self._reactor, board.picture, self._press, keyboard)
        # Also after Ctrl-C, which ends the reactor and leaves the rest where it is.
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stop)
        self._screen.start()
        return board

    def got(self, event: str, data: str) -> None:
        if self._board is not None:
            self._board.got(event, data)
        self._changed()

    def lost(self, reason: str, wait: int) -> None:
        if self._board is not None:
            self._board.notice = (
                f"The server is away, what you see may be old. Next try in {wait} s: {reason}"
            )
        self._changed()

    def stop(self) -> None:
        screen, self._screen = self._screen, None
        if screen is not None:
            screen.stop()

    def _press(self, key: str) -> None:
        if key in ("q", "Q"):
            self.quit()
        elif self._board is not None and self._board.press(key):
            self._changed()

    def _changed(self) -> None:
        if self._screen is not None:
            self._screen.changed()
