"""The live display of a tunnel on a terminal: its state and its last requests, in place.

Owns the layout, and the terminal while it is drawn on: what is typed is not echoed
into it, a resize clears it, and a program in the background leaves it alone. Drawing
is bounded to a few times a second whatever the traffic is.
"""

from __future__ import annotations

import os
import select
import termios
import time
from collections import deque
from collections.abc import Mapping
from typing import IO, Any, Final, cast

from rich import filesize
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from twisted.internet.task import LoopingCall

from inletspy.client.config import ClientConfig
from inletspy.client.display import Display, printable, way_to
from inletspy.client.exchanges import Exchange
from inletspy.client.output import SteadyOutput
from inletspy.wire.control import ServiceOffer

__all__ = ["LiveDisplay", "can_be_live", "for_people"]

#: Seconds between two drawings.
INTERVAL: Final = 0.125
#: The most requests that are shown, and the lines that are needed beside them and the
#: services, one trouble included.
MAX_SHOWN: Final = 10
_LINES_BESIDE: Final = 7

_STATUS_STYLES: Final = {1: "cyan", 2: "green", 3: "cyan", 4: "yellow", 5: "red"}


def can_be_live(output: SteadyOutput, environ: Mapping[str, str]) -> bool:
    """Whether there is a terminal that can be drawn on, and that is ours to draw on."""
    if not output.isatty() or environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return False
    return _in_foreground(output)


def _in_foreground(output: SteadyOutput) -> bool:
    try:
        return os.tcgetpgrp(output.fileno()) == os.getpgrp()
    except OSError:
        return False


