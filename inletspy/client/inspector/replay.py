"""Requests that are sent to the upstream again, straight from this machine.

Each is captured like those of visitors, by the same follower. What the upstream answers is
for the inspector alone; how long and how much that may be is bounded.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from inletspy.answers import Problem
from inletspy.client.inspector.captured import Captured, Recording
from inletspy.client.inspector.store import Store
from inletspy.client.relay import Relay, explain
from inletspy.client.requests import RequestFollower
from inletspy.policy.addresses import UpstreamAddress
from inletspy.wire.control import ServiceOffer

__all__ = ["Replays"]

#: Seconds that an upstream may be silent, and that a replay may take; bytes of an answer.
SILENCE: Final = 30.0
PATIENCE: Final = 120.0
MAX_ANSWER: Final = 64 << 20
#: Replays at once.
MAX_OPEN: Final = 16


class Replays:
    """Sends requests again.

    Args:
        reactor: connects.
        store: keeps them.
    """

    def __init__(self, reactor: Any, store: Store) -> None:
        self._reactor = reactor
        self._store = store
        self._relay = Relay(reactor)
        self._open: set[_Replay] = set()

    def send(self, service: ServiceOffer, request: bytes, original: Captured) -> Captured:
        """Send a request.

        Args:
            service: where to.
            request: all of it.
            original: what it repeats.

        Returns:
            It, captured; it is under way.

        Raises:
            Problem: too many are under way.
        """
        if len(self._open) >= MAX_OPEN:
            raise Problem(429, "Too many", f"{MAX_OPEN} are under way", {"Retry-After": "1"})
        address = UpstreamAddress.parse(service.upstream)
        recorder = _Recorder(self._store, service, original.id)
        replay = _Replay(self._reactor, address, request, original.visitor, recorder, self._over)
        self._open.add(replay)
        dialling = self._relay.dial(address, replay, tls=address.scheme == "https")
        dialling.addErrback(replay.not_connected)
        return recorder.replay

    def close(self) -> None:
        """Give up those that are under way."""
        for replay in list(self._open):
            replay.give_up("cut", "the tunnel ended")

    def _over(self, replay: _Replay) -> None:
        self._open.discard(replay)


class _Recorder(Recording):
    """Keeps one replay."""

    replay: Captured

    def begin(self, head: bytes, visitor: str, at: float) -> Captured:
        """See `Recording`."""
        self.replay = super().begin(head, visitor, at)
        return self.replay


class _Replay(Protocol):
    """The connection that one replay takes."""

    def __init__(
        self,
        reactor: Any,
        address: UpstreamAddress,
        request: bytes,
        visitor: str,
        recorder: _Recorder,
        over: Any,
    ) -> None:
        self._address = address
        self._place = address.authority
        self._request = request
        self._recorder = recorder
        self._over = over
        self._is_over = False
        self._follower = RequestFollower(reactor.seconds, visitor, None, lambda: None, recorder)
        self._follower.from_visitor(request)
        self._silence: IDelayedCall = reactor.callLater(SILENCE, self._silent)
        self._end: IDelayedCall = reactor.callLater(
            PATIENCE, self.give_up, "cut", f"it was given up after {PATIENCE:.0f} seconds"
        )

    def connectionMade(self) -> None:
        """Send the request."""
        transport: Any = self.transport
        if self._is_over:
            transport.abortConnection()
            return
        transport.write(self._request)
        self._request = b""

    def dataReceived(self, data: bytes) -> None:
        """Take a piece of the answer."""
        if self._is_over:
            return
        self._silence.reset(SILENCE)
        self._follower.from_upstream(data)
        captured = self._recorder.replay
        if captured.ended is not None:
            self.give_up("", "")
        elif captured.answer_size > MAX_ANSWER:
            self.give_up("cut", f"the answer has more than {MAX_ANSWER >> 20} MiB")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The upstream has ended the connection."""
        if reason.check(ConnectionDone):
            self.give_up("closed", f"{self._place} closed the connection")
        elif reason.check(SSL.Error):
            self.give_up("tls", f"{self._place} does not speak TLS")
        else:
            self.give_up("reset", f"{self._place} broke the connection off")

    def not_connected(self, failure: Failure) -> None:
        """There is no connection."""
        _, kind, reason = explain(failure, self._address)
        self.give_up(kind, reason)

    def _silent(self) -> None:
        self.give_up("silent", f"{self._place} sent nothing for {SILENCE:.0f} seconds")

    def give_up(self, kind: str, reason: str) -> None:
        """End it, for a reason that counts if the answer is not complete."""
        if self._is_over:
            return
        self._is_over = True
        for call in (self._silence, self._end):
            if call.active():
                call.cancel()
        if kind:
            self._follower.upstream_ended(kind, reason)
        self._follower.closed()
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        self._over(self)
