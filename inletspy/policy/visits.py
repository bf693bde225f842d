"""Who may visit a service, as its client has told.

A `VisitRule` is read once from the options of an offer, checked whole, and decides on
addresses and tokens. What slow hashing has to be done is named here, but not done. How a
visitor is asked, and how credentials come with a request, is the edge's business.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inletspy.errors import Code, Refused
from inletspy.policy.sources import Address, Network

__all__ = [
    "MAX_CREDENTIAL",
    "Account",
    "VisitRule",
    "credential_bytes",
    "hash_password",
    "parse_network",
    "token_digest",
]

#: The most bytes of a user's name, a password or a token.
MAX_CREDENTIAL: Final = 256
#: The size of an account's salt, in bytes.
SALT_SIZE: Final = 16

_MAX_ACCOUNTS: Final = 8
_MAX_NETWORKS: Final = 64
_match_salt = re.compile(r"[0-9a-f]{32}").fullmatch
_match_digest = re.compile(r"[0-9a-f]{64}").fullmatch
#: No colon, which ends the name, and no control characters (RFC 7617, 2).
_match_user = re.compile(r"[^:\x00-\x1f\x7f-\x9f\ud800-\udfff]+").fullmatch


def credential_bytes(text: str) -> bytes:
    """A name or password as it is compared, however its accents were typed (RFC 7617, 2.1)."""
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


def hash_password(password: bytes, salt: bytes) -> bytes:
    """What is kept of a password: scrypt (RFC 7914), some 50 ms and 16 MiB of work."""
    return hashlib.scrypt(password, salt=salt, n=2**14, r=8, p=1, dklen=32)


def token_digest(token: bytes) -> bytes:
    """What is kept of a token, which is long and random: SHA-256 is enough for it."""
    return hashlib.sha256(token).digest()


def parse_network(text: str) -> Network:
    """An address or a network, like `203.0.113.7` or `2001:db8::/32`.

    Raises:
        ValueError: it is none; the text says why.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f"{text[:64]!r} is no address or network like 203.0.113.0/24"
            ) from error
        raise ValueError(f"{text!r} is no network: is it {meant} that is meant?") from error
    if network.version == 6 and network.network_address.ipv4_mapped is not None:
        raise ValueError(f"{text!r} holds IPv4 addresses: write them as such")
    return network


@dataclass(frozen=True)
class Account:
    """A user's name, and what is kept of the password."""

    user: bytes
    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)


@dataclass(frozen=True)
class VisitRule:
    """Who may visit one service.

    A visitor must come from an address that may, and, where there is any way to prove it,
    by one of these ways prove to be welcome: a password, a token, a share link.

    Attributes:
        allow: where visitors may come from; nothing stands for everywhere.
        deny: where they may not come from, even if it is allowed.
        accounts: user names with passwords (RFC 7617).
        tokens: the digests of tokens (RFC 6750).
        private: whether the visitors are those whom the service's owner gives a link.
    """

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    accounts: tuple[Account, ...] = ()
    tokens: tuple[bytes, ...] = field(default=(), repr=False)
    private: bool = False

    @classmethod
    def read(cls, proto: str, options: Mapping[str, Any]) -> VisitRule | None:
        """The rule in the options of an offer; None if everybody may visit.

        Args:
            proto: `http` or `tcp`; of the latter only addresses can be asked for.
            options: may hold `allow`, `deny`, `basic_auth`, `bearer` and `private`.

        Raises:
            Refused: an option is wrong; the text says which, and not what it holds.
        """
        private = options.get("private", False)
        if not isinstance(private, bool):
            raise _invalid("private must be true or false")
        rule = cls(
            allow=_read_networks(options, "allow"),
            deny=_read_networks(options, "deny"),
            accounts=tuple(map(_read_account, _read_list(options, "basic_auth", _MAX_ACCOUNTS))),
            tokens=tuple(map(_read_digest, _read_list(options, "bearer", _MAX_ACCOUNTS))),
            private=private,
        )
        if len({account.user for account in rule.accounts}) != len(rule.accounts):
            raise _invalid("basic_auth names a user twice")
        if rule.asks and proto != "http":
            raise _invalid("basic_auth, bearer and private are for http; tcp has allow and deny")
        return None if rule == cls() else rule

    @property
    def asks(self) -> bool:
        """Whether a visitor has to prove to be welcome."""
        return self.private or bool(self.accounts or self.tokens)

    @property
    def by_address(self) -> bool:
        """Whether it matters where a visitor comes from."""
        return bool(self.allow or self.deny)

    def admits(self, address: Address | None) -> bool:
        """Whether a visitor may come from there; None stands for an unknown address."""
        if not self.by_address:
            return True
        if address is None or _within(address, self.deny):
            return False
        return not self.allow or _within(address, self.allow)

    def has_token(self, token: bytes) -> bool:
        """Whether it is one of the tokens."""
        if not self.tokens or not 0 < len(token) <= MAX_CREDENTIAL:
            return False
        digest = token_digest(token)
        # Each is compared, so that the time tells nothing.
        return sum([hmac.compare_digest(digest, known) for known in self.tokens]) > 0

    def account_of(self, user: bytes) -> Account:
        """The account to check a password with: some other one where there is no such user.

        So a name that there is takes no other time than one that there is not; the hash
        of the latter fits no password.
        """
        for account in self.accounts:
            if account.user == user:
                return account
        return Account(user, self.accounts[0].salt, b"")


def _invalid(reason: str) -> Refused:
    return Refused(Code.INVALID, f"who may visit: {reason}")


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _read_list(options: Mapping[str, Any], key: str, most: int) -> list[Any]:
    values = options.get(key) or []
    if not isinstance(values, list) or len(values) > most:
        raise _invalid(f"{key} must be a list of {most} items at most")
    return values


def _read_networks(options: Mapping[str, Any], key: str) -> tuple[Network, ...]:
    values = _read_list(options, key, _MAX_NETWORKS)
    if not all(isinstance(value, str) for value in values):
        raise _invalid(f"{key} must be a list of addresses and networks")
    try:
        return tuple(map(parse_network, values))
    except ValueError as error:
        raise _invalid(f"{key}: {error}") from error


def _read_account(value: Any) -> Account:
    if isinstance(value, dict):
        user, salt, digest = value.get("user"), value.get("salt"), value.get("hash")
        if (
            isinstance(user, str)
            and _match_user(user)
            and len(user.encode()) <= MAX_CREDENTIAL
            and isinstance(salt, str)
            and _match_salt(salt)
            and isinstance(digest, str)
            and _match_digest(digest)
        ):
            return Account(credential_bytes(user), bytes.fromhex(salt), bytes.fromhex(digest))
    raise _invalid(
        "basic_auth must be a list of objects with user, salt (32 hex digits) and hash (64)"
    )


def _read_digest(value: Any) -> bytes:
    if isinstance(value, str) and _match_digest(value):
        return bytes.fromhex(value)
    raise _invalid("bearer must be a list of SHA-256 digests, 64 hex digits each")
