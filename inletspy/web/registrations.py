"""Tunnels that outside wrappers report, in one list with those this server runs.

Owns what a wrapper may register, within which limits and for how long. Keeps all of
it in memory: wrappers renew. Knows no HTTP, and of the tunnels that this server runs only what
`ITunnels` tells.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from inletspy.answers import InvalidRequest, Problem
from inletspy.interfaces import ITunnels
from inletspy.observers import Observers
from inletspy.policy.names import check_hostname
from inletspy.policy.tokens import SHARED
from inletspy.policy.traffic import Traffic
from inletspy.policy.visits import VisitRule
from inletspy.web.rows import timestamp
from inletspy.web.schemas import record, text

__all__ = [
    "CLIENT_LIMIT",
    "LIFETIME_SECONDS",
    "REGISTRATION",
    "SHARED_LIMIT",
    "TOTAL_LIMIT",
    "USER_LIMIT",
    "Registration",
    "Registrations",
]


#: A registration that is not renewed for so long is gone.
LIFETIME_SECONDS: Final = 60.0
#: Registrations at once: in all, of one user, of all with the shared token (which may stand
#: for a whole platform), and of one client.
TOTAL_LIMIT: Final = 10_000
USER_LIMIT: Final = 1_000
SHARED_LIMIT: Final = 5_000
CLIENT_LIMIT: Final = 64

#: What a wrapper posts; further fields don't matter.
REGISTRATION: Final = record(
    {
        "hostname": text("The public name.", most=253),
        "public_url": text("The public address, http(s) or tcp.", most=2048),
        "upstream": text("The service behind it, as shown to people.", most=512),
        "client_id": text("Whose it is, in the platform's terms.", most=256),
    },
    {
        "status": {"enum": ["active"]},
        "connected_at": {
            "type": ["string", "null"],
            "description": "Since when; renewals keep the first.",
            "format": "date-time",
        },
    },
)

#: The characters of a URI (RFC 3986, 2).
_URI: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


@dataclass(frozen=True)
class Registration:
    """One tunnel that a wrapper reports.

    Attributes:
        hostname: the public name.
        public_url: the public address, http(s) or tcp.
        upstream: the service behind it, as shown to people.
        client_id: whose it is, in the platform's terms.
        connected_at: since when, in UTC, if the wrapper says so.
    """

    hostname: str
    public_url: str
    upstream: str
    client_id: str
    connected_at: datetime | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Registration:
        """The registration that a body stands for, which is as `REGISTRATION` has it.

        Raises:
            InvalidRequest: a field is malformed.
        """
        texts = {name: _printable(body, name) for name in REGISTRATION["required"]}
        try:
            texts["hostname"] = check_hostname(texts["hostname"])
        except ValueError as error:
            raise InvalidRequest(f"hostname: {error}") from error
        _check_public_url(texts["public_url"])
        return cls(**texts, connected_at=_moment(body.get("connected_at")))


def _printable(body: Mapping[str, Any], name: str) -> str:
    value: str = body[name]
    if not value.isprintable():
        raise InvalidRequest(f"{name} has characters that can't be shown")
    return value


def _check_public_url(text: str) -> None:
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https", "tcp") and bool(url.hostname)
        good = good and url.username is None and (url.scheme != "tcp" or url.port is not None)
        good = good and url.port != 0 and _URI.fullmatch(text) is not None
    except ValueError:
        good = False
    if not good:
        raise InvalidRequest(
            "public_url must be like https://name.example.com or tcp://example.com:30000"
        )


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest("connected_at must be like 2031-01-31T12:00:00Z") from None


#: Owner, client and upstream: one owner's registration never renews another's.
_Key = tuple[str, str, str]


@implementer(ITunnels)
class Registrations:
    """All tunnels there are: those that this server runs, then the registered ones.

    Where a registration is of the same client and upstream as a tunnel of this
    server, only the tunnel counts.
    """

    def __init__(self, live: ITunnels, clock: IReactorTime) -> None:
        """Follow the tunnels of this server.

        Args:
            live: the tunnels that this server runs.
            clock: tells the time since the epoch (as reactors do) and when time is up.
        """
        self._live = live
        self._clock = clock
        self._observers: Observers[[]] = Observers()
        self._rows: dict[_Key, dict[str, Any]] = {}
        self._counts: Counter[str] = Counter()
        self._of_clients: defaultdict[tuple[str, str], set[_Key]] = defaultdict(set)
        #: When each is gone; the next to go comes first, since a renewal moves to the end.
        self._deadlines: dict[_Key, float] = {}
        self._expiry: IDelayedCall | None = None
        self._stop_following = live.subscribe(self._observers.tell)

    def stop(self) -> None:
        """Follow and expire nothing more."""
        self._stop_following()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def rows(self) -> list[dict[str, Any]]:
        """One JSON-ready object per tunnel service; see `ITunnels`."""
        live = self._live.rows()
        running = {(row["owner"], row["client_id"], row["upstream"]) for row in live}
        return live + [row for key, row in self._rows.items() if key not in running]

    def away(self) -> list[dict[str, Any]]:
        """Names and ports that are kept; see `ITunnels`."""
        return self._live.away()

    def traffic(self) -> Mapping[str, Traffic]:
        """What passes through the tunnels of this server; see `ITunnels`."""
        return self._live.traffic()

    def subscribe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` after every change of `rows()`; returns what ends that."""
        return self._observers.subscribe(observer)

    def close(self, id: str) -> bool:
        """End the tunnel of that id, or drop the registration; see `ITunnels`."""
        keys = [key for key, row in self._rows.items() if row["id"] == id]
        self._drop(keys)
        return bool(keys) or self._live.close(id)

    def rule(self, id: str) -> VisitRule | None:
        """Who may visit a tunnel; not known of a registered one; see `ITunnels`."""
        return self._live.rule(id)

    def register(self, owner: str, registration: Registration) -> None:
        """Add a registration, or renew the one of the same client and upstream.

        Args:
            owner: the name of the owner who registers.
            registration: what to show; a renewal keeps the first `connected_at`.

        Raises:
            Problem: 429, there are too many.
        """
        key = (owner, registration.client_id, registration.upstream)
        now = self._clock.seconds()
        known = self._rows.get(key)
        if known is None:
            self._check_room(key)
            moment = datetime.fromtimestamp(now, UTC)
            since = timestamp(min(registration.connected_at or moment, moment))
        else:
            since = known["connected_at"]
        row = {
            "id": secrets.token_hex(8) if known is None else known["id"],
            "hostname": registration.hostname,
            "public_url": registration.public_url,
            "upstream": registration.upstream,
            "client_id": registration.client_id,
            "connected_at": since,
            "status": "active",
            "owner": owner,
        }
        self._rows[key] = row
        if known is None:
            self._counts[owner] += 1
            self._of_clients[key[:2]].add(key)
        self._deadlines.pop(key, None)
        self._deadlines[key] = now + LIFETIME_SECONDS
        self._await_expiry()
        if row != known:
            self._observers.tell()

    def forget(self, owner: str, client_id: str) -> None:
        """Drop all registrations that `owner` made for a client, if there are any."""
        self._drop(self._of_clients.get((owner, client_id), ()))

    def keep_users(self, users: Container[str]) -> None:
        """Drop all registrations of users that there are no more."""
        gone = {o for o in self._counts if o != SHARED.name and o not in users}
        self._drop([key for key in self._rows if key[0] in gone])

    def _check_room(self, key: _Key) -> None:
        owner, client = key[0], key[:2]
        most = SHARED_LIMIT if owner == SHARED.name else USER_LIMIT
        if len(self._of_clients.get(client, ())) >= CLIENT_LIMIT:
            detail = f"This client has {CLIENT_LIMIT} already"
        elif self._counts[owner] >= most:
            who = "All with the shared token" if owner == SHARED.name else "This user"
            detail = f"{who} may have {most}: drop some first"
        elif len(self._rows) >= TOTAL_LIMIT:
            detail = f"There are {TOTAL_LIMIT} already"
        else:
            return
        raise Problem(429, "Too many registrations", detail)

    def _drop(self, keys: Collection[_Key]) -> None:
        keys = tuple(keys)
        for key in keys:
            del self._rows[key], self._deadlines[key]
            self._counts[key[0]] -= 1
            of_client = self._of_clients[key[:2]]
            of_client.remove(key)
            if not of_client:
                del self._of_clients[key[:2]]
            if not self._counts[key[0]]:
                del self._counts[key[0]]
        if keys:
            self._observers.tell()

    def _await_expiry(self) -> None:
        if self._expiry is None and self._deadlines:
            first = next(iter(self._deadlines.values()))
            delay = max(0.0, first - self._clock.seconds())
            self._expiry = self._clock.callLater(delay, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = self._clock.seconds()
        self._drop(list(takewhile(lambda key: self._deadlines[key] <= now, self._deadlines)))
        self._await_expiry()
