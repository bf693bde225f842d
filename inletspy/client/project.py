"""`inletspy.toml`: several services in one file, read into what is offered to a server.

Owns which keys there are and what they mean, where the file is looked for, and which of
its services a start chose. What a service may wish for is `config`'s business, where the
server is `access`'s. The file may be read again at any time while a tunnel is up.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from inletspy.client.access import AskPlatform, ClientFile, config_folder
from inletspy.client.config import (
    ClientConfig,
    WishError,
    Wishes,
    check_hello,
    container_id,
    prepare,
    read_upstream,
    service_for,
)
from inletspy.client.tomlfile import Form, TomlFile
from inletspy.client.visitors import ENVIRONMENT
from inletspy.errors import ProtocolViolation, Refused, UsageError
from inletspy.policy.private import PRIVATE
from inletspy.wire.control import ServiceOffer

__all__ = ["FILE_NAME", "SERVICE_KEYS", "Key", "Project", "find_project", "in_keys"]

FILE_NAME: Final = "inletspy.toml"


@dataclass(frozen=True, kw_only=True)
class Key(Form):
    """What may be said about a service.

    Attributes:
        wish: the field of `Wishes` that it sets.
        is_path: whether it names a file, which may be relative to the one it stands in.
    """

    wish: str
    is_path: bool = False


#: What a table of a service may hold. What the values mean, and whether they fit the
#: service, is checked as on the command line.
SERVICE_KEYS: Final = {
    "upstream": Key("a port, HOST:PORT or a URL", (int, str), wish="upstream"),
    "proto": Key("http or tcp", wish="protocol"),
    "hostname": Key("a label or a whole hostname", wish="name"),
    "host-header": Key("rewrite, preserve or a host", wish="host_header"),
    "remote-port": Key("a port from 1 to 65535", (int,), wish="remote_port"),
    "proxy-protocol": Key("v1 or v2", wish="proxy_protocol"),
    "share": Key("true or false", (bool,), wish="share"),
    "allow": Key("a list of addresses and networks", (list,), wish="allow"),
    "deny": Key("a list of addresses and networks", (list,), wish="deny"),
    "basic-auth-file": Key("a file", wish="basic_auth_file", is_path=True),
    "bearer-file": Key("a file", wish="bearer_file", is_path=True),
    "private-http": Key("true or false", (bool,), wish="private_http"),
    "private": Key("true or false", (bool,), wish="private"),
}
_KEYS_OF_WISHES: Final = {known.wish: key for key, known in SERVICE_KEYS.items()}

_EXPECTED: Final = "a table like [services.web] with an upstream"


def in_keys(text: str) -> str:
    """A server's advice, with the keys of the file in place of the flags that mean the same."""

    def key(flag: re.Match[str]) -> str:
        return _KEYS_OF_WISHES.get(flag[1].replace("-", "_"), flag[0])

    return re.sub(r"--([a-z][a-z-]*)", key, text)


def find_project(environ: Mapping[str, str]) -> Path | None:
    """The file that is used where none is named; None if there is none.

    Args:
        environ: the environment of the user.
    """
    for path in (Path(FILE_NAME), config_folder(environ) / FILE_NAME):
        if os.path.lexists(path):
            return path
    return None


