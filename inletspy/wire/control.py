"""The control messages of `inletspy.v1`, as values.

A message is read here once, and whole: what comes out has the right types and sizes.
What the values mean (is that name free?) is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inletspy.errors import Code, ProtocolViolation, Refused

__all__ = [
    "VERSION",
    "ConnectWish",
    "Connected",
    "Grant",
    "Hello",
    "Resume",
    "ServiceOffer",
    "ShareLink",
    "ShareWish",
    "Welcome",
    "connect_refused",
    "error_message",
    "read_error",
    "read_object",
    "read_text",
]

#: The version of the protocol that `hello` and `welcome` speak of.
VERSION: Final = 1

_MAX_TEXT: Final = 512
_match_client_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}").fullmatch
_match_service_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}").fullmatch
#: Control characters, and halves of surrogate pairs, which JSON can carry but no encoding.
_has_unfit_characters = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def read_text(message: Mapping[str, Any], key: str, *, default: str | None = None) -> str:
    """A text field of at most 512 characters, none of them control characters.

    Raises:
        ProtocolViolation: it is missing (and has no default) or not such a text.
    """
    value = message.get(key, default)
    if value is None and default is not None:
        value = default
    if not isinstance(value, str) or len(value) > _MAX_TEXT or _has_unfit_characters(value):
        raise ProtocolViolation(f"{key} is missing or not a short text")
    return value


def _read_number(message: Mapping[str, Any], key: str, top: int) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= top:
        raise ProtocolViolation(f"{key} is missing or not a number from 0 to {top}")
    return value


def _read_list(message: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = message.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ProtocolViolation(f"{key} is missing or not a list of objects")
    return value


def read_object(message: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """An object, or None where there is none; raises ProtocolViolation if it is another thing."""
    value = message.get(key)
    if value is not None and not isinstance(value, dict):
        raise ProtocolViolation(f"{key} is no object")
    return value


@dataclass(frozen=True)
class ServiceOffer:
    """A service that a client announces.

    Attributes:
        name: the client's own name for it, unique in its session.
        proto: `http` or `tcp`.
        upstream: its address as shown to people, such as `http://localhost:3000`.
        hostname: the label or full name asked for; empty for one of the server's.
        remote_port: the public TCP port asked for; 0 for any.
        private: the name under which other clients of its owner reach it; empty for a
            service that is public.
        options: further wishes; unknown ones are ignored.
    """

    name: str
    proto: str
    upstream: str
    hostname: str = ""
    remote_port: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    private: str = ""

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> ServiceOffer:
        """The offer in a `hello` or `add_service`.

        Raises:
            ProtocolViolation: a field has the wrong type.
            Refused: a field has a value that the server has no use for.
        """
        name = read_text(message, "name")
        proto = read_text(message, "proto")
        options = read_object(message, "options") or {}
        if _match_service_name(name) is None:
            raise Refused(Code.INVALID, f"{name!r} is no service name")
        if proto not in ("http", "tcp"):
            raise Refused(Code.INVALID, f"unknown protocol {proto!r}: use http or tcp")
        remote_port = 0
        if message.get("remote_port") is not None:
            remote_port = _read_number(message, "remote_port", 65535)
        return cls(
            name=name,
            proto=proto,
            upstream=read_text(message, "upstream"),
            hostname=read_text(message, "hostname", default=""),
            remote_port=remote_port,
            options=options,
            private=read_text(message, "private", default=""),
        )

    @property
    def derived(self) -> bool:
        """Whether the client made the hostname up by itself, from its machine's name."""
        return self.options.get("derived") is True

    @property
    def has_links(self) -> bool:
        """Whether it is for those who are given a share link or a share token."""
        return bool(self.private or self.options.get("private"))

    @property
    def shares(self) -> bool:
        """Whether the client would have its name or port together with others."""
        return self.options.get("share") is True

    def message(self) -> dict[str, Any]:
        """The offer as it is sent."""
        message: dict[str, Any] = {
            "name": self.name,
            "proto": self.proto,
            "upstream": self.upstream,
        }
        if self.hostname:
            message["hostname"] = self.hostname
        if self.remote_port:
            message["remote_port"] = self.remote_port
        if self.private:
            message["private"] = self.private
        if self.options:
            message["options"] = dict(self.options)
        return message


