"""Where a database is: its URL, in the parts that libpq and people need.

Never shows the user or the password. Connects to nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from inletspy.errors import DatabaseUnavailable, UsageError

__all__ = ["Address"]


class Address:
    """The address of a database.

    Args:
        url: `postgresql://…`, as libpq reads it.

    Attributes:
        description: the database for people, as `name on host:port`.

    Raises:
        UsageError: the URL can't be read.
    """

    def __init__(self, url: str) -> None:
        try:
            self._parameters: dict[str, Any] = parse_dsn(url)
            host = self._parameters.get("host") or self._parameters.get("hostaddr", "")
            port = self._parameters.get("port", "")
            if "@" in host[1:] or port.strip("0123456789,"):
                raise psycopg2.ProgrammingError("the password has taken its place")
        except psycopg2.Error:
            # What libpq says here quotes parts of the URL, which may be the password's.
            raise UsageError(
                "the database's URL can't be read; it must be like"
                " postgresql://user:password@host/name, special characters percent-encoded"
            ) from None
        self._parameters.setdefault("application_name", "inletspy")
        self._parameters["client_encoding"] = "UTF8"
        self._host = str(self._parameters.get("host", ""))
        where = f"{host}:{port}" if port and not host.startswith("/") else host
        name = self._parameters.get("dbname", "the default database")
        self.description = f"{name} on {where or 'the local socket'}"

    def resolve(self, reactor: Any) -> Deferred[dict[str, Any]]:
        """The connection parameters, the host's name looked up.

        libpq would look it up itself, and block the reactor as long as that takes.

        Returns:
            Fires with them; fails with DatabaseUnavailable.
        """
        if "hostaddr" in self._parameters or not _is_name(self._host):
            return succeed(self._parameters)
        pool = reactor.getThreadPool()
        return deferToThreadPool(
            reactor, pool, socket.getaddrinfo, self._host, None, type=socket.SOCK_STREAM
        ).addCallbacks(self._resolved, self._not_resolved)

    def _resolved(self, found: list[tuple[Any, ...]]) -> dict[str, Any]:
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        hosts = ",".join([self._host] * len(addresses))
        return {**self._parameters, "host": hosts, "hostaddr": ",".join(addresses)}

    def _not_resolved(self, failure: Failure) -> dict[str, Any]:
        failure.trap(OSError)
        raise DatabaseUnavailable(f"{self._host} is not known by that name") from None


def _is_name(host: str) -> bool:
    """Whether it is the name of one host, not an address, a socket's folder or a list."""
    if not host or host.startswith(("/", "@")) or "," in host:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False
