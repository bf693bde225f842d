"""What a tunnel is started with: the service, the names, and who asks for it.

Turns a person's wishes into an offer that a server understands, and refuses what no
server would take. Where the server is and what it is entered with is found by `access`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from inletspy.client.access import LOOPBACK, AskPlatform, ClientFile, find_access
from inletspy.client.inspector import settings as inspector
from inletspy.client.inspector.settings import InspectSettings
from inletspy.client.visitors import ENVIRONMENT, VISIT_WISHES, secrets_in
from inletspy.errors import ProtocolViolation, Refused, UsageError
from inletspy.policy.addresses import UpstreamAddress, parse_port
from inletspy.policy.durations import parse_duration
from inletspy.policy.links import LONGEST_LINK
from inletspy.policy.names import check_hostname, check_label
from inletspy.policy.visits import VisitRule
from inletspy.wire.control import Hello, ServiceOffer
from inletspy.wire.proxy import PROXY_VERSIONS

__all__ = [
    "WISHES_FOR_ALL",
    "ClientConfig",
    "WishError",
    "Wishes",
    "check_hello",
    "client_id_for",
    "container_id",
    "load",
    "prepare",
    "read_upstream",
    "service_for",
    "visit_options",
]

#: Leaves room for a hyphen and a port in a label of 63 characters.
MAX_CONTAINER_ID: Final = 57

_match_host_header = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?").fullmatch


@dataclass(frozen=True)
class Wishes:
    """What a person asked for on the command line; empty where nothing was said.

    Attributes:
        upstream: PORT, HOST:PORT or a URL.
        protocol: `http` or `tcp`.
        server: the server's control URL.
        token_file: holds the token.
        name: a label or a full hostname.
        client_id: in place of the one from the environment.
        host_header: `preserve`, `rewrite` or the Host to send.
        remote_port: the public TCP port asked for.
        proxy_protocol: the version of it that a tcp service expects; empty for none.
        share: whether to serve the name or port together with others who say so, too.
        basic_auth: users and passwords of visitors, like `user:password`.
        basic_auth_file: holds more of them.
        bearer: tokens of visitors.
        bearer_file: holds more of them.
        allow: addresses and networks that visitors may come from.
        deny: those that they may not come from.
        private_http: whether visitors need a share link.
        share_link: how long a link is to last that is made at the start; empty for none.
        private: whether only the owner's other clients are to reach it.
        insecure: take any certificate of the server's.
        inspect: `off`, or the port of the inspector; empty for the usual.
        inspect_body: what it keeps of each body.
        inspect_memory: what it keeps in all.
    """

    upstream: str
    protocol: str = ""
    server: str = ""
    token_file: str = ""
    name: str = ""
    client_id: str = ""
    host_header: str = "preserve"
    remote_port: int = 0
    proxy_protocol: str = ""
    share: bool = False
    basic_auth: tuple[str, ...] = field(default=(), repr=False)
    basic_auth_file: str = ""
    bearer: tuple[str, ...] = field(default=(), repr=False)
    bearer_file: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    private_http: bool = False
    share_link: str = ""
    private: bool = False
    insecure: bool = False
    inspect: str = ""
    inspect_body: str = ""
    inspect_memory: str = ""


#: The wishes that concern a whole session rather than one service.
WISHES_FOR_ALL: Final = (
    "server",
    "token_file",
    "client_id",
    "share_link",
    "insecure",
    *inspector.WISHES,
)


class WishError(UsageError):
    """A wish for a service that can't be met.

    Attributes:
        wish: the field of `Wishes`, which is a flag's name, too.
        reason: why, in words that suit any place where the wish may stand.
    """

    def __init__(self, wish: str, reason: str) -> None:
        super().__init__(f"--{wish.replace('_', '-')}: {reason}")
        self.wish = wish
        self.reason = reason


@dataclass(frozen=True)
class ClientConfig:
    """All that a tunnel needs.

    Attributes:
        server: the control URL.
        token: empty for none.
        client_id: as the server lists the client.
        services: what is offered.
        derived: whether nobody chose `client_id`: it comes from the machine's name.
        insecure: take any certificate of the server's.
        restart: the command that would make dev servers take the tunnel's host;
            empty where there is none.
        file: where the services were read from; empty if not from a file.
        link_seconds: how long a share link lasts that is to be made at the start; 0 for
            none.
        inspect: whether and how to capture what passes.
    """

    server: str
    token: str = field(repr=False)
    client_id: str
    services: tuple[ServiceOffer, ...]
    derived: bool = False
    insecure: bool = False
    restart: str = ""
    file: str = ""
    link_seconds: int = 0
    inspect: InspectSettings = field(default_factory=InspectSettings)

    def rewriting(self, offer: ServiceOffer) -> str:
        """What a person does to have a service asked by its own host; empty if it is."""
        if "host_header" in offer.options:
            return ""
        if self.file:
            return f'set host-header = "rewrite" for {offer.name} in {self.file}'
        return f"restart with `{self.restart}`" if self.restart else ""


async def load(wishes: Wishes, environ: Mapping[str, str], ask: AskPlatform) -> ClientConfig:
    """Put together what a tunnel needs.

    Args:
        wishes: the command line.
        environ: the environment.
        ask: is called only where the environment names a platform's backend.

    Raises:
        UsageError: something is wrong or missing.
        Refused: the platform does not give its tunnels to this client.
        ServerUnreachable: no server was found, or the platform does not answer.
    """
    container = container_id(socket.gethostname())
    wishes = _with_environment(wishes, environ)
    upstream = read_upstream(wishes.upstream, wishes.protocol)
    # Before anything is asked, so that mistakes show; and once, as a file may be a pipe.
    service = service_for(wishes, upstream, container)
    file = ClientFile.read(environ)
    config, base_domain = await prepare(wishes, file, container, environ, ask)
    rewrites = wishes.host_header != "preserve"
    config = replace(
        config,
        services=(_under(service, base_domain),),
        restart="" if rewrites else f"tunnel {wishes.upstream} --host-header rewrite",
    )
    check_hello(config)
    return config


async def prepare(
    wishes: Wishes,
    file: ClientFile,
    container: str,
    environ: Mapping[str, str],
    ask: AskPlatform,
) -> tuple[ClientConfig, str]:
    """Put together all that a tunnel needs but its services; see `load`.

    Args:
        wishes: the command line.
        file: the client's configuration file.
        container: what the machine is called.
        environ: the environment.
        ask: is called only where the environment names a platform's backend.

    Returns:
        What was found, and the domain that the server's names stand under, if known.
    """
    link_seconds = _read_link_seconds(wishes)
    access = await find_access(wishes.server, wishes.token_file, environ, file, ask)
    chosen = wishes.client_id or file.client_id
    client_id, derived = (chosen, False) if chosen else client_id_for(container, environ)
    config = ClientConfig(
        server=access.server,
        token=access.token,
        client_id=client_id,
        derived=derived,
        services=(),
        link_seconds=link_seconds,
        insecure=wishes.insecure,
        inspect=_read_inspect(wishes, environ, file),
    )
    return config, access.base_domain


def check_hello(config: ClientConfig) -> None:
    """Refuse at once what any server would.

    Raises:
        UsageError: the client's id or a service is not well-formed.
    """
    if config.link_seconds and not any(s.has_links for s in config.services):
        raise UsageError("--share-link is for a service with --private-http or --private")
    try:
        Hello.read(Hello(config.client_id, config.services).message())
    except (Refused, ProtocolViolation) as error:
        raise UsageError(str(error)) from error


# -- the service -----------------------------------------------------------------------


def read_upstream(text: str, protocol: str) -> UpstreamAddress:
    """The upstream that `PORT`, `HOST:PORT` or a URL stands for.

    Raises:
        UsageError: it stands for none, or not for one of that protocol.
    """
    if protocol not in ("", "http", "tcp"):
        hint = (
            f"; for an https service: tunnel https://localhost:{text}"
            if (protocol == "https")
            else ""
        )
        raise UsageError(f"unknown protocol {protocol!r}: use http or tcp{hint}")
    if "://" not in text:
        host, colon, port = text.rpartition(":")
        if parse_port(port) is None:
            raise UsageError(
                f"{text!r} is no port: give a number from 1 to 65535, HOST:PORT or a URL"
                if not colon
                else f"{text!r} has no port from 1 to 65535 after the colon"
            )
        text = f"{protocol or 'http'}://{host if colon else 'localhost'}:{port}"
    try:
        upstream = UpstreamAddress.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if protocol and (protocol == "tcp") != (upstream.scheme == "tcp"):
        raise UsageError(f"{text} is not for {protocol}: leave out one of the two")
    return upstream


def service_for(
    wishes: Wishes, upstream: UpstreamAddress, container: str, base_domain: str = ""
) -> ServiceOffer:
    """What is offered to the server.

    Args:
        wishes: the command line.
        upstream: where the service really is.
        container: what the machine is called.
        base_domain: makes a label a full name, where it is known.

    Raises:
        UsageError: a wish can't be met for this kind of service, or is not well-formed.
    """
    port = upstream.effective_port
    place = str(port) if upstream.host in LOOPBACK else f"{upstream.host}-{port}"
    name = re.sub(r"[^A-Za-z0-9._-]", "-", place)[-64:].lstrip("._-")
    private = _private_name(wishes, container, port) if wishes.private else ""
    options = {} if private else visit_options(wishes, upstream)
    if wishes.share:
        options["share"] = True
    if upstream.scheme == "tcp":
        if wishes.name and not private:
            raise WishError(
                "name", "is for http or --private; a tcp tunnel has a port (remote-port)"
            )
        if wishes.host_header != "preserve":
            raise WishError("host_header", "is for http; a tcp tunnel sends no headers")
        if wishes.proxy_protocol not in ("", *PROXY_VERSIONS):
            raise WishError("proxy_protocol", f"{wishes.proxy_protocol!r} is neither v1 nor v2")
        if wishes.proxy_protocol:
            options["proxy_protocol"] = wishes.proxy_protocol
        if wishes.share and not (wishes.remote_port or private):
            raise WishError("share", "needs a port that all ask for (remote-port)")
        return ServiceOffer(
            name,
            "tcp",
            str(upstream),
            remote_port=wishes.remote_port,
            options=options,
            private=private,
        )
    if wishes.remote_port:
        raise WishError("remote_port", "is for tcp; an http tunnel has a name")
    if wishes.proxy_protocol:
        raise WishError(
            "proxy_protocol",
            "is for tcp; visitors of an http tunnel share its connections to the service, which "
            "finds their addresses in X-Forwarded-For",
        )
    if wishes.host_header not in ("preserve", "rewrite") and not _match_host_header(
        wishes.host_header
    ):
        raise WishError(
            "host_header", f"{wishes.host_header!r} is neither rewrite nor preserve nor a host"
        )
    if private:
        return ServiceOffer(name, "http", str(upstream), options=options, private=private)
    try:
        hostname = check_hostname(wishes.name) if wishes.name else f"{container}-{port}"
    except ValueError as error:
        raise WishError("name", str(error)) from error
    if wishes.host_header != "preserve":
        options["host_header"] = wishes.host_header
    if not wishes.name:
        options["derived"] = True  # a user's prefix may be put in front of it
    service = ServiceOffer(name, "http", str(upstream), hostname=hostname, options=options)
    return _under(service, base_domain)


def _under(service: ServiceOffer, base_domain: str) -> ServiceOffer:
    """The service with a whole name, where the domain is known that labels stand under."""
    if not base_domain or not service.hostname or "." in service.hostname:
        return service
    return replace(service, hostname=f"{service.hostname}.{base_domain}")


def visit_options(wishes: Wishes, upstream: UpstreamAddress) -> dict[str, Any]:
    """What is asked of visitors.

    Raises:
        UsageError: a wish can't be met for this kind of service, or is not well-formed.
    """
    options: dict[str, Any] = {}
    for wish, (option, read) in VISIT_WISHES.items():
        wished = getattr(wishes, wish)
        if not wished:
            continue
        if upstream.scheme == "tcp" and option not in ("allow", "deny"):
            raise WishError(wish, "is for http; visitors of a tcp tunnel have allow and deny")
        try:
            value = read(wished, wishes.share)
        except ValueError as error:
            raise WishError(wish, str(error)) from error
        options[option] = options[option] + value if option in options else value
    try:
        VisitRule.read("tcp" if upstream.scheme == "tcp" else "http", options)
    except Refused as error:
        raise UsageError(str(error)) from error
    return options


def _with_environment(wishes: Wishes, environ: Mapping[str, str]) -> Wishes:
    """The wishes, with what the environment holds where nothing else was said."""
    found: dict[str, Any] = {}
    for wish, variable in ENVIRONMENT.items():
        given = secrets_in(environ.get(variable, ""))
        if given and not getattr(wishes, wish) and not getattr(wishes, f"{wish}_file"):
            found[wish] = given
    return replace(wishes, **found)


def _read_link_seconds(wishes: Wishes) -> int:
    if not wishes.share_link:
        return 0
    try:
        seconds = parse_duration(wishes.share_link)
    except ValueError as error:
        raise UsageError(f"--share-link: {error}") from error
    if seconds > LONGEST_LINK:
        raise UsageError(f"--share-link: a link may last {LONGEST_LINK // 86400} days at most")
    return seconds


def _read_inspect(wishes: Wishes, environ: Mapping[str, str], file: ClientFile) -> InspectSettings:
    said: dict[str, tuple[str, str]] = {}
    for wish, variable in inspector.VARIABLES.items():
        flag = "--" + wish.replace("_", "-")
        for text, place in (
            (getattr(wishes, wish), flag),
            (environ.get(variable, ""), variable),
            (getattr(file, wish), f"{flag[2:]} in the configuration file"),
        ):
            if text and wish not in said:
                said[wish] = (text, place)
    return inspector.read_settings(said)


def _private_name(wishes: Wishes, container: str, port: int) -> str:
    """What a private service is called."""
    if wishes.remote_port:
        raise WishError("remote_port", "is for public tunnels; a private one has no public port")
    if wishes.host_header != "preserve":
        raise WishError("host_header", "is for public tunnels; a private one changes no headers")
    for wish in VISIT_WISHES:
        if getattr(wishes, wish):
            raise WishError(wish, "is for public tunnels; a private one has no visitors")
    try:
        return check_label(wishes.name or f"{container}-{port}")
    except ValueError as error:
        raise WishError("name", str(error)) from error


# -- who this is -----------------------------------------------------------------------


def container_id(machine: str) -> str:
    """What a machine's tunnels are named after: its name, fitted to a hostname's label.

    Args:
        machine: the machine's name.
    """
    label = re.sub(r"[^a-z0-9-]", "-", machine.lower().partition(".")[0])
    label = label[:MAX_CONTAINER_ID].strip("-") or "container"
    # Two hyphens there announce an internationalised name, which a port would spoil.
    return re.sub(r"-+", "-", label) if label[2:4] == "--" else label


def client_id_for(container: str, environ: Mapping[str, str]) -> tuple[str, bool]:
    """What the server lists a client as: the platform's user, else the container.

    Returns:
        The id, and whether it is only derived from the machine's name.
    """
    user = environ.get("USER_ID")
    return (f"claude-web-user-{user}", False) if user else (container, True)
