"""The client's session with a server, in the test's own process, and what a person is told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from inletspy.client.agent import StreamTap
from inletspy.client.dialer import Dialer, ProxyAddress
from inletspy.client.server import ServerAddress
from inletspy.errors import Refused
from inletspy.wire.control import Grant, ServiceOffer, ShareLink
from tests.peers import reactor, until
from tests.tunnel.plane import TOKEN

__all__ = ["WEB", "DialerTestCase", "Told"]

WEB = ServiceOffer("web", "http", "http://localhost:3000", hostname="app")


class Told:
    """What a person is told, in order.

    Attributes:
        events: kind and content of each.
        client_id: what the server lists the client as.
        tap: for new streams.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.client_id = ""
        self.tap: StreamTap | None = None
        self._seen = 0

    def listed(self, client_id: str) -> None:
        self.client_id = client_id

    def ready(self, grants: Sequence[Grant]) -> None:
        self.events.append(("ready", [grant.public_url for grant in grants]))

    def disconnected(self, reason: str, retry_in: float) -> None:
        self.events.append(("disconnected", reason, retry_in))

    def notice(self, text: str) -> None:
        self.events.append(("notice", text))

    def shared(self, link: ShareLink) -> None:
        self.events.append(("shared", link))

    def upstream_failed(self, service: str, reason: str) -> None:
        self.events.append(("upstream_failed", service, reason))

    def follow(self, service: str, visitor: str) -> StreamTap | None:
        self.events.append(("follow", service, visitor))
        return self.tap

    def service_added(self, grant: Grant) -> None:
        self.events.append(("added", grant.name, grant.public_url))

    def service_refused(self, error: Refused) -> None:
        self.events.append(("refused", error.service, error.code.value, str(error)))

    async def next(self, kind: str) -> tuple[Any, ...]:
        """The next event, which must be of that kind."""
        await until(lambda: len(self.events) > self._seen, f"told {kind!r}")
        event = self.events[self._seen]
        self._seen += 1
        if event[0] != kind:
            raise AssertionError(f"not {kind!r}, but {event}")
        return event


class DialerTestCase(TestCase):
    """Tests with a dialer that waits for nothing between its tries.

    Attributes:
        told: what its person is told.
        limits: the upper bounds of the waits so far, in seconds.
    """

    timeout = 60

    def setUp(self) -> None:
        self.told = Told()
        self.limits: list[float] = []
        self.dialer: Any = None
        self.reactor: Any = reactor

        def uniform(low: float, high: float) -> float:
            self.limits.append(high)
            return low

        self.patch(random, "uniform", uniform)

    def dial(
        self,
        url: str,
        *services: ServiceOffer,
        token: str = TOKEN,
        client_id: str = "client",
        protocol: str = "native",
        proxy: ProxyAddress | None = None,
        insecure: bool = False,
    ) -> Deferred[None]:
        """Run a dialer until it ends, or the test does; gives its result."""
        running = self.dialer = Dialer(
            self.reactor,
            ServerAddress.parse(url),
            token,
            client_id,
            services or (WEB,),
            self.told,
            protocol=protocol,
            proxy=proxy,
            insecure=insecure,
        )
        result = running.run()

        async def end() -> None:
            running._abort_links()  # a goodbye that a test does not answer would take seconds
            await running.stop()
            result.addErrback(lambda failure: None)  # of no interest to the test

        self.addCleanup(end)
        return result

    async def fails(self, running: Deferred[None], *kinds: type[Exception]) -> Any:
        """The error with which the dialer ends."""
        return await self.assertFailure(running, *kinds)
