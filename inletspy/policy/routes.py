"""Who holds which name and which port.

A claim gives one key (a hostname, a TCP port, a private name) to one target, first come
first served; others of its owner may join it where all of them asked for that. When the
last target goes, the key stays its holder's for a lease, so that nobody else slips in
while a client reconnects. Time comes from a function passed in; what a target is, and how
requests get there, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from inletspy.policy.private import PrivateName

__all__ = ["Claims", "Holder", "Route", "RouteTable", "Taken"]

K = TypeVar("K", str, int, PrivateName)
T = TypeVar("T")


@dataclass(frozen=True)
class Holder:
    """Whose a key is: a user's, or one client's of those with the shared token.

    Attributes:
        owner: whom the client acts for.
        client_id: which of the owner's clients it is.
        service: which of the client's services, where that counts.
        one_user: whether the owner is one user, and not all who have the shared token.
        shares: whether it asked to have the key together with others of its owner.
    """

    owner: str
    client_id: str
    service: str = ""
    one_user: bool = False
    shares: bool = field(default=False, compare=False)

    def may_become(self, other: Holder | None) -> bool:
        """Whether a key that is kept for this holder may be given to the other."""
        return self == other or (
            other is not None
            and self.owner == other.owner
            and ((self.one_user and other.one_user) or self.may_share(other))
        )

    def may_share(self, other: Holder | None) -> bool:
        """Whether both may have a key at once: they are one owner's, and asked for it."""
        return (
            other is not None
            and self.shares
            and other.shares
            and (self.owner, self.one_user) == (other.owner, other.one_user)
        )

    def akin(self, other: Holder | None) -> bool:
        """Whether the keys of both count together: one user's, or one client's."""
        return other is not None and (
            (self.owner, self.one_user) == (other.owner, other.one_user)
            and (self.one_user or self.client_id == other.client_id)
        )


class Route(Generic[K, T]):
    """A key that is somebody's.

    Attributes:
        key: the hostname, port or private name.
        holder: whose it stays while no target is there; None where it is nobody's then.
        target: where it leads, if that is one place; None while the client is away, and
            where there are several to choose from.
        targets: all of them, the one chosen longest ago first.
        until: when the lease ends that began with the last target's end, on the table's
            clock.
        past: what is remembered of the last target while there is none; of no matter here.
    """

    __slots__ = ("holder", "key", "past", "target", "targets", "until")

    def __init__(self, key: K, holder: Holder | None, target: T) -> None:
        self.key: K = key
        self.holder = holder
        self.target: T | None = target
        self.targets: tuple[T, ...] = (target,)
        self.until = 0.0
        self.past: Any = None

    def lead_to(self, *targets: T) -> None:
        """Lead to these from now on."""
        self.targets = targets
        self.target = targets[0] if len(targets) == 1 else None

    def choose(self, load: Callable[[T], Any], besides: Collection[T] = ()) -> T | None:
        """The target with the least load, and of several the one chosen longest ago.

        Args:
            load: can be compared with that of other targets.
            besides: targets that are not to be chosen.
        """
        candidates = [target for target in self.targets if target not in besides]
        if not candidates:
            return None
        chosen: T = min(candidates, key=load)
        self.targets = (*(target for target in self.targets if target != chosen), chosen)
        return chosen


class Taken(Exception):
    """The key is somebody else's.

    Attributes:
        route: the claim that stands in the way.
    """

    def __init__(self, route: Route[Any, Any]) -> None:
        super().__init__(f"{route.key} is taken")
        self.route = route


