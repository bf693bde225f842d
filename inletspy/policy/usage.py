"""What each owner has taken of the server, held against the owner's limits.

A `Usage` counts for one owner, or for one token that has limits of its own; `Usages` keeps
them all. Time comes from a function passed in. What is counted is not known here: sessions
and services are mere objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

from inletspy.errors import OverLimit
from inletspy.policy.limits import Limits
from inletspy.policy.quotas import Rate, Refusals
from inletspy.policy.tokens import Credential, Owner
from inletspy.wire.mux import StreamCount

__all__ = ["Usage", "Usages"]

#: So many seconds' worth of visitors' connections may come at once.
_BURST_SECONDS: Final = 10


class Usage:
    """What one owner has, or one token with limits of its own.

    Attributes:
        who: whose it is, in words.
        limits: in force.
        above: where its sessions count as well; None for nowhere.
        sessions: those that there are.
        services: those of these sessions.
        streams: counts theirs.
    """

    def __init__(self, who: str, now: Callable[[], float], refusals: Refusals) -> None:
        self.who = who
        self.limits = Limits()
        self.above: Usage | None = None
        self.sessions: set[Any] = set()
        self.services: set[Any] = set()
        self.streams = StreamCount(self._too_many_streams)
        self._now = now
        self._refusals = refusals
        self._connections = Rate()
        self._names = Rate()

    def limit(self, limits: Limits) -> None:
        """Put other limits in force; what is there already stays."""
        self.limits = limits
        self.streams.most = int(limits.streams)

    def take_session(self, session: Any) -> None:
        """Count a session; raises OverLimit if it is one too many."""
        most = self.limits.sessions
        if most and len(self.sessions) >= most and session not in self.sessions:
            raise self._over("sessions", f"{_many(most, 'client')} at once", "end one first")
        if self.above is not None:
            self.above.take_session(session)
        self.sessions.add(session)

    def move_session(self, session: Any, services: Iterable[Any], old: Usage) -> None:
        """Count what has been counted elsewhere, be it too much or not."""
        old.give_back_session(session)
        old.services.difference_update(services)
        self.sessions.add(session)
        self.services.update(services)
        if self.above is not None:
            self.above.sessions.add(session)

    def give_back_session(self, session: Any) -> None:
        """A session is over, or counts elsewhere; its services count until they are released."""
        self.sessions.discard(session)
        if self.above is not None:
            self.above.sessions.discard(session)

    def take_service(self, service: Any) -> None:
        """Count a service; raises OverLimit if it is one too many."""
        most = self.limits.services
        if most and len(self.services) >= most:
            raise self._over("services", f"{_many(most, 'service')} at once", "end one first")
        self.services.add(service)

    def take_name(self) -> None:
        """Count a new name; raises OverLimit if there were too many in the last hour."""
        most = self.limits.names_per_hour
        wait = self._names.take(self._now(), most / 3600, most) if most else 0.0
        if wait:
            seconds = math.ceil(wait)
            raise self._over(
                "names_per_hour",
                f"{_many(most, 'new name')} an hour",
                f"try again in {seconds} s",
                wait,
            )

    def take_connection(self) -> float:
        """Count a visitor's connection; gives the seconds to wait if it is one too many."""
        rate = self.limits.connections_per_second
        if not rate:
            return 0.0
        wait = self._connections.take(self._now(), rate, rate * _BURST_SECONDS)
        if wait:
            self._note("connections_per_second", f"{_many(rate, 'visitor')} a second")
        return wait

    @property
    def at_rest(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not (
            self.sessions
            or self.services
            or self.streams.count
            or self._names.full_at > self._now()
            or self._connections.full_at > self._now()
        )

    def _too_many_streams(self, together: bool) -> None:
        if together:
            self._note("streams", f"{_many(self.streams.most, 'stream')} at once")
        else:
            line = f"a client of {self.who} has as many streams as one may"
            self._refusals.note("streams_per_session", line, self.who)

    def _over(self, limit: str, what: str, remedy: str, wait: float = 0.0) -> OverLimit:
        self._note(limit, what)
        return OverLimit(f"{self.who} may have {what}: {remedy}", math.ceil(wait))

    def _note(self, limit: str, what: str) -> None:
        self._refusals.note(limit, f"{self.who} may have {what}, and wants more", self.who)


def _many(number: float, thing: str) -> str:
    return f"{number:g} {thing}" if number == 1 else f"{number:g} {thing}s"


class Usages:
    """What all owners have.

    Args:
        limits: an owner's by default.
        now: the present time in seconds.
        refusals: is told of limits that were reached.
    """

    def __init__(
        self, limits: Callable[[Owner], Limits], now: Callable[[], float], refusals: Refusals
    ) -> None:
        self.refusals = refusals
        self._limits = limits
        self._now = now
        self._usages: dict[Hashable, Usage] = {}

    def of(self, credential: Credential) -> Usage:
        """Where what comes with a credential is counted, with the limits in force now.

        A token with limits of its own is counted by itself, all others of an owner together.
        The sessions of an owner's share tokens are in all no more than the owner may have
        besides: who makes them could make any number.
        """
        owner, limits = credential.owner, self._limits(credential.owner)
        whose = "the shared token" if owner.is_shared else owner.name
        if not credential.limits:
            return self._usage(owner.name, whose, limits)
        who = f"{owner.name}'s token {credential.token}…"
        usage = self._usage(credential.digest, who, limits.but(credential.limits))
        if credential.reaches:
            together = Limits(sessions=limits.sessions)
            usage.above = self._usage(
                (owner.name, "guests"), f"all with share tokens of {whose}", together
            )
        return usage

    def _usage(self, key: Hashable, who: str, limits: Limits) -> Usage:
        usage = self._usages.get(key)
        if usage is None:
            usage = self._usages[key] = Usage(who, self._now, self.refusals)
        usage.limit(limits)
        return usage

    def expire(self) -> None:
        """Forget those of whom nothing is left."""
        for key in [key for key, usage in self._usages.items() if usage.at_rest]:
            del self._usages[key]

    def snapshot(self) -> dict[str, Any]:
        """What each has now, and how often each limit refused something since the start."""
        return {
            "refused": dict(sorted(self.refusals.counts.items())),
            "usage": [
                {
                    "of": usage.who,
                    "sessions": len(usage.sessions),
                    "services": len(usage.services),
                    "streams": usage.streams.count,
                }
                for usage in self._usages.values()
            ],
        }