class Project:
    """The services of a file, as one start chose them.

    Args:
        path: the file.
        names: the services that were chosen; all if empty.

    Attributes:
        path: the file.
        files: it, and those that its services name.
    """

    def __init__(self, path: Path, names: Sequence[str] = ()) -> None:
        self.path = path
        self.files: Sequence[Path] = (path,)
        self._names = names
        self._container = container_id(socket.gethostname())
        self._base_domain = ""
        self._session: Mapping[str, Any] = {}

    async def load(
        self, wishes: Wishes, environ: Mapping[str, str], ask: AskPlatform
    ) -> ClientConfig:
        """Put together what a tunnel needs.

        Args:
            wishes: the command line, as far as it concerns the whole session.
            environ: the environment.
            ask: is called only where the environment names a platform's backend.

        Raises:
            UsageError: something is wrong or missing.
            Refused: the platform does not give its tunnels to this client.
            ServerUnreachable: no server was found, or the platform does not answer.
        """
        file = self._read()
        missing = [name for name in self._names if name not in file.content["services"]]
        if missing:
            there = ", ".join(file.content["services"])
            raise UsageError(f"{file.shown} has no service {missing[0]!r}; there are {there}")
        for variable in ENVIRONMENT.values():
            if environ.get(variable):  # nobody shall think that it protects them
                raise UsageError(
                    f"{variable} is for one service: give its PORT, or name files in {file.shown}"
                )
        self._offers(file)  # so that mistakes show before anything is asked
        self._session = _session_of(file)
        client_file = self._session_file(ClientFile.read(environ))
        config, self._base_domain = await prepare(
            wishes, client_file, self._container, environ, ask
        )
        config = replace(config, services=self._offers(file), file=file.shown)
        try:
            check_hello(config)
        except UsageError as error:
            if wishes.client_id or "client-id" not in self._session:
                raise
            raise file.fault(("client-id",), str(error)) from error
        return config

    def reload(self) -> tuple[tuple[ServiceOffer, ...], bool]:
        """Read the file again.

        Returns:
            What is to be offered now, and whether anything changed that only the next
            start can follow.

        Raises:
            UsageError: something is wrong; the file counts as it was before.
        """
        file = self._read()
        offers = self._offers(file)
        session = _session_of(file)
        changed, self._session = session != self._session, session
        return offers, changed

    # -- the file

    def _read(self) -> TomlFile:
        """The file, with what stands in it of the right form."""
        try:
            file = TomlFile.read(self.path)
        except FileNotFoundError:
            raise UsageError(f"there is no {self.path}") from None
        if "token" in file.content:
            raise file.fault(
                ("token",), 'a token in a file that others may read; expected token-file = "FILE"'
            )
        file.check(file.content, {**ClientFile.KEYS, "services": Form("tables", (dict,))})
        services = file.content.get("services")
        if not services:
            raise UsageError(f"{file.shown} has no services; expected {_EXPECTED}")
        for name, table in services.items():
            place = ("services", name)
            if not isinstance(table, dict):
                raise file.fault(place, f"{name} is no table; expected {_EXPECTED}")
            file.check(table, SERVICE_KEYS, *place)
            if "upstream" not in table:
                expected = SERVICE_KEYS["upstream"].meaning
                raise file.fault(place, f"{name} has no upstream; expected {expected}")
        return file

    def _session_file(self, user: ClientFile) -> ClientFile:
        """The user's own file, with what this one says over it.

        The token that a user keeps for a server is for no other one.
        """
        said = {key.replace("-", "_"): str(value) for key, value in self._session.items()}
        own = ClientFile(**said)
        token_file = own.token_file
        if token_file:
            token_file = str(self.path.parent / Path(token_file).expanduser())
        elif own.server in ("", user.server):
            token_file = user.token_file
        return replace(user, **{**said, "token_file": token_file})

    # -- its services

    def _offers(self, file: TomlFile) -> tuple[ServiceOffer, ...]:
        tables = file.content["services"]
        chosen = [name for name in tables if not self._names or name in self._names]
        if not chosen:
            wanted = ", ".join(self._names)
            raise UsageError(f"{file.shown} has none of the services {wanted} any more")
        # First, so that one that can't be read is looked at again.
        self.files = (self.path, *self._named(tables[name] for name in chosen))
        offers = tuple(self._offer(file, name, tables[name]) for name in chosen)
        _check_distinct(file, offers)
        return offers

    def _offer(self, file: TomlFile, name: str, table: Mapping[str, Any]) -> ServiceOffer:
        place = ("services", name)
        wishes = Wishes(**{SERVICE_KEYS[k].wish: self._wish(k, v) for k, v in table.items()})
        protocol = table.get("proto", "")
        if protocol not in ("", "http", "tcp"):
            raise file.fault((*place, "proto"), f"proto is {protocol!r}; expected http or tcp")
        try:
            upstream = read_upstream(wishes.upstream, wishes.protocol)
        except UsageError as error:
            raise file.fault((*place, "upstream"), str(error)) from error
        port = table.get("remote-port")
        if port is not None and not 1 <= port <= 65535:
            text = f"remote-port is {port}; expected a port from 1 to 65535"
            raise file.fault((*place, "remote-port"), text)
        try:
            offer = service_for(wishes, upstream, self._container, self._base_domain)
        except WishError as error:
            key = _KEYS_OF_WISHES[error.wish]
            raise file.fault((*place, key), f"{key} {error.reason}") from error
        except UsageError as error:
            raise file.fault(place, str(error)) from error
        try:
            return ServiceOffer.read(replace(offer, name=name).message())
        except (Refused, ProtocolViolation) as error:
            text = f"{error}; expected letters, digits and . _ : - in it, 64 at most"
            raise file.fault(place, text) from error

    def _named(self, tables: Iterable[Mapping[str, Any]]) -> Iterator[Path]:
        """The files that services name."""
        for table in tables:
            for key, value in table.items():
                if SERVICE_KEYS[key].is_path:
                    yield Path(self._wish(key, value))

    def _wish(self, key: str, value: Any) -> Any:
        if key == "upstream":
            return str(value)
        if SERVICE_KEYS[key].is_path:
            return str(self.path.parent / Path(value).expanduser())
        return value


def _session_of(file: TomlFile) -> dict[str, Any]:
    return {key: value for key, value in file.content.items() if key != "services"}


def _check_distinct(file: TomlFile, offers: Iterable[ServiceOffer]) -> None:
    """Refuse two services with one name or port, which only one of them could have."""
    seen: dict[object, str] = {}
    for offer in offers:
        private = f"{PRIVATE}{offer.private}" if offer.private else ""
        place = offer.hostname or private or offer.remote_port
        if not place:
            continue
        key = "remote-port" if place == offer.remote_port else "hostname"
        if place in seen:
            line = file.line("services", seen[place])
            raise file.fault(
                ("services", offer.name, key),
                f"{offer.name} has the {key} {place}, which {seen[place]} (line {line}) has, too; "
                f"expected a {key} of its own",
            )
        seen[place] = offer.name
