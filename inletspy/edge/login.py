"""A request that waits while its visitor's password is checked.

To the channel it is an exchange: it holds what comes of the body, ends when the visitor
goes, and gives its place to the real exchange, or to a page. Passwords are checked by
others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from inletspy.edge import pages
from inletspy.wire.http1 import NO_BODY, RequestHead

if TYPE_CHECKING:
    from inletspy.edge.channel import EdgeChannel
    from inletspy.edge.exchange import Exchange

__all__ = ["Login"]


class Login:
    """One such request; see `inletspy.edge.exchange.Exchange` for what it stands in for.

    Args:
        channel: the visitor's.
        request: its head.
        begin: begins the check; what it is called with, is to be told the outcome.
        admit: makes the exchange for a visitor who may come in; gives None if the service
            is over by then.
        refusal: the page for one who may not.
    """

    def __init__(
        self,
        channel: EdgeChannel,
        request: RequestHead,
        begin: Callable[[Callable[[bool], None]], None],
        admit: Callable[[], Exchange | None],
        refusal: pages.Page,
    ) -> None:
        self.request = request
        self.awaited = request.expects_continue
        self.sweeps = 0
        self.status = 0
        self._channel = channel
        self._begin = begin
        self._admit = admit
        self._refusal = refusal
        self._body: list[bytes] = []
        self._body_over = False
        self._over = False

    def start(self) -> None:
        """Begin the check; read no more of the body for its time."""
        if self.request.framing != NO_BODY:
            self._channel.pause_reading()
        self._begin(self._checked)

    def _checked(self, right: bool) -> None:
        if self._over:
            return
        self._over = True
        channel = self._channel
        channel.resume_reading()
        if not right:
            channel.answer_page(self._refusal)
            return
        exchange = self._admit()
        if exchange is None:
            channel.answer_page(pages.CLIENT_AWAY)
            return
        channel.replace_exchange(exchange)
        for data in self._body:
            exchange.body(data)
        if self._body_over:
            exchange.body_over()

    # -- what the channel tells

    def body(self, data: bytes) -> None:
        """What had come before reading was paused."""
        self.awaited = False
        self._body.append(data)

    def body_over(self) -> None:
        """The request is complete."""
        self._body_over = True

    def pause(self) -> None:
        """Nothing is on its way to the visitor yet."""

    def resume(self) -> None:
        """See `pause`."""

    def cancel(self) -> None:
        """The visitor has gone, or waits no longer."""
        self._over = True

    def keeps_waiting(self) -> None:
        """A second has gone by; nobody else could be asked."""

    def timed_out(self) -> None:
        """The check takes too long."""
        self._over = True
        self._channel.answer_page(pages.SIGNING_IN_BUSY)
