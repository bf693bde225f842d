"""Which of the names there can be are whose.

A name is one user's if it is reserved for that user, or carries that user's prefix; what
is nobody's, the shared token may take. Who holds a name at the moment is the route
table's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from inletspy.errors import Code, Refused
from inletspy.policy.accounts import Accounts
from inletspy.policy.names import base_label, check_label, grant_hostname
from inletspy.policy.tokens import Credential

__all__ = ["REFUSED_NAMES", "NameRules"]

#: Labels that mislead people, or that programs trust unasked (RFC 2142, RFC 6186; WPAD).
REFUSED_NAMES: Final = frozenset(
    [
        "abuse",
        "account",
        "accounts",
        "admin",
        "administrator",
        "api",
        "auth",
        "autoconfig",
        "autodiscover",
        "billing",
        "broadcasthost",
        "dashboard",
        "dns",
        "ftp",
        "hostmaster",
        "imap",
        "inlets",
        "inletspy",
        "isatap",
        "localdomain",
        "localhost",
        "login",
        "logout",
        "mail",
        "mx",
        "ns",
        "ns0",
        "ns1",
        "ns2",
        "ns3",
        "ns4",
        "oauth",
        "pop",
        "pop3",
        "postmaster",
        "root",
        "security",
        "signin",
        "signup",
        "smtp",
        "sso",
        "ssladmin",
        "status",
        "support",
        "webmail",
        "webmaster",
        "wpad",
        "www",
    ]
)

_MAX_LABEL: Final = 63


@dataclass(frozen=True)
class NameRules:
    """What decides on names just now.

    Attributes:
        accounts: users and their names.
        base_domain: the domain that labels stand under.
        custom_domains: whether the shared token may serve names outside it.
        refused: labels to refuse besides `REFUSED_NAMES`.
        own_hosts: where the server itself is reached.
    """

    accounts: Accounts
    base_domain: str
    custom_domains: bool = False
    refused: Collection[str] = ()
    own_hosts: Collection[str] = ()

    def grant(self, credential: Credential, requested: str, *, derived: bool = False) -> str:
        """The full hostname for what a client asks for.

        Args:
            credential: whom it acts for.
            requested: a label, a full hostname, or nothing for a generated name.
            derived: whether the client made it up by itself: then it may become another
                that is the owner's.

        Raises:
            Refused: there is no such name, or it can't be the client's.
        """
        custom_domains = self.custom_domains or not credential.owner.is_shared
        hostname = grant_hostname(requested, self.base_domain, custom_domains=custom_domains)
        objection = self.objection(credential, hostname)
        if objection is None:
            return hostname
        label = base_label(hostname, self.base_domain)
        if label is not None and (derived or not requested):
            for own in self._own_forms(credential, label):
                if self.objection(credential, own) is None:
                    return own
        raise objection

    def objection(self, credential: Credential, hostname: str) -> Refused | None:
        """Why a well-formed hostname can't be the client's; None if it can."""
        label = base_label(hostname, self.base_domain)
        owner = credential.owner
        reserved = self._reserved_for(hostname)
        if reserved is None:
            user = self.user_of(hostname)
            if user not in (None, owner.name):
                return _not_yours(f"{hostname} belongs to somebody else")
            if label in REFUSED_NAMES or label in self.refused or hostname in self.own_hosts:
                return _not_yours(f"{hostname} is given to nobody here, as it could mislead")
        elif reserved != owner.name:
            return _not_yours(f"{hostname} is reserved for somebody else")
        if credential.names:
            if label is not None and any(fnmatchcase(label, p) for p in credential.names):
                return None
            patterns = ", ".join(credential.names)
            return _not_yours(f"this token is not good for {hostname}, only for {patterns}")
        if reserved is not None or (label is not None and owner.carried_by(label)):
            return None
        if label is None:
            if owner.is_shared and self.custom_domains:
                return None
            return _not_yours(
                f"{hostname} can't be served here: names are given out under {self.base_domain}"
            )
        if owner.is_shared:
            return None
        own = next(self._own_forms(credential, label), owner.prefix)
        return _not_yours(
            f"{hostname} is not yours: your names begin with {owner.prefix}-, like {own}"
        )

    def user_of(self, hostname: str) -> str | None:
        """The name of the user whose alone a hostname is; None if it is nobody's."""
        reserved = self._reserved_for(hostname)
        label = base_label(hostname, self.base_domain)
        if reserved is not None or label is None:
            return reserved
        owner = self.accounts.owner_of(label)
        return owner.name if owner is not None else None

    def _reserved_for(self, hostname: str) -> str | None:
        label = base_label(hostname, self.base_domain)
        reserved = self.accounts.reserved
        return reserved.get(label or hostname) or reserved.get(hostname)

    def _own_forms(self, credential: Credential, label: str) -> Iterator[str]:
        """Hostnames made from `label` that may be the owner's."""
        if credential.owner.is_shared:
            return
        for pattern in credential.names or (f"{credential.owner.prefix}-*",):
            before, star, after = pattern.partition("*")
            own = _fitted(before, label, after.replace("*", "")) if star else pattern
            try:
                yield f"{check_label(own)}.{self.base_domain}"
            except ValueError:  # what a pattern made of it is no name
                continue


def _fitted(before: str, label: str, after: str) -> str:
    """The parts as one label, the middle one shortened where they are too long.

    The end of a name, which is mostly a port, stays. A digest keeps apart what would be
    the same by its start.
    """
    room = _MAX_LABEL - len(before) - len(after)
    if len(label) > room:
        head, hyphen, port = label.rpartition("-")
        tail = hyphen + port if head and len(port) <= 5 else ""
        digest = hashlib.sha256(label.encode()).hexdigest()[:6]
        start = label[: max(0, room - len(tail) - 7)].rstrip("-")
        label = f"{start}-{digest}{tail}" if start else f"{digest}{tail}"[: max(0, room)]
    return f"{before}{label}{after}"


def _not_yours(text: str) -> Refused:
    return Refused(Code.HOSTNAME_NOT_YOURS, f"{text}; choose another with --name")
