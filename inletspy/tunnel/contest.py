"""What becomes of a name or port that others have when one more service wants it.

It is served together, taken over or left to those who have it. Whether the newcomer may
have it at all is decided before, see `grants`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from inletspy.errors import Code, Refused
from inletspy.policy.private import PrivateName
from inletspy.policy.routes import Claims, Route, Taken
from inletspy.tunnel.session import Service, Session

__all__ = ["Contest", "joining_hint"]

K = TypeVar("K", str, int, PrivateName)

#: How long a client has to answer before another of the same id takes its name.
_PROBE_SECONDS: Final = 2.0
#: Services that may have a name or a port together, at most.
_MAX_TOGETHER: Final = 32


class Contest:
    """Settles who has a name or a port.

    Args:
        release_all: takes back what the services of a session have.
    """

    def __init__(self, release_all: Callable[[Session], None]) -> None:
        self._release_all = release_all

    async def claim(
        self,
        claims: Claims[K, Service],
        key: K,
        service: Service,
        proof: Callable[[Session], bool],
    ) -> None:
        """Give a service a name, alone or together with others.

        Args:
            claims: know whose the name is.
            key: the name.
            service: whose it is to be.
            proof: whether the same client stands behind another session for certain.

        Raises:
            Refused: it stays others'.
        """
        # While those who have it are asked whether they live, somebody may be quicker.
        for _ in range(3):
            try:
                claims.claim(key, service.holder, service)
                return
            except Taken as error:
                route = error.route
            if await self.join(claims, route, service) is not None:
                return
            await self.take_over(service, route, proof)
        raise _taken(key)

    async def join(
        self, claims: Claims[K, Service], route: Route[K, Service], service: Service
    ) -> Route[K, Service] | None:
        """Give a service what others have, too, if all of them asked for that.

        Returns:
            None if they did not; then nothing has changed.

        Raises:
            Refused: they did, but can't have it together.
        """
        if route.holder is None or not route.holder.may_share(service.holder):
            return None
        for other in route.targets:
            # A client that comes again may have left a session that is dead unnoticed.
            # One that has no link yet is just being admitted.
            if (
                other.client_id == service.client_id
                and other.session.link is not None
                and not await _lives(other.session)
            ):
                self._oust(other)
        if claims.get(route.key) is not route:  # it is others' since
            return None
        others = route.targets
        code = Code.PORT_UNAVAILABLE if isinstance(route.key, int) else Code.HOSTNAME_TAKEN
        name = _shown(route.key)
        if any(other.rule != service.rule for other in others):
            raise Refused(
                code,
                f"those who serve {name} let other visitors in: to serve it together, all need "
                "the same options on who may visit",
            )
        if len(others) >= _MAX_TOGETHER:
            raise Refused(code, f"{len(others)} tunnels serve {name} already: end one first")
        try:
            joined = claims.claim(route.key, service.holder, service, join=True)
        except Taken:
            return None
        if others:  # whom one has let in, all have
            service.visitors = others[0].visitors
        return joined

    async def take_over(
        self, service: Service, route: Route[K, Service], proof: Callable[[Session], bool]
    ) -> None:
        """End the sessions that have a name or port, if a client may do that to its own.

        They must be proven to be the same client's, or dead.

        Args:
            service: whose it is to be.
            route: whose it is.
            proof: whether the same client stands behind another session for certain.

        Raises:
            Refused: it stays theirs.
        """
        if not route.targets:
            raise _taken(route.key, kept=True)
        for other in route.targets:
            old = other.session
            if old is service.session:
                raise _taken(route.key)
            if not proof(old):
                owner = service.session.owner
                if old.owner != owner or (owner.is_shared and other.client_id != service.client_id):
                    raise _taken(route.key, hint=joining_hint(service, other))
                if not old.draining and await _lives(old):
                    raise _taken(route.key, by=other, hint=joining_hint(service, other))
            self._oust(other)

    def _oust(self, other: Service) -> None:
        """Take from a service what it has, for a program of the same client."""
        old = other.session
        if old.draining:  # its streams may go on
            self._release_all(old)
        elif old.services.get(other.number) is other:
            old.end(Refused(Code.REPLACED, "another program of the same client took over"))


async def _lives(session: Session) -> bool:
    """Whether a session's client answers; it can't be asked while nobody reads from it."""
    link = session.link
    return link is not None and (link.reading_stopped or await link.probe(_PROBE_SECONDS))


def _shown(key: str | int | PrivateName) -> str:
    return key.name if isinstance(key, PrivateName) else str(key)


def _taken(
    key: str | int | PrivateName, *, by: Service | None = None, kept: bool = False, hint: str = ""
) -> Refused:
    """Why a client can't have a name.

    Args:
        key: the name.
        by: who serves it, where the client may know that.
        kept: whether it is kept for a client that is away.
        hint: what else the client may do; see `joining_hint`.
    """
    if by is not None:
        whose = "this client" if by.session.owner.is_shared else f"yours ({by.client_id})"
        text = (
            f"is served by another tunnel of {whose}: end that one, or choose another name "
            f"with --name{hint}"
        )
    elif kept:
        text = (
            "is kept for a client that was here a moment ago: choose another name with --name, "
            "or try again later"
        )
    else:
        text = f"is taken: choose another name with --name{hint}"
    return Refused(Code.HOSTNAME_TAKEN, f"{_shown(key)} {text}")


def joining_hint(service: Service, other: Service) -> str:
    """How a service could have what another has, too; empty if it never can."""
    sessions = service.session, other.session
    if sessions[0].owner != sessions[1].owner or any(s.mux_speaks_inlets for s in sessions):
        return ""
    return "; to serve it together, all need --share"
