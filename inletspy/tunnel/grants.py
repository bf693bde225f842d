"""Names and ports for services: giving them, keeping them, and taking them back.

Applies the rules of `policy` to what a client asks for. What becomes of a name that
others have, `contest` settles; which sessions there are, and when one may come in,
`admission` decides.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import CannotListenError

from inletspy.errors import Code, Refused
from inletspy.interfaces import IAccounts, ISettings
from inletspy.policy import names
from inletspy.policy.ownership import NameRules
from inletspy.policy.private import PRIVATE, PrivateName
from inletspy.policy.routes import Claims, Route, RouteTable, Taken
from inletspy.policy.tokens import Credential, Owner
from inletspy.tunnel.contest import Contest, joining_hint
from inletspy.tunnel.session import Service, Session

__all__ = ["Grants", "PublicAddress", "PublicPorts"]


class PublicPorts(Protocol):
    """Opens public TCP ports; the edge does."""

    def open(self, port: int, route: Route[int, Service]) -> None:
        """Forward connections to `port` to the route's services; raises CannotListenError."""

    def close(self, port: int) -> None:
        """Take no more connections on `port`; those that are there go on."""


class PublicAddress(Protocol):
    """How the outside sees the server."""

    def http_url(self, hostname: str) -> str:
        """Where visitors reach `hostname`."""

    def tcp_url(self, port: int) -> str:
        """Where visitors reach a public TCP port."""


