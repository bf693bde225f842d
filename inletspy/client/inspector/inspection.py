"""The inspector as a whole: it captures what passes, and listens for who wants to see it.

This is where its parts meet, and all that the rest of the client knows of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from inletspy.client.inspector.captured import Recording
from inletspy.client.inspector.gate import Gate
from inletspy.client.inspector.settings import InspectSettings
from inletspy.client.inspector.store import Store
from inletspy.client.inspector.tunnel import Tunnel
from inletspy.errors import StartError
from inletspy.wire.control import ServiceOffer

__all__ = ["PORT", "InspectSettings", "Inspection"]

#: Where the inspector listens where nobody says, and how many ports after that are tried.
PORT: Final = 4040
_TRIES: Final = 20
_HOST: Final = "127.0.0.1"


class Inspection:
    """Captures and shows.

    Args:
        reactor: listens.
        settings: how.
        tunnel: what is carried.
        environ: the environment of the user, whose pinned requests are kept.
    """

    def __init__(
        self,
        reactor: Any,
        settings: InspectSettings,
        tunnel: Tunnel,
        environ: Mapping[str, str],
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._tunnel = tunnel
        self._environ = environ
        self._gate = Gate()
        self._store = Store(settings.body_limit, settings.memory_limit)
        self._factory = _Factory(self._site)
        self._listening: Any = None

    @property
    def url(self) -> str:
        """What a person opens to see it; a secret."""
        return self._gate.url

    def recorder(self, offer: ServiceOffer) -> Recording:
        """What keeps the exchanges of a service."""
        return self._store.recorder(offer)

    def open(self) -> None:
        """Listen from now on.

        Raises:
            StartError: that can't be had.
        """
        wanted = self._settings.port
        ports = (*range(PORT, PORT + _TRIES), 0) if wanted is None else (wanted,)
        for port in ports:
            try:
                self._listening = self._reactor.listenTCP(port, self._factory, interface=_HOST)
            except CannotListenError as error:
                reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
                fault = StartError(
                    f"the inspector can't listen on {_HOST}:{port}: {reason}; choose another "
                    "port with --inspect, or `--inspect off`"
                )
            else:
                self._gate.port = self._listening.getHost().port
                return
        raise fault

    def close(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.stopListening()
            self._listening = None
        self._factory.close()

    def _site(self) -> tuple[Any, Callable[[], None]]:
        from inletspy.client.inspector.api import Calls
        from inletspy.client.inspector.events import Audience
        from inletspy.client.inspector.pins import Pins, state_folder
        from inletspy.client.inspector.replay import Replays
        from inletspy.client.inspector.site import InspectorSite

        store = self._store
        audience = Audience(self._reactor, store, self._tunnel.config.rewriting, self._hello)
        replays = Replays(self._reactor, store)
        pins = Pins(store, state_folder(self._environ) / "pins")
        pins.load()
        calls = Calls(self._reactor, self._gate, store, audience, replays, pins, self._tunnel)

        def close() -> None:
            replays.close()
            audience.close()

        return InspectorSite(self._reactor, self._gate, calls), close

    def _hello(self) -> dict[str, Any]:
        return {
            "services": self._tunnel.services(),
            "first_n": self._store.first_n,
            "last_n": self._store.last_n,
        }


class _Factory(Factory):
    """Listens, and makes the site when the first one comes."""

    noisy = False

    def __init__(self, make: Callable[[], tuple[Any, Callable[[], None]]]) -> None:
        self._make = make
        self._site: Any = None
        self.close: Callable[[], None] = lambda: None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection comes."""
        if self._site is None:
            self._site, self.close = self._make()
        return self._site.buildProtocol(addr)
