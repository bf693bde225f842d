"""The composition root: where the server's parts meet, and the order of their lives.

`Server` starts database, settings, control plane, status port and edge in that order,
and stops them in reverse: not ready, goaway, drain, close. No other module makes
instances of another layer's concrete classes.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from OpenSSL import crypto
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IListeningPort, ILoggingContext
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from inletspy import __version__
from inletspy.announcement import say_what_to_type, without_password
from inletspy.condition import Condition
from inletspy.config import ServerConfig, is_development
from inletspy.edge.accesslog import AccessLog
from inletspy.edge.resource import EdgeSite, HostProxyResource
from inletspy.edge.tcp import PublicPorts
from inletspy.edge.visits import Visits
from inletspy.errors import StartError
from inletspy.interfaces import ISettings
from inletspy.policy.guesses import Guesses
from inletspy.policy.quotas import AddressQuota, Refusals
from inletspy.policy.routes import RouteTable
from inletspy.policy.signins import SignIns
from inletspy.policy.tokens import TokenPolicy
from inletspy.policy.usage import Usages
from inletspy.process import DataDirectory, complain, exit_with, raise_descriptor_limit
from inletspy.settings import Settings
from inletspy.store.accounts import StoredAccounts
from inletspy.store.database import Database
from inletspy.store.embedded import EmbeddedPostgres
from inletspy.store.links import StoredLinks
from inletspy.store.settings import StoredSettings
from inletspy.store.token_file import TokenFile
from inletspy.tunnel.admission import Admission
from inletspy.tunnel.control import PATH, ControlPlane
from inletspy.tunnel.endpoint import eager, quicken
from inletspy.tunnel.serverlink import ServerLinkFactory
from inletspy.tunnel.session import Service as TunnelService
from inletspy.tunnel.strangers import Strangers
from inletspy.web.registrations import Registrations
from inletspy.web.site import status_site
from inletspy.web.tunnelsfile import TunnelsFile
from inletspy.wire import masking

__all__ = ["PublicAddress", "Server"]

_log = Logger()

#: How long streams may go on once the server is told to stop, in seconds.
DRAIN_SECONDS: Final = 10.0
_BACKLOG: Final = 1024
#: File descriptors that are not for visitors.
_RESERVED_DESCRIPTORS: Final = 256
#: How long somebody may have to wait after wrong tokens, in seconds.
_LONGEST_WAIT: Final = 900


class PublicAddress:
    """How the outside sees the server; see `inletspy.tunnel.grants.PublicAddress`.

    Args:
        settings: know the base domain.
        configured: scheme, host and port, or None to derive them.
        data_port: where visitors come in.
    """

    def __init__(self, settings: ISettings, configured: str | None, data_port: int) -> None:
        self._settings = settings
        url = urlsplit(configured) if configured else None
        self._scheme = url.scheme if url else "http"
        port = url.port if url else data_port
        usual = {"http": 80, "https": 443}[self._scheme]
        self._port_suffix = f":{port}" if port and port != usual else ""

    @property
    def url(self) -> str:
        """The public URL of the base domain."""
        return self.http_url(self._settings.current.tunnel_base_domain)

    def http_url(self, hostname: str) -> str:
        """Where visitors reach `hostname`."""
        return f"{self._scheme}://{hostname}{self._port_suffix}"

    def tcp_url(self, port: int) -> str:
        """Where visitors reach a public TCP port."""
        return f"tcp://{self._settings.current.tunnel_base_domain}:{port}"


class Server(Service):
    """The inletspy server.

    Args:
        reactor: runs everything.
        config: what this start was told.
        exit: notes the exit status of a start that failed.
    """

    name = "inletspy"

    def __init__(
        self, reactor: Any, config: ServerConfig, exit: Callable[[int], None] = exit_with
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._exit = exit
        self._directory = DataDirectory(config.data_dir)
        self._ready = False
        self._hurry = False
        self._begun: Deferred[None] | None = None
        #: What has been started, each with what ends it, in the order of starting.
        self._ends: list[Callable[[], Any]] = []
        self._listening: dict[str, IListeningPort] = {}

    # -- twistd's side

    def startService(self) -> None:
        """Start once the reactor runs; a failure then ends the process with status 1."""
        super().startService()
        # After the reactor's own signal handlers, with which twistd would end by the signal.
        self._reactor.callWhenRunning(self._reactor.callLater, 0, self._begin)

    def stopService(self) -> Deferred[None]:
        """Drain, and stop everything that was started."""
        super().stopService()
        return ensureDeferred(self._stop())

    def _begin(self) -> None:
        if not self.running:
            return
        self._catch_signals()
        self._begun = ensureDeferred(self._start())
        self._begun.addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        if failure.check(StartError) is None:
            _log.failure("The server can't start", failure=failure)
        complain(failure.getErrorMessage())
        self._exit(1)
        self._stop_reactor()

    def _catch_signals(self) -> None:
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            numbers.append(signal.SIGHUP)  # else nohup lets us outlive the terminal
        for number in numbers:
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: Any) -> None:
        self._reactor.callFromThread(self._stop_reactor)

    def _stop_reactor(self) -> None:
        self._hurry = not self._ready and self._begun is not None and self._begun.called
        with suppress(ReactorNotRunning):  # it is stopping; a second signal only hurries it
            self._reactor.stop()

    # -- start

    async def _start(self) -> None:
        config = self._config
        reactor = self._reactor
        self._directory.take()
        self._ends.append(self._directory.leave)
        quicken(reactor)
        descriptors = raise_descriptor_limit()
        if not masking.native:
            _log.warn("autobahn's native masker is missing: clients' uploads will be slower")

        database, settings, accounts, shared_links = await self._start_store()
        if not self.running:
            return
        refusals = Refusals(reactor.seconds, lambda line: _log.warn("{line}", line=line))
        usages = Usages(lambda owner: settings.current.limits_of(owner), reactor.seconds, refusals)
        tokens = TokenPolicy(
            lambda: settings.current.shared_token,
            lambda: accounts.current,
            reactor.seconds,
            accounts.used,
            Guesses(
                reactor.seconds,
                lambda: settings.current.wrong_tokens_per_address,
                _LONGEST_WAIT,
            ),
            lambda source: refusals.note("wrong_tokens", f"wrong token from {source}"),
            lambda: settings.current.link_signing_key,
            lambda: shared_links.current.revoked,
        )
        routes: RouteTable[TunnelService] = RouteTable(
            reactor.seconds, lambda: settings.current.name_lease_seconds
        )
        quota = AddressQuota(
            lambda: settings.current.connections_per_address,
            lambda address: refusals.note(
                "connections_per_address", f"{address} has as many connections as it may"
            ),
        )
        ports = PublicPorts(eager(reactor), config.interface, quota)

        # Ports are opened before anything that is told their numbers.
        control_factory, status_factory, data_factory = map(
            _Later, ("control plane", "status port", "data plane")
        )
        one_port = _one_port(config)
        data_port = await self._listen("data", config.data, config.data_port, data_factory)
        if one_port:
            control_port = data_port
        else:
            control_port = await self._listen(
                "control", config.control, config.control_port, control_factory
            )
        status_port = await self._listen(
            "status", config.status, config.status_port, status_factory
        )

        address = PublicAddress(settings, config.public_url, data_port)
        admission = Admission(settings, accounts, tokens, usages, routes, ports, address)
        strangers = Strangers(settings, tokens, refusals, max(64, descriptors // 4))
        control = ControlPlane(reactor, settings, strangers, admission, shared_links)
        links = ServerLinkFactory(reactor, control)
        control.start()
        self._ends.append(control.stop)
        access_log = AccessLog(config.access_log) if config.access_log else None
        if access_log is not None:
            self._ends.append(access_log.tick)  # what the last second brought
        visits = Visits(
            settings,
            partial(deferToThreadPool, reactor, reactor.getThreadPool()),
            secure=address.url.startswith("https:"),
            now=reactor.seconds,
            revoked=lambda: shared_links.current.revoked,
        )
        site = EdgeSite(
            HostProxyResource(
                settings,
                routes,
                address.url,
                visits,
                lambda hostname: hostname in accounts.current.reserved,
            ),
            reactor,
            settings,
            quota,
            access_log,
            max(64, descriptors - _RESERVED_DESCRIPTORS),
        )
        if one_port:
            site.control = links
            site.control_path = PATH.encode()
        tunnels = Registrations(admission, reactor)
        self._ends.append(tunnels.stop)
        users_change = accounts.subscribe(lambda: tunnels.keep_users(accounts.current.owners))
        self._ends.append(users_change)
        tunnels_file = TunnelsFile(config.data_dir / "tunnels.json", tunnels, reactor)
        tunnels_file.start()
        self._ends.append(tunnels_file.stop)

        sweep = LoopingCall(self._sweep, site, admission)
        sweep.clock = reactor
        sweep.start(1.0, now=False)
        self._ends.append(sweep.stop)
        self._drainable = (site, admission)

        control_factory.become(links)
        status_factory.become(
            status_site(
                settings=settings,
                accounts=accounts,
                tunnels=tunnels,
                shared_links=shared_links,
                authenticate=tokens.authenticate,
                sign_ins=SignIns(
                    tokens.known, lambda: settings.current.session_signing_key, reactor.seconds
                ),
                health=lambda: self._health(database),
                condition=Condition(
                    reactor.seconds, quota.__len__, descriptors, database, admission, control
                ),
                server_url=lambda: self._server_url(settings, control_port),
                clock=reactor,
            )
        )
        data_factory.become(site)

        def announce() -> None:
            self._directory.announce(
                {
                    "pid": os.getpid(),
                    "version": __version__,
                    "control_port": control_port,
                    "data_port": data_port,
                    "status_port": status_port,
                    "host": config.interface or "127.0.0.1",
                    "domain": settings.current.tunnel_base_domain,
                    "public_url": address.url,
                    "database": without_password(config.database),
                }
            )

        def announce_again(new: Settings, old: Settings) -> None:
            if new.tunnel_base_domain != old.tunnel_base_domain:
                announce()

        announce()
        self._ends.append(settings.subscribe(announce_again))
        self._ready = True
        wildcard = address.http_url(f"*.{settings.current.tunnel_base_domain}")
        say_what_to_type(
            config, settings.current.tunnels_enabled, wildcard, control_port, status_port
        )

    async def _start_store(self) -> tuple[Database, StoredSettings, StoredAccounts, StoredLinks]:
        config = self._config
        url = config.database
        revive = None
        if url is None:
            postgres = EmbeddedPostgres(config.data_dir / "postgres", self._reactor)
            self._ends.append(postgres.stop)
            url = await postgres.start()
            revive = postgres.start
        database = Database(url, self._reactor, revive=revive)
        self._ends.append(database.stop)
        await database.start()
        await database.migrate()
        settings = StoredSettings(database, self._reactor, config.token, config.domain)
        await settings.seed(config)
        await settings.load()
        self._ends.append(settings.stop)
        accounts = StoredAccounts(database, self._reactor)
        await accounts.load()
        self._ends.append(accounts.stop)
        shared_links = StoredLinks(database, self._reactor)
        await shared_links.load()
        self._ends.append(shared_links.stop)
        token_file = TokenFile(config.data_dir / "token.txt", settings)
        token_file.start()
        self._ends.append(token_file.stop)
        database.lost.subscribe(lambda reason: _log.error("Database lost: {reason}", reason=reason))
        database.restored.subscribe(lambda: _log.info("The database is back"))
        return database, settings, accounts, shared_links

    async def _listen(self, plane: str, endpoint: str | None, port: int, factory: Factory) -> int:
        """Listen for one plane; gives the port's number, 0 for a UNIX socket."""
        interface = quoteStringArgument(self._config.interface)
        description = endpoint or f"tcp:{port}:interface={interface}:backlog={_BACKLOG}"
        try:
            listening = await serverFromString(eager(self._reactor), description).listen(factory)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            where, option = f"port {port}", f"--{plane}-port"
            if endpoint:
                where, option = endpoint, f"--{plane}"
            elif _names_no_interface(error.socketError):
                where, option = self._config.interface, "--interface"
            raise StartError(
                f"can't listen on {where} ({plane}): {reason}; choose another with {option}"
            ) from error
        except crypto.Error as error:
            raise StartError(
                f"--{plane} {description!r}: no key and certificate can be read there"
            ) from error
        except (ValueError, TypeError, OSError) as error:
            raise StartError(f"--{plane} {description!r} is no endpoint: {error}") from error
        self._listening[plane] = listening
        self._ends.append(listening.stopListening)
        return getattr(listening.getHost(), "port", 0)

    # -- while it runs

    def _sweep(self, site: EdgeSite, admission: Admission) -> None:
        try:
            site.sweep()
            admission.sweep()
        except Exception:
            _log.failure("The sweep failed")

    def _health(self, database: Database) -> str | None:
        if not self._ready:
            return "the server is starting or stopping"
        if not database.connected:
            return "the database is away"
        for plane, listening in self._listening.items():
            if not getattr(listening, "connected", True):
                return f"the {plane} port is closed"
        return None

    def _server_url(self, settings: StoredSettings, control_port: int) -> str:
        domain = settings.current.tunnel_base_domain
        return f"ws://localhost:{control_port}" if is_development(domain) else ""

    # -- stop

    async def _stop(self) -> None:
        was_ready, self._ready = self._ready, False
        if self._begun is not None and not self._begun.called:
            # A start that is cut short leaves things behind; it ends by itself, and soon.
            ended: Deferred[None] = Deferred()
            self._begun.addBoth(lambda _: ended.callback(None))
            await ended
            was_ready, self._ready = self._ready, False
        ends = [*self._ends, self._drain] if was_ready else self._ends
        self._ends = []
        # Whatever fails to end, the rest must: the database and server.json stay behind else.
        for end in reversed(ends):
            try:
                await _settled(end())
            except Exception:
                _log.failure("Something could not be stopped")

    def _drain(self) -> Deferred[None]:
        return ensureDeferred(self._drained())

    async def _drained(self) -> None:
        """Take nothing new, and give what is under way some time."""
        site, admission = self._drainable
        for plane in ("data", "control"):
            if plane in self._listening:
                await _settled(self._listening[plane].stopListening())
        admission.drain_all()
        site.drain()
        deadline = self._reactor.seconds() + DRAIN_SECONDS
        while not self._hurry and self._reactor.seconds() < deadline:
            if not site.busy and not admission.snapshot()["streams"]:
                break
            await deferLater(self._reactor, 0.05)
        admission.end_all(None)


@implementer(ILoggingContext)
class _Later(Factory):
    """Stands in for a factory that is made once the port it listens on is known.

    A connection in that instant is closed.
    """

    noisy = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._factory: Any = None

    def logPrefix(self) -> str:
        """See `ILoggingContext`; stands in the log when the port opens."""
        return self._name

    def become(self, factory: Any) -> None:
        self._factory = factory

    def buildProtocol(self, addr: Any) -> Any:
        return self._factory.buildProtocol(addr) if self._factory is not None else None


def _names_no_interface(error: Any) -> bool:
    return isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL


async def _settled(result: Any) -> None:
    if isinstance(result, Deferred):
        await result


def _one_port(config: ServerConfig) -> bool:
    """Whether control and data plane share a port."""
    if config.control or config.data:
        return config.control is not None and config.control == config.data
    return config.control_port == config.data_port != 0
