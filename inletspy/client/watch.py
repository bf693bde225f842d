"""Whether something listens where a tunnel leads to, for the person to know.

Looks once at the start and again after a dial has failed, then every second until
something listens. It carries no traffic and decides nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet import error as twisted_errors
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from inletspy.client.access import LOOPBACK
from inletspy.policy.addresses import UpstreamAddress

__all__ = ["UpstreamWatch", "listens_here", "look"]

#: Seconds between two looks while nothing listens, and how long a look may take.
INTERVAL: Final = 1.0
PATIENCE: Final = 5.0

_LISTEN: Final = "0A"
#: Loopback and unspecified addresses as the kernel writes them.
_OWN: Final = frozenset(
    (
        "0100007F",
        "00000000",
        "0" * 32,
        "00000000000000000000000001000000",
        "0000000000000000FFFF00000100007F",
    )
)


def listens_here(port: int, tables: Path = Path("/proc/net")) -> bool:
    """Whether some program on this machine is seen to listen on a loopback port.

    Seen without connecting: some programs take one connection only, or log each that
    says nothing. False also where the system does not tell.

    Args:
        port: the port.
        tables: the folder with the kernel's `tcp` and `tcp6`.
    """
    wanted = f"{port:04X}"
    for name in ("tcp", "tcp6"):
        try:
            lines = (tables / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split(maxsplit=4)
            if len(fields) > 3 and fields[3] == _LISTEN:
                address, _, number = fields[1].partition(":")
                if number == wanted and address in _OWN:
                    return True
    return False


def look(reactor: Any, address: UpstreamAddress) -> Deferred[None]:
    """Look whether something listens at an upstream.

    Args:
        reactor: to connect with.
        address: the upstream's.

    Returns:
        Fires if something does; fails with the reason why not.
    """
    host, port = address.host, address.effective_port
    if host in LOOPBACK and listens_here(port):
        return succeed(None)
    endpoint = HostnameEndpoint(reactor, host.encode(), port, timeout=PATIENCE)
    factory = Factory.forProtocol(Protocol)
    factory.noisy = False
    connecting: Deferred[Any] = endpoint.connect(factory)
    return connecting.addCallback(lambda protocol: protocol.transport.loseConnection())


class UpstreamWatch:
    """Knows whether an upstream listens, and tells when that changes.

    Args:
        clock: for the time between two looks.
        look: looks once; see the function of that name.
        down: is called when nothing listens: why, and whether it was a visitor's
            request that found out. At most once of each kind until it listens again.
        up: is called when it listens again.
    """

    def __init__(
        self,
        clock: IReactorTime,
        look: Callable[[], Deferred[None]],
        down: Callable[[str, bool], None],
        up: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._look = look
        self._down = down
        self._up = up
        self._is_down = False
        self._visitor_met_it = False
        self._stopped = False
        self._looking: Deferred[None] | None = None
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Look for the first time."""
        self._next = None
        self._looking = self._look()
        self._looking.addCallbacks(self._found, self._missed)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._looking is not None:
            self._looking.cancel()

    def failed(self, reason: str) -> None:
        """A visitor's request did not get through to the upstream.

        Args:
            reason: why, in plain words.
        """
        if self._stopped or self._visitor_met_it:
            return
        self._is_down = self._visitor_met_it = True
        self._down(reason, True)
        if self._looking is None and self._next is None:
            self._next = self._clock.callLater(INTERVAL, self.start)

    def answered(self) -> None:
        """The upstream has answered a request."""
        if self._is_down and not self._stopped:
            self._is_down = self._visitor_met_it = False
            if self._next is not None:
                self._next.cancel()
                self._next = None
            self._up()

    def _found(self, _: None) -> None:
        self._looking = None
        self.answered()

    def _missed(self, failure: Failure) -> None:
        self._looking = None
        if self._stopped:
            return
        self._next = self._clock.callLater(INTERVAL, self.start)
        if not self._is_down:
            self._is_down = True
            self._down(_why(failure), False)


def _why(failure: Failure) -> str:
    if failure.check(twisted_errors.ConnectionRefusedError):
        return "connection refused"
    if failure.check(twisted_errors.DNSLookupError):
        return "no such host"
    if failure.check(twisted_errors.TimeoutError):
        return "no answer"
    return failure.getErrorMessage()