class Claims(Generic[K, T]):
    """One kind of keys and who holds them.

    Args:
        now: the present time in seconds.
        lease: how long a key stays its holder's without targets, in seconds.
    """

    def __init__(self, now: Callable[[], float], lease: Callable[[], float]) -> None:
        self._now = now
        self._lease = lease
        self._routes: dict[K, Route[K, T]] = {}

    def get(self, key: K) -> Route[K, T] | None:
        """The claim on `key`, be its targets there or away."""
        return self._routes.get(key)

    def claim(self, key: K, holder: Holder | None, target: T, *, join: bool = False) -> Route[K, T]:
        """Give `key` to `target`.

        Args:
            key: the hostname or port.
            holder: whose it is to be.
            target: where it is to lead.
            join: whether to have it together with the targets it leads to, if they may
                share it.

        Raises:
            Taken: it has a target, or is kept for another holder.
        """
        route = self._routes.get(key)
        if route is not None and route.targets:
            if not join or route.holder is None or not route.holder.may_share(holder):
                raise Taken(route)
            route.lead_to(target, *route.targets)
            return route
        new = Route(key, holder, target)
        if route is not None and route.holder is not None:
            if route.holder.may_become(holder):
                new.past = route.past
            elif self._now() < route.until:
                raise Taken(route)
        self._routes[key] = new
        return new

    def release(self, key: K, target: T) -> bool:
        """The target has gone; whether it was the last one.

        Of no effect if the key is another's by now.
        """
        route = self._routes.get(key)
        if route is None or target not in route.targets:
            return False
        route.lead_to(*(other for other in route.targets if other != target))
        if not route.targets:
            route.until = self._now() + self._lease()
        return not route.targets

    def free(self, key: K, target: T) -> None:
        """Take back a claim that came to nothing."""
        if self.release(key, target):
            del self._routes[key]

    def forget(self, key: K, but_for: Holder | None = None) -> None:
        """Keep a key without targets for nobody any more, or for `but_for` alone."""
        route = self._routes.get(key)
        if route is None or route.targets:
            return
        if but_for is None or route.holder is None or not route.holder.may_become(but_for):
            del self._routes[key]

    def kept_for(self, holder: Holder) -> K | None:
        """A key without targets that is kept for `holder`, if there is one."""
        now = self._now()
        for route in self._routes.values():
            if not route.targets and route.holder == holder and now < route.until:
                return route.key
        return None

    def keep_fewer(self, holder: Holder, most: int) -> None:
        """Have `holder` and its kin hold `most` keys together, if that many have no target.

        Those go whose lease ends first; a key with a target stays.
        """
        own = [route for route in self._routes.values() if holder.akin(route.holder)]
        away = sorted((r for r in own if not r.targets), key=lambda route: route.until)
        for route in away[: max(0, len(own) - most)]:
            del self._routes[route.key]

    def expire(self) -> bool:
        """Forget the claims whose lease is over; whether there were any."""
        now = self._now()
        over = [r for r in self._routes.values() if not r.targets and r.until <= now]
        for route in over:
            del self._routes[route.key]
        return bool(over)

    def kept(self) -> list[Route[K, T]]:
        """The claims without targets that are kept for somebody."""
        now = self._now()
        routes = self._routes.values()
        return [r for r in routes if not r.targets and r.holder is not None and now < r.until]

    def __iter__(self) -> Iterator[Route[K, T]]:
        return iter(tuple(self._routes.values()))


class RouteTable(Generic[T]):
    """Hostnames, TCP ports, private names and the takers of everything else.

    Attributes:
        names: claims on hostnames, lower case.
        ports: claims on TCP ports.
        private: claims on the names of private services.
    """

    def __init__(self, now: Callable[[], float], lease: Callable[[], float]) -> None:
        self.names: Claims[str, T] = Claims(now, lease)
        self.ports: Claims[int, T] = Claims(now, lease)
        self.private: Claims[PrivateName, T] = Claims(now, lease)
        self._catch_all: list[T] = []

    def add_catch_all(self, target: T) -> None:
        """Let `target` take requests for names that nobody serves, after those before it."""
        self._catch_all.append(target)

    def remove_catch_all(self, target: T) -> None:
        """Take that back; of no effect if it was not given."""
        if target in self._catch_all:
            self._catch_all.remove(target)

    @property
    def catch_all(self) -> T | None:
        """Who takes requests for names that nobody serves."""
        return self._catch_all[0] if self._catch_all else None

    @property
    def claims(self) -> tuple[Claims[Any, T], ...]:
        """All of them, by kind."""
        return self.names, self.ports, self.private

    def expire(self) -> bool:
        """Forget the claims whose lease is over; whether there were any."""
        over = [claims.expire() for claims in self.claims]
        return any(over)