@dataclass(frozen=True)
class Resume:
    """A session that a client had before, with the proof that it was the client's."""

    session: str
    key: str = field(repr=False)
    received: int = 0

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Resume:
        """Read the `resume` of a `hello`; raises ProtocolViolation."""
        return cls(
            session=read_text(message, "session"),
            key=read_text(message, "key"),
            received=_read_number(message, "received", 1 << 62),
        )

    def message(self) -> dict[str, Any]:
        """The proof as it is sent."""
        return {"session": self.session, "key": self.key, "received": self.received}


@dataclass(frozen=True)
class Hello:
    """The first message of a client.

    Attributes:
        client_id: how it calls itself.
        services: what it announces.
        resume: the session that it had before, if it had one.
        derived: whether it made `client_id` up by itself, from its machine's name.
    """

    client_id: str
    services: tuple[ServiceOffer, ...]
    resume: Resume | None = None
    derived: bool = False
    version: int = VERSION

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Hello:
        """Read a `hello`.

        Raises:
            ProtocolViolation: a field has the wrong type.
            Refused: the version is not spoken here, or a value is of no use.
        """
        version = _read_number(message, "version", 1 << 16)
        if version != VERSION:
            raise Refused(
                Code.VERSION,
                f"this server speaks version {VERSION} of the protocol, the client "
                f"version {version}: update the older of the two",
            )
        client_id = read_text(message, "client_id")
        if _match_client_id(client_id) is None:
            raise Refused(
                Code.INVALID,
                "client_id must be letters, digits and . _ @ : + - and start with a letter "
                "or digit, 128 characters at most",
            )
        services = tuple(ServiceOffer.read(item) for item in _read_list(message, "services"))
        if len({service.name for service in services}) != len(services):
            raise Refused(Code.INVALID, "two services have the same name")
        resume = read_object(message, "resume")
        return cls(
            client_id,
            services,
            None if resume is None else Resume.read(resume),
            derived=message.get("derived") is True,
        )

    def message(self) -> dict[str, Any]:
        """The greeting as it is sent."""
        message: dict[str, Any] = {
            "type": "hello",
            "version": self.version,
            "client_id": self.client_id,
            "services": [service.message() for service in self.services],
        }
        if self.derived:
            message["derived"] = True
        if self.resume is not None:
            message["resume"] = self.resume.message()
        return message


@dataclass(frozen=True)
class Grant:
    """A service as the server has taken it up.

    Attributes:
        name: the client's name for it.
        number: what OPEN frames call it.
        public_url: where visitors reach it, or `private:` and its private name.
    """

    name: str
    number: int
    public_url: str

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Grant:
        """Read one from `welcome` or `service_added`; raises ProtocolViolation."""
        return cls(
            name=read_text(message, "name"),
            number=_read_number(message, "number", 65535),
            public_url=read_text(message, "public_url"),
        )

    def message(self) -> dict[str, Any]:
        """The grant as it is sent."""
        return {"name": self.name, "number": self.number, "public_url": self.public_url}


