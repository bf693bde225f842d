"""What a client has the server serve, over all the links it ever has.

The services that a person wants may change at any time. Here they are brought into line
with what the server knows: by the greeting of a new link, by single requests on one that
is up. One that the server refused is left out of greetings, since a greeting is granted
whole or not at all, and asked for afterwards. How to get a link, and what to tell a
person, is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inletspy.errors import Code, ProtocolViolation, Refused
from inletspy.policy.addresses import UpstreamAddress
from inletspy.wire.control import Grant, ServiceOffer

__all__ = ["Offers", "OffersObserver", "Served"]


class OffersObserver(Protocol):
    """What the person's side is told about changes."""

    def service_added(self, grant: Grant) -> None:
        """A service was granted on a session that is up."""

    def service_refused(self, error: Refused) -> None:
        """A service was refused, and the others go on; `error.service` is which."""


@dataclass(frozen=True)
class Served:
    """A service as it was announced, and where it is."""

    offer: ServiceOffer
    address: UpstreamAddress

    @classmethod
    def of(cls, offer: ServiceOffer) -> Served:
        """What an offer stands for."""
        return cls(offer, UpstreamAddress.parse(offer.upstream))


class Offers:
    """The services that a client offers.

    Args:
        services: what is wanted at first.
        observer: is told what comes of later changes.
    """

    def __init__(self, services: Sequence[ServiceOffer], observer: OffersObserver) -> None:
        self._observer = observer
        self._wanted = {offer.name: offer for offer in services}
        #: Names of those that the server refused lately.
        self._refused: set[str] = set()
        #: What the server was asked for on this link, and not told to remove.
        self._announced: dict[str, Served] = {}
        #: What OPEN may name. One that was removed stays until the server has heard of it.
        self._numbers: dict[int, Served] = {}
        #: The name that the server has not answered about yet: one at a time, so that each
        #: answer is known to be about the present wish.
        self._asked = ""
        self._send: Callable[[dict[str, Any]], None] | None = None

    # -- what is wanted

    def want(self, services: Sequence[ServiceOffer]) -> None:
        """Have these served from now on, and no others; those in both go on untouched."""
        wanted = {offer.name: offer for offer in services}
        self._refused = {n for n in self._refused if wanted.get(n) == self._wanted.get(n)}
        self._wanted = wanted
        self._settle()

    def leave_out(self, name: str) -> bool:
        """Leave a service that was refused out of the next greeting.

        Returns:
            Whether there are any others that may still be granted.
        """
        if name not in self._announced or len(self._announced) < 2:
            return False
        self._refused.add(name)
        return True

    # -- a link's life

    def greeting(self) -> tuple[ServiceOffer, ...]:
        """What to announce on a new link."""
        self._announced = {
            name: Served.of(offer)
            for name, offer in self._wanted.items()
            if name not in self._refused
        }
        self._numbers = {}
        self._asked = ""
        return self.announced

    @property
    def announced(self) -> tuple[ServiceOffer, ...]:
        """What the server was asked for on the present link."""
        return tuple(served.offer for served in self._announced.values())

    def welcomed(self, grants: Sequence[Grant], send: Callable[[dict[str, Any]], None]) -> None:
        """The server has granted a greeting; ask for what was not in it.

        Args:
            grants: what it granted.
            send: sends a control message on this link.

        Raises:
            ProtocolViolation: something was not announced.
        """
        for grant in grants:
            self._number(grant)
        self._send = send
        self._settle()

    def lost(self) -> None:
        """The link is gone."""
        self._send = None

    def _settle(self) -> None:
        if self._send is None or self._asked:
            return
        for name, served in list(self._announced.items()):
            if self._wanted.get(name) != served.offer:
                del self._announced[name]
                self._send({"type": "remove_service", "name": name})
        for name, offer in self._wanted.items():
            if name not in self._announced:
                self._announced[name] = Served.of(offer)
                self._asked = name
                self._send({"type": "add_service", "service": offer.message()})
                return

    # -- what the server says

    def added(self, grant: Grant) -> None:
        """A service was granted; raises ProtocolViolation if none was asked for."""
        if grant.name != self._asked:
            raise ProtocolViolation("a service that was not asked for")
        self._number(grant)
        self._refused.discard(grant.name)
        if self._is_answered():
            self._observer.service_added(grant)
        self._settle()

    def refused(self, error: Refused) -> None:
        """A service was refused on a session that is up, or is served no longer."""
        if error.code is Code.CLOSED:
            self._closed(error)
            return
        if error.service != self._asked:
            return  # what was removed while it was added is no longer waited for
        self._refused.add(error.service)
        if self._is_answered():
            self._observer.service_refused(error)
        self._settle()

    def _closed(self, error: Refused) -> None:
        """One that was granted is served no longer: do without it until it is wanted anew."""
        name = error.service
        served = self._announced.get(name)
        is_up = served is not None and served in self._numbers.values()
        if served is None or not is_up or self._wanted.get(name) != served.offer:
            return  # it is to be removed anyway
        self.removed(name)
        del self._announced[name], self._wanted[name]
        self._observer.service_refused(error)

    def removed(self, name: str) -> None:
        """No more streams come to the service that had the name."""
        self._numbers = {n: s for n, s in self._numbers.items() if s.offer.name != name}

    def _is_answered(self) -> bool:
        """Take the question for answered; whether it is still of interest."""
        name, self._asked = self._asked, ""
        return self._wanted.get(name) == self._announced[name].offer

    def _number(self, grant: Grant) -> None:
        served = self._announced.get(grant.name)
        if served is None:
            raise ProtocolViolation("a service that was not announced")
        self._numbers[grant.number] = served

    # -- what streams lead to

    def numbered(self, number: int) -> Served | None:
        """The service of a number in OPEN."""
        return self._numbers.get(number)

    def dialled(self, place: str) -> Served | None:
        """The service at the place that a stock server dials, to the letter."""
        for served in self._announced.values():
            if served.address.authority == place:
                return served
        return None