class Grants:
    """Gives services what they ask for, as far as it may be theirs.

    Args:
        settings: the settings in force.
        accounts: the users and their names.
        routes: where visitors' requests go.
        ports: opens public TCP ports.
        address: how the outside sees the server.
    """

    def __init__(
        self,
        settings: ISettings,
        accounts: IAccounts,
        routes: RouteTable[Service],
        ports: PublicPorts,
        address: PublicAddress,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._routes = routes
        self._ports = ports
        self._address = address
        self._contest = Contest(self.release_all)

    async def grant(self, service: Service, proof: Callable[[Session], bool]) -> None:
        """Give a service its name or port, and what was counted under it before.

        Args:
            service: gets `public_url` and what goes with it.
            proof: whether the same client stands behind another session for certain.

        Raises:
            Refused: it can't have one.
        """
        if service.offer.private:
            await self._grant_private(service, proof)
        elif service.offer.proto == "tcp":
            await self._grant_port(service, proof)
        else:
            await self._grant_name(service, proof)
        claims, key = self._claim_of(service)
        route = claims.get(key)
        if route is not None and route.past is not None:
            service.resume(route.past)
            route.past = None

    def _claim_of(self, service: Service) -> tuple[Claims[Any, Service], Any]:
        """By what a service is reached, and the claims that this is among."""
        if service.private is not None:
            return self._routes.private, service.private
        if service.port:
            return self._routes.ports, service.port
        return self._routes.names, service.hostname

    def objection(self, service: Service) -> Refused | None:
        """Why a service may keep its name or port no longer; None if it may."""
        credential = service.session.credential
        if service.private is not None:
            return self._private_objection(credential, service.private.name)
        if service.port:
            if credential.ports is not None and service.port not in credential.ports:
                return Refused(
                    Code.PORT_UNAVAILABLE, f"the token is not good for port {service.port} any more"
                )
            return None
        return self._rules.objection(credential, service.hostname) if service.hostname else None

    def release_all(self, session: Session) -> None:
        """Take back what the services of a session have."""
        for service in session.services.values():
            self.release(service)
        session.services.clear()

    def release(self, service: Service) -> None:
        """Take back what a service has; it is kept for its owner for a while."""
        usage = service.session.usage
        if usage is not None:
            usage.services.discard(service)
        past = service.cease()
        claims, key = self._claim_of(service)
        if claims.release(key, service):
            route = claims.get(key)
            if route is not None and service.public_url:
                route.past = past
            if service.port:
                self._ports.close(service.port)
        self._routes.remove_catch_all(service)
        if service.pool is not None:
            service.pool.close()

    @property
    def _rules(self) -> NameRules:
        settings = self._settings.current
        return NameRules(
            self._accounts.current,
            settings.tunnel_base_domain,
            settings.custom_domains_enabled,
            settings.refused_names,
            settings.own_hosts,
        )

    # -- names

    async def _grant_name(self, service: Service, proof: Callable[[Session], bool]) -> None:
        session, rules = service.session, self._rules
        wanted = service.offer.hostname
        derived = service.offer.derived or (
            session.mux_speaks_inlets and _names_a_container(wanted, rules.base_domain)
        )
        service.hostname = hostname = rules.grant(session.credential, wanted, derived=derived)
        if not session.identified:
            container = names.container_of(hostname, rules.base_domain)
            service.client_id = self._accounts.current.own_client_id(
                session.owner, container or session.client_id, derived=True
            )
        if session.usage is not None and self._routes.names.get(hostname) is None:
            session.usage.take_name()
        if rules.user_of(hostname) == session.owner.name:
            # It may be kept for somebody since before it became this user's.
            self._routes.names.forget(hostname, but_for=service.holder)
        await self._contest.claim(self._routes.names, hostname, service, proof)
        service.public_url = self._address.http_url(hostname)
        if session.mux_speaks_inlets and not wanted and session.owner.is_shared:
            self._routes.add_catch_all(service)

    # -- private names

    async def _grant_private(self, service: Service, proof: Callable[[Session], bool]) -> None:
        session, offer = service.session, service.offer
        if offer.hostname or offer.remote_port:
            raise Refused(Code.INVALID, "a private service has no public name or port")
        if service.rule is not None:
            raise Refused(
                Code.INVALID,
                "a private service has no visitors to make rules for: it is reached with a "
                "token of its owner, or a share token",
            )
        try:
            name = names.check_label(offer.private)
        except ValueError as error:
            raise Refused(Code.HOSTNAME_INVALID, str(error)) from error
        objection = self._private_objection(session.credential, name)
        if objection is not None:
            raise objection
        service.private = key = PrivateName(session.owner.name, name)
        if session.usage is not None and self._routes.private.get(key) is None:
            session.usage.take_name()
        await self._contest.claim(self._routes.private, key, service, proof)
        service.public_url = f"{PRIVATE}{name}"

    @staticmethod
    def _private_objection(credential: Credential, name: str) -> Refused | None:
        if credential.good_for_private(name):
            return None
        patterns = ", ".join(credential.names)
        return Refused(
            Code.HOSTNAME_NOT_YOURS,
            f"this token is not good for {name}, only for {patterns}; choose another with --name",
        )

    # -- ports

    async def _grant_port(self, service: Service, proof: Callable[[Session], bool]) -> None:
        settings = self._settings.current
        allowed, who = settings.tcp_port_range, "this server gives out"
        own = service.session.credential.ports
        if own is not None:
            allowed = range(max(allowed.start, own.start), min(allowed.stop, own.stop))
            who = "this token is good for"
        wanted = service.offer.remote_port
        if not allowed:
            raise Refused(
                Code.PORT_UNAVAILABLE, "this token is good for none of the ports of this server"
            )
        if service.offer.shares and not wanted:
            raise Refused(Code.INVALID, "a port to be shared must be asked for: use --remote-port")
        if wanted and wanted not in allowed:
            raise Refused(
                Code.PORT_UNAVAILABLE,
                f"port {wanted} can't be had: {who} ports {allowed[0]} to {allowed[-1]}",
            )
        for port in [wanted] if wanted else self._candidates(service, allowed):
            if await self._open_port(service, port, proof):
                service.port = port
                service.hostname = settings.tunnel_base_domain
                service.public_url = self._address.tcp_url(port)
                return
        if wanted:
            text = f"port {wanted} is in use: ask for another with --remote-port, or for any"
            route = self._routes.ports.get(wanted)
            for other in route.targets[:1] if route is not None else ():
                text += joining_hint(service, other)
        else:
            text = f"no port is free from {allowed[0]} to {allowed[-1]}: try again later"
        raise Refused(Code.PORT_UNAVAILABLE, text, retry=not wanted)

    async def _open_port(
        self, service: Service, port: int, proof: Callable[[Session], bool]
    ) -> bool:
        """Claim `port` and listen on it; False if it can't be had."""
        holder, before = service.holder, self._routes.ports.get(port)
        had = holder is not None and before is not None and holder.akin(before.holder)
        route = await self._claim_port(service, port, proof)
        if route is None:
            return False
        if len(route.targets) > 1:  # those who have it listen
            return True
        try:
            self._ports.open(port, route)
        except CannotListenError:
            self._routes.ports.free(port, service)
            return False
        if holder is not None and not had:
            self._routes.ports.keep_fewer(holder, self._most_ports(service.session.owner))
        return True

    async def _claim_port(
        self, service: Service, port: int, proof: Callable[[Session], bool]
    ) -> Route[int, Service] | None:
        ports = self._routes.ports
        try:
            return ports.claim(port, service.holder, service)
        except Taken as error:
            route = error.route
        if not route.targets:
            return None
        if service.offer.remote_port == port:
            joined = await self._contest.join(ports, route, service)
            if joined is not None:
                return joined
        if not self._may_ask_for(route, service):
            return None
        try:
            await self._contest.take_over(service, route, proof)
            return ports.claim(port, service.holder, service)
        except (Refused, Taken):
            return None

    def _most_ports(self, owner: Owner) -> int:
        """How many ports may be held for a user, or a client with the shared token.

        Ports without a service count, too, else services that come and go under ever new
        names would take all there are; where these are few, no more than half.
        """
        settings = self._settings.current
        if owner.is_shared:
            services = settings.services_per_session
        else:
            services = int(settings.limits_of(owner).services)
        half = max(1, len(settings.tcp_port_range) // 2)
        return min(services or half, half)

    @staticmethod
    def _may_ask_for(route: Route[int, Service], service: Service) -> bool:
        """Whether a port that has a service may become another's, if that one is dead."""
        if route.holder == service.holder:
            return True
        by_name = service.offer.remote_port == route.key
        return by_name and route.holder is not None and route.holder.may_become(service.holder)

    def _candidates(self, service: Service, allowed: range) -> list[int]:
        """Ports to try: the one kept for the client, then from one that its name leads to.

        The second makes it likely that a client gets the same port even after its lease,
        and keeps ports from being handed on at once. Those kept for other clients of the
        same owner come last.
        """
        holder = service.holder
        kept = self._routes.ports.kept_for(holder) if holder is not None else None
        start = zlib.crc32(f"{service.client_id}/{service.offer.name}".encode()) % len(allowed)
        order = [*allowed[start:], *allowed[:start]]
        others = {route.key for route in self._routes.ports if route.holder != holder}
        order.sort(key=others.__contains__)
        return [kept, *order] if kept is not None and kept in allowed else order


def _names_a_container(requested: str, base_domain: str) -> bool:
    """Whether a hostname is of the form `[container-id]-[port]` under the base domain."""
    name = requested.lower().removesuffix(".")
    hostname = name if "." in name else f"{name}.{base_domain}"
    return names.container_of(hostname, base_domain) is not None
