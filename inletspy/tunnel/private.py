"""Private services: streams that one client opens to the service of another.

Such a service has no public name or port; what is reached is a service of the same
owner, whose session may come and go meanwhile. The server joins the stream of the one
client with one to the other, so that bytes, back-pressure and ends pass as between a
visitor and a service. Who has which private name, `grants` decides.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from inletspy.errors import ClientAway, Code, Refused, ResetCode, StreamReset
from inletspy.interfaces import ISettings
from inletspy.policy.names import check_label
from inletspy.policy.private import PrivateName
from inletspy.policy.routes import RouteTable
from inletspy.policy.sources import source_of
from inletspy.tunnel.metered import ConnectionEnd, ServiceEnd
from inletspy.tunnel.serverlink import ServerLink
from inletspy.tunnel.session import Service, Session
from inletspy.tunnel.splice import splice
from inletspy.wire.mux import MuxStream

__all__ = ["PrivateServices"]

_log = Logger()

#: What whoever connects is told of an end, for each code; texts of the other client may
#: name places in its network, and a guest need not know them.
_REASONS: Final = {
    ResetCode.REFUSED: "nothing listens behind it",
    ResetCode.UNREACHABLE: "what is behind it can't be reached",
    ResetCode.TIMEOUT: "what is behind it does not answer",
    ResetCode.CANCELLED: "the connection behind it was cut",
    ResetCode.LIMIT: "there are as many connections to it as there may be",
    ResetCode.INTERNAL: "internal error",
}


class _NearEnd(ConnectionEnd):
    """The stream of the client that connects."""

    def cut(self, reason: Failure) -> None:
        """Say to the client why its connection has failed."""
        stream: Any = self.transport
        error = reason.value
        code = error.code if isinstance(error, StreamReset) else ResetCode.INTERNAL
        stream.reset(code, _REASONS[code])


class PrivateServices:
    """How clients reach the private services of others.

    Args:
        routes: know who serves which name.
        settings: the settings in force.
    """

    def __init__(self, routes: RouteTable[Service], settings: ISettings) -> None:
        self._routes = routes
        self._settings = settings

    def connect(self, session: Session, name: str) -> int:
        """Let a client open streams to a private service of its owner.

        Args:
            session: the client's.
            name: the service's private name, as the client puts it.

        Returns:
            The number that the client's OPEN frames call it.

        Raises:
            Refused: there is no such service for this client, whatever others have; or it
                reaches as many as it may.
        """
        try:
            wanted = PrivateName(session.owner.name, check_label(name))
        except ValueError:
            wanted = None
        if (
            wanted is None
            or self._routes.private.get(wanted) is None
            or not session.credential.good_for_private(wanted.name)
        ):
            raise Refused(Code.NO_SUCH_SERVICE, f"there is no private service {name} of yours")
        for number, reached in session.reaches.items():
            if reached == wanted:
                return number
        limit = int(self._settings.current.services_per_session)
        if len(session.reaches) >= limit:
            raise Refused(Code.QUOTA, f"a client may connect to {limit} private services at most")
        number = next(number for number in count(1) if number not in session.reaches)
        session.reaches[number] = wanted
        _log.info(
            "client {client_id} connects to the private service {name} of {owner}",
            client_id=session.client_id,
            name=wanted.name,
            owner=wanted.owner,
        )
        return number

    def accept(self, session: Session, carried: MuxStream, number: int, visitor: str) -> None:
        """Join a stream that a client opens with one to the service that it names.

        See `inletspy.wire.mux.Accept`. What the client says of its own visitor is not
        passed on: all that is known of it is where its link comes from.

        Raises:
            StreamReset: there is no such service, or it is away.
        """
        reached = session.reaches.get(number)
        if reached is None:
            raise StreamReset(ResetCode.REFUSED, "no such private service")
        if session.draining:
            raise StreamReset(ResetCode.CANCELLED, "the server is going away")
        route = self._routes.private.get(reached)
        service = route.choose(Service.load) if route is not None else None
        try:
            if service is None:
                raise ClientAway
            far = ServiceEnd(service.traffic)
            near = _NearEnd(service)
            # Whoever got hold of a share token must not keep out the owner's visitors.
            usage = (session if session.credential.share_token else service.session).usage
            if usage is not None and usage.take_connection():
                raise StreamReset(ResetCode.LIMIT, _REASONS[ResetCode.LIMIT])
            source = self._source_of(session)
            service.connect(far, source)
        except ClientAway:
            reason = f"the client that serves {reached.name} is away"
            raise StreamReset(ResetCode.UNREACHABLE, reason) from None
        near.begin(far, source.rpartition(":")[0].strip("[]"))
        session.take_stream(carried, near, reached.name)
        splice(near, far)

    def _source_of(self, session: Session) -> str:
        """Where a session's link comes from, as a visitor's address; empty if unknown.

        The port says nothing: it is the link's, and a proxy's if there is one.
        """
        link = session.link
        if not isinstance(link, ServerLink):
            return ""
        forwarded_for = link.http_headers.get("x-forwarded-for", "")
        trusted = self._settings.current.trusted_proxies
        source = source_of(link.source, forwarded_for, trusted)
        port = getattr(link.transport.getPeer(), "port", 0)
        if source is None:
            return ""
        return f"[{source}]:{port}" if source.version == 6 else f"{source}:{port}"