def for_people(seconds: float) -> str:
    """A span of time, in at most two units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


class LiveDisplay(Display):
    """Draws the tunnel's state in place; see `Display`.

    Args:
        reactor: see `Display`.
        config: see `Display`.
        output: a terminal.
        keyboard: the file descriptor of a terminal where keys are typed; None for none.
    """

    def __init__(
        self,
        reactor: Any,
        config: ClientConfig,
        output: SteadyOutput,
        keyboard: int | None = None,
    ) -> None:
        super().__init__(reactor, config, output)
        self._state = Text("connecting", style="yellow")
        self._up_since: float | None = None
        self._troubles: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        self._last: deque[tuple[float, str, Exchange]] = deque(maxlen=MAX_SHOWN)
        self._count = 0
        self._failed = 0
        self._console = Console(
            file=cast("IO[str]", output),
            force_terminal=True,
            force_jupyter=False,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._picture,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._loop = LoopingCall(self._draw)
        self._loop.clock = reactor
        self._size = self._console.size
        self._changed = True
        self._drawn_at = 0.0
        self._modes: list[Any] | None = None
        self._keyboard = keyboard

    def start(self) -> None:
        """See `Display`."""
        super().start()
        self._take_terminal()
        self._live.start(refresh=True)
        self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """See `Display`."""
        if self._loop.running:
            self._loop.stop()
            self._state = Text("ended")
            self._up_since = None
            self._live.stop()
            self._give_terminal_back()
        super().stop()

    # -- what there is to tell

    def show_ready(self) -> None:
        """See `Display`."""
        self._state = Text("online", style="green")
        self._up_since = self.reactor.seconds()
        self._changed = True

    def show_reconnected(self, changed: bool) -> None:
        """See `Display`."""
        self._refusals.clear()  # what is refused again is told again
        self.show_ready()

    def show_added(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        self._refusals.pop(offer.name, None)
        self._changed = True

    def show_removed(self, offer: ServiceOffer, replaced: bool) -> None:
        """See `Display`."""
        self._troubles.pop(offer.name, None)
        self._refusals.pop(offer.name, None)
        self._changed = True

    def show_refused(self, offer: ServiceOffer, code: str, text: str) -> None:
        """See `Display`."""
        self._refusals[offer.name] = text
        self._changed = True

    def show_disconnected(self, reason: str, retry_in: float) -> None:
        """See `Display`."""
        when = f"in {for_people(retry_in)}" if retry_in else "now"
        self._state = Text(f"reconnecting {when}: {reason}", style="yellow")
        self._up_since = None
        self._changed = True

    def show_notice(self, text: str) -> None:
        """See `Display`."""
        self._console.print(Text(f"{time.strftime('%H:%M:%S')}  {text}"))

    def show_upstream_down(self, offer: ServiceOffer, text: str, reason: str) -> None:
        """See `Display`."""
        self._troubles[offer.name] = text
        self._changed = True

    def show_upstream_up(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        self._troubles.pop(offer.name, None)
        self._changed = True

    def show_request(self, offer: ServiceOffer, exchange: Exchange) -> None:
        """See `Display`."""
        self._last.append((self.reactor.seconds(), offer.name, exchange))
        self._count += 1
        self._failed += exchange.status is None or exchange.status >= 500
        self._changed = True

    def show_link(self, offer: ServiceOffer, url: str, expires: int) -> None:
        """See `Display`."""
        super().show_link(offer, "", expires)
        # Alone on its line, and not cut into several, so that it can be copied.
        self._console.print(Text(url, style="bold cyan"), soft_wrap=True)

    # -- keys

    def _read_keys(self) -> None:
        if self._keyboard is None or not _in_foreground(self.output):
            return
        try:
            # After a stop by Ctrl-Z the terminal gives whole lines only, and would wait.
            if not select.select([self._keyboard], [], [], 0)[0]:
                return
            typed = os.read(self._keyboard, 1024)
        except OSError:
            typed = b""
        if not typed:
            self._keyboard = None  # the terminal is gone
        elif b"s" in typed.lower() and not self.ask_for_links():
            why = (
                "not connected just now"
                if self._has_private
                else "no service has --private-http or --private"
            )
            self.show_notice(f"no share link: {why}")

    @property
    def _has_private(self) -> bool:
        return any(offer.has_links for offer in self.offers.values())

    # -- drawing

    def _draw(self) -> None:
        self._read_keys()
        now = self.reactor.seconds()
        due = self._changed or now - self._drawn_at >= 1
        # A terminal that has not taken the last picture yet gets no further one.
        if not due or not self.output.idle or not _in_foreground(self.output):
            return
        self._changed = False
        self._drawn_at = now
        if self._console.size != self._size:
            # What was drawn is wrapped anew by now: nobody knows how many lines it has.
            self._size = self._console.size
            self._live.stop()
            self._console.clear()
            self._live.start()
        self._live.refresh()

    def _picture(self) -> RenderableType:
        state = self._state.copy()
        if self._up_since is not None:
            span = _whole(self.reactor.seconds() - self._up_since)
            shares = self._keyboard is not None and self._has_private
            keys = "s makes a share link, Ctrl-C" if shares else "Ctrl-C"
            state.append(f" for {span}, {keys} ends it", style="dim")
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        facts.add_row("Status", state)
        for offer in self.offers.values():
            self._add_service(facts, offer)
        if self.inspection is not None:
            facts.add_row("Inspector", Text(self.inspection.url, style="cyan"))
        parts: list[RenderableType] = ["", facts]
        if any(offer.proto == "http" for offer in self.offers.values()):
            counts = f"{self._count} done, {self.open_streams} open"
            if self._failed:
                counts += f", {self._failed} failed"
            facts.add_row("Requests", Text(counts))
            if self._last:
                parts += ["", self._requests()]
        return Group(*parts)

    def _add_service(self, facts: Table, offer: ServiceOffer) -> None:
        name = offer.name
        address = Text(self.addresses.get(name, "…"), style="bold cyan")
        if offer.private and name in self.addresses:
            address = Text(f"private: {way_to(offer)}", style="bold cyan")
        if name in self._refusals:
            facts.add_row(name, Text(f"refused: {self._refusals[name]}", style="red"))
        elif self.config.file:
            facts.add_row(name, address.append(f" -> {offer.upstream}", style="default not bold"))
        else:
            facts.add_row("Address", address)
            facts.add_row("Upstream", Text(offer.upstream))
        if name in self._troubles:
            facts.add_row("", Text(self._troubles[name], style="yellow"))

    def _requests(self) -> Table:
        lines = len(self.offers) * (1 if self.config.file else 2)
        lines += max(len(self._troubles) - 1, 0)
        if self.inspection is not None:
            lines += 1 + len(self.inspection.url) // max(self._console.width - 12, 1)
        room = max(self._console.height - _LINES_BESIDE - lines, 1)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(style="dim", no_wrap=True)
        if self.config.file:
            table.add_column(style="dim", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        for at, name, exchange in list(self._last)[-room:]:
            status = exchange.status
            table.add_row(
                time.strftime("%H:%M:%S", time.localtime(at)),
                *([Text(name)] if self.config.file else []),
                Text(printable(exchange.method)[:8]),
                Text(printable(exchange.target[:500])),
                Text(str(status or "-"), style=_STATUS_STYLES.get((status or 500) // 100, "")),
                for_people(exchange.seconds),
                filesize.decimal(exchange.size),
            )
        return table

    # -- the terminal

    def _take_terminal(self) -> None:
        """Keep what is typed from shifting the picture, and get it key by key."""
        try:
            modes = termios.tcgetattr(self.output.fileno())
            self._modes = list(modes)
            modes[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(self.output.fileno(), termios.TCSANOW, modes)
        except termios.error:
            self._modes = None

    def _give_terminal_back(self) -> None:
        # From the background, this would stop the program instead.
        if self._modes is not None and _in_foreground(self.output):
            termios.tcsetattr(self.output.fileno(), termios.TCSANOW, self._modes)


def _whole(seconds: float) -> str:
    return f"{int(seconds)} s" if seconds < 60 else for_people(seconds)