@dataclass(frozen=True)
class Welcome:
    """The server's answer to `hello`.

    Attributes:
        session: the session's id.
        key: proves, on a later connection, that the session is the client's; secret.
        heartbeat: seconds between pings.
        services: what was granted.
        client_id: what the server lists the client as; empty if it does not say.
    """

    session: str
    key: str = field(repr=False)
    heartbeat: float
    services: tuple[Grant, ...]
    client_id: str = ""

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Welcome:
        """Read a `welcome`; raises ProtocolViolation."""
        heartbeat = message.get("heartbeat")
        if isinstance(heartbeat, bool) or not isinstance(heartbeat, (int, float)):
            raise ProtocolViolation("heartbeat is no number")
        if not 0 < heartbeat < 86400:
            raise ProtocolViolation("heartbeat is out of range")
        return cls(
            session=read_text(message, "session"),
            key=read_text(message, "key"),
            heartbeat=heartbeat,
            services=tuple(Grant.read(item) for item in _read_list(message, "services")),
            client_id=read_text(message, "client_id", default=""),
        )

    def message(self) -> dict[str, Any]:
        """The welcome as it is sent."""
        return {
            "type": "welcome",
            "session": self.session,
            "key": self.key,
            "heartbeat": self.heartbeat,
            "services": [grant.message() for grant in self.services],
            "client_id": self.client_id,
        }


@dataclass(frozen=True)
class ConnectWish:
    """The private service that a client wants to open streams to."""

    name: str

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> ConnectWish:
        """Read a `connect`; raises ProtocolViolation."""
        return cls(read_text(message, "name"))

    def message(self) -> dict[str, Any]:
        """The wish as it is sent."""
        return {"type": "connect", "name": self.name}


@dataclass(frozen=True)
class Connected:
    """The server's answer to `connect`.

    Attributes:
        name: as the client put it.
        number: what the client's OPEN frames call the service.
    """

    name: str
    number: int

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Connected:
        """Read a `connected`; raises ProtocolViolation."""
        return cls(read_text(message, "name"), _read_number(message, "number", 65535))

    def message(self) -> dict[str, Any]:
        """The answer as it is sent."""
        return {"type": "connected", "name": self.name, "number": self.number}


@dataclass(frozen=True)
class ShareWish:
    """What a client asks a link for: a private service of its own, and for how long.

    Attributes:
        service: the client's name for it.
        seconds: how long the link is to last.
    """

    service: str
    seconds: int

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> ShareWish:
        """Read a `share`; raises ProtocolViolation."""
        return cls(read_text(message, "service"), _read_number(message, "seconds", 1 << 32))

    def message(self) -> dict[str, Any]:
        """The wish as it is sent."""
        return {"type": "share", "service": self.service, "seconds": self.seconds}


@dataclass(frozen=True)
class ShareLink:
    """The server's answer to `share`: a link that lets visitors in, or a share token.

    Attributes:
        service: the client's name for what it leads to.
        url: the link or the token; secret.
        expires: when it ends, in seconds since the epoch.
    """

    service: str
    url: str = field(repr=False)
    expires: int

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> ShareLink:
        """Read a `shared`; raises ProtocolViolation."""
        return cls(
            read_text(message, "service"),
            read_text(message, "url"),
            _read_number(message, "expires", 1 << 37),
        )

    def message(self) -> dict[str, Any]:
        """The answer as it is sent."""
        return {
            "type": "shared",
            "service": self.service,
            "url": self.url,
            "expires": self.expires,
        }


def error_message(error: Refused) -> dict[str, Any]:
    """The `error` that tells a client why it is refused."""
    message = {
        "type": "error",
        "code": error.code.value,
        "message": error.message[:_MAX_TEXT],
        "retry": error.retry,
    }
    return {**message, "service": error.service} if error.service else message


def connect_refused(name: str, error: Refused) -> dict[str, Any]:
    """The `connect_refused` that tells a client why it can't reach a private service."""
    return {**error_message(error), "type": "connect_refused", "name": name}


def read_error(message: Mapping[str, Any]) -> Refused:
    """Read an `error` or a `connect_refused`; raises ProtocolViolation."""
    text = read_text(message, "message")
    try:
        code = Code(read_text(message, "code"))
    except ValueError:
        code = Code.INVALID  # a code of a later version
    service = read_text(message, "service", default="")
    return Refused(code, text, retry=message.get("retry") is True, service=service)
