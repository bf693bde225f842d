"""A terminal that is drawn on as a whole, and its keys.

Owns the terminal's state, which is given back however the program ends or sleeps. What is
drawn, and what keys mean, is passed in.
"""

from __future__ import annotations

import os
import re
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.live import Live
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

__all__ = ["Screen", "keys_in"]

#: Seconds between two drawings, at least.
_INTERVAL: Final = 0.1

#: What terminals send for keys that stand for no character (ECMA-48, and as xterm does).
_NAMES: Final = {
    "[A": "up",
    "OA": "up",
    "k": "up",
    "[B": "down",
    "OB": "down",
    "j": "down",
    "[5~": "pageup",
    "[6~": "pagedown",
    " ": "pagedown",
    "[H": "home",
    "OH": "home",
    "[1~": "home",
    "[F": "end",
    "OF": "end",
    "[4~": "end",
}
_find_keys = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O[A-Za-z])|(.)", re.DOTALL).findall


def keys_in(typed: bytes) -> Iterator[str]:
    """The keys behind what a terminal sent; characters, or names of others."""
    for sequence, character in _find_keys(typed.decode("utf-8", "replace")):
        yield _NAMES.get(sequence or character, sequence or character)


@implementer(IReadDescriptor)
class Screen:
    """The terminal.

    Args:
        reactor: tells of keys, and when to draw.
        picture: what is to be seen in so many cells and lines.
        press: is called with each key.
        keyboard: the descriptor that keys come from; None for none.
    """

    def __init__(
        self,
        reactor: Any,
        picture: Callable[[int, int], RenderableType],
        press: Callable[[str], None],
        keyboard: int | None,
    ) -> None:
        self._reactor = reactor
        self._picture = picture
        self._press = press
        self._keyboard = keyboard
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self._modes: list[Any] | None = None
        self._drawing: Any = None

    def start(self) -> None:
        """Take the terminal."""
        self._enter()
        if self._keyboard is not None:
            signal.signal(signal.SIGTSTP, lambda *_: self._reactor.callFromThread(self._sleep))
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Give it back."""
        if self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None
        if self._keyboard is not None:
            self._reactor.removeReader(self)
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        self._leave()

    def changed(self) -> None:
        """There is something new to see; it is drawn soon."""
        if self._drawing is None and self._live is not None:
            self._drawing = self._reactor.callLater(_INTERVAL, self._draw)

    def _draw(self) -> None:
        self._drawing = None
        if self._live is not None:
            self._live.refresh()

    def _now(self) -> RenderableType:
        width, height = self._console.size
        return self._picture(width, height)

    def _enter(self) -> None:
        if self._keyboard is not None:
            self._modes = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard, termios.TCSANOW)
        self._live = Live(
            console=self._console,
            get_renderable=self._now,
            screen=True,
            auto_refresh=False,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)

    def _leave(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        if self._keyboard is not None and self._modes is not None:
            termios.tcsetattr(self._keyboard, termios.TCSANOW, self._modes)
            self._modes = None

    def _sleep(self) -> None:
        """Sleep, as after Ctrl-Z, until somebody has the program go on."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()

    # -- IReadDescriptor

    def fileno(self) -> int:
        """Where keys come from."""
        return -1 if self._keyboard is None else self._keyboard

    def doRead(self) -> None:
        """Something was typed."""
        try:
            typed = os.read(self.fileno(), 1024)
        except OSError:
            typed = b""
        if not typed:  # the terminal is gone
            self._reactor.removeReader(self)
        for key in keys_in(typed):
            self._press(key)

    def connectionLost(self, reason: Any) -> None:
        """See `IReadDescriptor`."""

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "keyboard"
