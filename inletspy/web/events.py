"""`/api/events`: what happens among the tunnels, as server-sent events (HTML Standard, 9.2).

Owns the streams: who may have how many, what each is sent and when, and that one that is
read too slowly costs no more than others. What there is to tell, `feed` knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from inletspy.answers import Problem
from inletspy.errors import NotThere
from inletspy.interfaces import ITunnels
from inletspy.policy.sources import UNIX, block_of
from inletspy.policy.traffic import Traffic
from inletspy.web.access import Access, Caller
from inletspy.web.calls import Asked, Call, Ongoing
from inletspy.web.feed import Feed, encoded
from inletspy.web.traffic import as_shown

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request

__all__ = ["EventCalls"]

_log = Logger()

#: Seconds between two looks at what has changed.
_PERIOD: Final = 1.0
#: Seconds between two words on the server's health.
_HEALTH_PERIOD: Final = 5
#: After so many seconds without an event, a comment shows that the stream is alive.
_QUIET: Final = 15
#: For so many seconds a reader may take nothing.
_SLOW: Final = 30
#: After so many milliseconds a browser tries again.
_RETRY: Final = 2000
#: Streams at once: of one token from one address, and in all.
_MOST: Final = 16
_MOST_IN_ALL: Final = 1000

_DESCRIPTION: Final = """\
Server-sent events. First `tunnels` with all rows of `/api/tunnels?away=true` in `tunnels`; then \
`changes`, once a second at most, with the rows that are new or have changed in `changed`, and \
the ids that are gone in `gone`. With `admin` also `health`, as `/api/health` has it. With \
`tunnel` also `requests`, with the new ones of that tunnel in `requests`. `bye` says in `reason` \
why the server ends it."""


class EventCalls:
    """The call, and the streams that there are.

    Args:
        tunnels: what they tell of.
        access: knows whose they are, and for how long.
        condition: how the server is, as `/api/health` has it.
        clock: tells the time since the epoch (as reactors do), and when to look.
    """

    def __init__(
        self,
        tunnels: ITunnels,
        access: Access,
        condition: Callable[[], Mapping[str, Any]],
        clock: IReactorTime,
    ) -> None:
        self.access = access
        self.feed = Feed(tunnels, clock.seconds)
        self.now = clock.seconds
        self._condition = condition
        self._clock = clock
        self._streams: set[_Stream] = set()
        self._counts: Counter[Hashable] = Counter()
        self._next: IDelayedCall | None = None
        #: How the server is, and until when that is news.
        self._health = b""
        self._health_until = 0.0

    def calls(self) -> list[Call]:
        """The calls."""
        return [
            Call(
                "GET",
                "/api/events",
                self.open,
                "What changes among the caller's tunnels, as it happens",
                {"type": "string", "description": _DESCRIPTION},
                scopes=("status",),
                query={"tunnel": "The id of one whose requests are told of, too."},
                errors={
                    404: "There is no such tunnel, or it is somebody else's.",
                    429: "Too many streams, or wrong tokens from this address.",
                },
                media_type="text/event-stream",
            )
        ]

    def open(self, asked: Asked) -> Ongoing:
        """A stream for the caller.

        Raises:
            Problem: 429, there are too many.
        """
        caller = asked.caller
        address = block_of(str(getattr(asked.request.getClientAddress(), "host", UNIX)))
        stream = _Stream(self, caller, (caller.credential.digest, caller.owner.name, address))
        if self._counts[stream.key] >= _MOST or len(self._streams) >= _MOST_IN_ALL:
            detail = f"One token may have {_MOST} from one address: close others first"
            raise Problem(429, "Too many streams", detail, {"Retry-After": str(_RETRY // 1000)})
        self.feed.look()
        tunnel = asked.parameters.get("tunnel")
        if tunnel is not None:
            if not self.feed.has(tunnel, stream.owner):
                raise NotThere
            stream.watch(self.feed.traffic(tunnel))
        return stream

    def health(self) -> bytes:
        """How the server is."""
        if self.now() >= self._health_until:
            self._health = encoded(self._condition())
            self._health_until = self.now() + _HEALTH_PERIOD
        return self._health

    def began(self, stream: _Stream) -> None:
        """A stream is open."""
        self._streams.add(stream)
        self._counts[stream.key] += 1
        if self._next is None:
            self._next = self._clock.callLater(_PERIOD, self._turn)

    def over(self, stream: _Stream) -> None:
        """A stream has ended; of no effect if it had before."""
        if stream not in self._streams:
            return
        self._streams.discard(stream)
        self._counts[stream.key] -= 1
        if not self._counts[stream.key]:
            del self._counts[stream.key]
        if not self._streams and self._next is not None:
            self._next.cancel()
            self._next = None
            self.feed.rest()

    def _turn(self) -> None:
        self._next = self._clock.callLater(_PERIOD, self._turn)
        self.feed.look()
        for stream in tuple(self._streams):
            try:
                stream.turn()
            except Exception:  # one reader's trouble must not keep the others waiting
                _log.failure("A stream of events failed")
                stream.cut()


@implementer(IPushProducer)
class _Stream(Ongoing):
    """One reader.

    Attributes:
        key: by what streams are counted.
        owner: whose tunnels it tells of; None for everybody's.
    """

    def __init__(self, events: EventCalls, caller: Caller, key: Hashable) -> None:
        self.key = key
        self.owner = None if caller.sees_all else caller.owner.name
        self._events = events
        self._caller = caller
        self._request: Request
        self._traffic: Traffic | None = None
        #: The number of the last request that was told of.
        self._told = 0
        #: The look that the reader knows the outcome of.
        self._look = 0
        self._health = b""
        self._wrote_at = 0.0
        #: Since when the reader takes nothing; None while it does.
        self._full_since: float | None = None

    def watch(self, traffic: Traffic | None) -> None:
        """Tell of the requests that come from now on, where they are known."""
        self._traffic = traffic
        self._told = traffic.noted if traffic is not None else 0

    def begin(self, request: Request) -> None:
        """Answer, and go on until somebody ends it."""
        self._request = request
        request.setHeader("Content-Type", "text/event-stream; charset=utf-8")
        request.setHeader("X-Accel-Buffering", "no")  # else nginx keeps it back
        if request.method == b"HEAD":
            request.finish()
            return
        request.notifyFinish().addErrback(self._lost)
        request.registerProducer(self, True)
        self._events.began(self)
        feed = self._events.feed
        self._look = feed.looks
        rows = b",".join(feed.all(self.owner))
        self._write(b"retry: %d\n\n" % _RETRY + _event(b"tunnels", b'{"tunnels":[%b]}' % rows))
        if self._caller.sees_all:
            self._tell_health()

    def turn(self) -> None:
        """A second has gone by."""
        events = self._events
        caller = events.access.renewed(self._caller)
        good = caller is not None and caller.credential.allows("status")
        if caller is None or not good or caller.sees_all != self._caller.sees_all:
            self._say_goodbye("the token, or what it was signed in with, is good no longer")
            return
        now = events.now()
        if self._full_since is not None:
            if now - self._full_since >= _SLOW:
                self.cut()
            return
        changed, gone = events.feed.changes(self.owner, self._look)
        self._look = events.feed.looks
        if changed or gone:
            data = b'{"changed":[%b],"gone":%b}' % (b",".join(changed), encoded(gone))
            self._write(_event(b"changes", data))
        self._tell_requests()
        if caller.sees_all:
            self._tell_health()
        if now - self._wrote_at >= _QUIET:
            self._write(b": \n\n")

    def _tell_requests(self) -> None:
        if self._traffic is None or self._traffic.noted == self._told:
            return
        requests = [as_shown(passage) for passage in self._traffic.passages(self._told)]
        self._told = self._traffic.noted
        self._write(_event(b"requests", encoded({"requests": requests})))

    def _tell_health(self) -> None:
        health = self._events.health()
        if health is not self._health:
            self._health = health
            self._write(_event(b"health", health))

    def _say_goodbye(self, reason: str) -> None:
        self._write(_event(b"bye", encoded({"reason": reason})))
        self._events.over(self)
        self._request.unregisterProducer()
        self._request.finish()

    def _write(self, data: bytes) -> None:
        self._wrote_at = self._events.now()
        self._request.write(data)

    def cut(self) -> None:
        """End it at once; a reader that is still there comes again."""
        self._events.over(self)
        transport: Any = self._request.channel.transport
        transport.abortConnection()

    def _lost(self, _: Failure) -> None:
        self._events.over(self)

    # -- IPushProducer

    def pauseProducing(self) -> None:
        """The reader takes no more for now."""
        if self._full_since is None:
            self._full_since = self._events.now()

    def resumeProducing(self) -> None:
        """It takes more again."""
        self._full_since = None

    def stopProducing(self) -> None:
        """It is gone."""
        self._events.over(self)


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, data)
