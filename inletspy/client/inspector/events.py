"""What happens, told to who looks on as server-sent events (HTML, 9.2).

Nothing is noted while nobody looks. A reader that does not keep up gets the latest state
later, and never more than a bounded part of it at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from inletspy.answers import Problem
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.failures import Rewriting
from inletspy.client.inspector.store import Store
from inletspy.client.inspector.transcripts import MAX_MESSAGES, Transcript
from inletspy.client.inspector.views import summary

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["Audience"]

#: Seconds between two tellings, and tellings without news before a sign of life.
INTERVAL: Final = 0.25
_SILENT: Final = int(15 / INTERVAL)
#: What a telling may have: summaries, and who may look on at once.
MAX_TOLD: Final = 250
MAX_VIEWERS: Final = 16


class Audience:
    """All who look on.

    Args:
        reactor: for the time.
        store: what there is to see.
        rewriting: for advice in summaries.
        hello: what everybody is told first.
    """

    def __init__(
        self,
        reactor: Any,
        store: Store,
        rewriting: Rewriting,
        hello: Callable[[], dict[str, Any]],
    ) -> None:
        self._store = store
        self._rewriting = rewriting
        self._hello = hello
        self._viewers: list[_Viewer] = []
        self._loop = LoopingCall(self._tell)
        self._loop.clock = reactor

    def join(self, request: Request, captured: Captured | None) -> None:
        """Have a request's sender look on until it goes.

        Args:
            request: is answered with the events.
            captured: the exchange whose messages it wants as well.

        Raises:
            Problem: there are too many already.
        """
        if len(self._viewers) >= MAX_VIEWERS:
            raise Problem(429, "Too many", f"{MAX_VIEWERS} look on already", {"Retry-After": "5"})
        request.setHeader("Content-Type", "text/event-stream; charset=utf-8")
        request.setHeader("X-Accel-Buffering", "no")
        viewer = _Viewer(request, captured)
        self._viewers.append(viewer)
        request.registerProducer(viewer, True)
        request.notifyFinish().addBoth(lambda _: self._left(viewer))
        if self._store.changed is None:
            self._store.changed = {}
        viewer.send("hello", self._hello(), start="retry: 2000\n")
        if not self._loop.running:
            self._loop.start(INTERVAL, now=False)

    def close(self) -> None:
        """Send everybody away."""
        for viewer in list(self._viewers):
            viewer.request.unregisterProducer()
            viewer.request.finish()

    def cleared(self) -> None:
        """All that was not pinned is gone."""
        for viewer in self._viewers:
            viewer.pending.clear()
            viewer.send("hello", self._hello())

    def _left(self, viewer: _Viewer) -> None:
        self._viewers.remove(viewer)
        if not self._viewers:
            self._store.changed = None
            if self._loop.running:
                self._loop.stop()

    def _tell(self) -> None:
        changed, self._store.changed = self._store.changed, {}
        for viewer in list(self._viewers):
            viewer.pending.update(changed or {})
            viewer.tell(self._rewriting)


@implementer(IPushProducer)
class _Viewer:
    """One who looks on.

    Attributes:
        pending: what it was not told of yet.
    """

    def __init__(self, request: Request, captured: Captured | None) -> None:
        self.request = request
        self.pending: dict[int, Captured] = {}
        self._captured = captured
        self._transcript = None if captured is None else Transcript(captured)
        self._paused = False
        self._silent = 0

    def tell(self, rewriting: Rewriting) -> None:
        """Send what is new, if the reader takes it."""
        # More may come than is told, also to a reader that keeps up.
        self.pending = {n: one for n, one in self.pending.items() if not one.gone}
        if self._paused:
            return
        self._silent += 1
        if self.pending:
            newest = sorted(self.pending)[-MAX_TOLD:]
            told = [self.pending.pop(n) for n in newest]
            self.send("requests", {"requests": [summary(one, rewriting) for one in told]})
        if self._transcript is not None and self._captured is not None:
            messages = self._transcript.read()[-MAX_MESSAGES:]
            if messages:
                self.send("messages", {"request": self._captured.id, "messages": messages})
        if self._silent >= _SILENT:
            self._silent = 0
            self.request.write(b": still there\n\n")

    def send(self, event: str, data: Any, start: str = "") -> None:
        """Send one event."""
        self._silent = 0
        text = json.dumps(data, allow_nan=False)
        self.request.write(f"{start}event: {event}\ndata: {text}\n\n".encode("ascii"))

    def pauseProducing(self) -> None:
        """The reader does not keep up."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._paused = False

    def stopProducing(self) -> None:
        """It is gone."""
