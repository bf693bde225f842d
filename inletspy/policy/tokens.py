"""Who a token stands for, and what it is good for.

The shared token is compared in constant time; a user's is found by its digest. Where
tokens are stored, and how they got here, is no business of this module.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from inletspy.errors import Code, Refused, TooManyGuesses
from inletspy.policy.private import read_share_token

if TYPE_CHECKING:
    from inletspy.policy.accounts import Accounts
    from inletspy.policy.guesses import Guesses

__all__ = [
    "SCOPES",
    "SHARED",
    "UNGUESSABLE",
    "Credential",
    "Owner",
    "TokenPolicy",
    "bearer_token",
    "is_token",
    "new_token",
    "readable_start",
    "token_digest",
]

#: What a token may allow: to open tunnels, to see one's own, to see and manage all.
SCOPES: Final = ("connect", "status", "admin")
DEFAULT_SCOPES: Final = frozenset(("connect", "status"))

#: So much one share token may have, lest its holders use up what is its owner's.
_GUEST_LIMITS: Final[Mapping[str, Any]] = {"sessions": 10, "streams": 500}

_SHARED_NAME: Final = "shared"
_ALPHABET: Final = string.ascii_letters + string.digits
#: So many characters of a token are shown; they tell it from others, and no more.
_READABLE: Final = 12
#: Tokens of so many characters can't be guessed, as long as they are random.
UNGUESSABLE: Final = 32


@dataclass(frozen=True)
class Owner:
    """The user, or all holders of the shared token, that a session or call acts for.

    Attributes:
        name: the user's name; `shared` for the shared token.
        prefix: what the user's hostnames and client ids begin with; empty for `shared`.
    """

    name: str
    prefix: str = ""

    @property
    def is_shared(self) -> bool:
        """Whether these are all holders of the shared token, and not one user."""
        return self.name == _SHARED_NAME

    def carried_by(self, text: str) -> bool:
        """Whether a label or client id is the owner's by its prefix."""
        return bool(self.prefix) and (text == self.prefix or text.startswith(f"{self.prefix}-"))


#: The owner that the shared token stands for; no user has its name.
SHARED: Final = Owner(_SHARED_NAME)


@dataclass(frozen=True)
class Credential:
    """A token that is good, as far as the server needs to know it.

    Attributes:
        owner: whom it stands for; two tokens of one user have the same owner.
        token: its readable start, which tells it from others; empty for the shared one.
        scopes: what it allows, some of `SCOPES`.
        names: patterns of the labels it is good for; empty for all that are its owner's.
        ports: public TCP ports it is good for; None for all.
        expires_at: seconds since the epoch; None for never.
        limits: its own in place of the settings'.
        digest: identifies the token itself.
        reaches: the one private service of its owner that it leads to, where it is a
            share token and good for nothing else; else empty.
        share_token: the share token itself; secret.
    """

    owner: Owner
    token: str = ""
    scopes: frozenset[str] = DEFAULT_SCOPES
    names: tuple[str, ...] = ()
    ports: range | None = None
    expires_at: float | None = None
    limits: Mapping[str, Any] = field(default_factory=dict, hash=False)
    digest: bytes = field(default=b"", repr=False)
    reaches: str = ""
    share_token: str = field(default="", repr=False)

    def allows(self, scope: str) -> bool:
        """Whether the token is good for that; who sees all sees the own, too."""
        return scope in self.scopes or (scope == "status" and "admin" in self.scopes)

    @property
    def opens_sessions(self) -> bool:
        """Whether a client may come with it."""
        return bool(self.reaches) or self.allows("connect")

    def good_for_private(self, name: str) -> bool:
        """Whether it leads to, or serves, the private service of its owner of that name."""
        if self.reaches:
            return name == self.reaches
        return not self.names or any(fnmatchcase(name, pattern) for pattern in self.names)


class TokenPolicy:
    """Tells whose a token is, and whether it still is.

    Args:
        shared_token: the shared token in force; empty while there is none.
        accounts: the users and tokens in force.
        now: the time since the epoch, in seconds.
        used: is told of each use of a user's token.
        guesses: counts wrong tokens; None counts none.
        wrong: is called for each wrong token, with where it comes from.
        signing_key: the key in force that share tokens are signed with; empty while there
            is none.
        revoked: what share tokens are called that were revoked.
    """

    def __init__(
        self,
        shared_token: Callable[[], str],
        accounts: Callable[[], Accounts],
        now: Callable[[], float],
        used: Callable[[Credential], None] = lambda credential: None,
        guesses: Guesses | None = None,
        wrong: Callable[[str], None] = lambda source: None,
        signing_key: Callable[[], str] = lambda: "",
        revoked: Callable[[], Container[str]] = frozenset,
    ) -> None:
        self._shared_token = shared_token
        self._accounts = accounts
        self._now = now
        self._signing_key = signing_key
        self._revoked = revoked
        self.used = used
        self._guesses = guesses
        self._wrong = wrong

    def authenticate(self, token: str, source: str | None = None) -> Credential | None:
        """What the token is good for; None if for nothing. An empty one is nobody's.

        Wrong ones make those who come from the same place wait. A good token that is too
        long to be guessed is let in all the same: many may share one address.

        Args:
            token: what somebody sent.
            source: by what wrong ones are counted; None counts nothing.

        Raises:
            TooManyGuesses: it is not looked at yet, or is wrong once more.
        """
        guesses = self._guesses
        if guesses is None or source is None:
            return self._find(token)
        wait = guesses.wait(source)
        credential = None
        if not wait or len(token) >= UNGUESSABLE:
            credential = self._find(token)
        if credential is None:
            self._wrong(source)
            if wait:
                raise TooManyGuesses(wait)
            guesses.guessed(source)
        return credential

    def _find(self, token: str) -> Credential | None:
        if not token:
            return None
        digest = token_digest(token)
        if digest in self._accounts().tokens:
            return self.known(digest)
        shared = self._shared_token()
        if shared and hmac.compare_digest(_bytes(token), _bytes(shared)):
            return Credential(SHARED, digest=digest)
        return None

    def known(self, digest: bytes | None) -> Credential | None:
        """What a token that somebody had is good for now; None if for nothing.

        Args:
            digest: of a user's token; None for the shared one.
        """
        if digest is None:
            shared = self._shared_token()
            return Credential(SHARED, digest=token_digest(shared)) if shared else None
        credential = self._accounts().tokens.get(digest)
        if credential is None or self._expired(credential):
            return None
        self.used(credential)
        return credential

    def guest(self, token: str) -> Credential | None:
        """What a share token is good for; None if for nothing."""
        leave = read_share_token(token, self._signing_key(), self._now(), self._revoked())
        if leave is None:
            return None
        owner_name, reaches = leave.service
        if owner_name == SHARED.name:
            owner = SHARED if self._shared_token() else None
        else:
            owner = self._accounts().owners.get(owner_name)
        if owner is None:
            return None
        return Credential(
            owner,
            f"for {reaches}",
            scopes=frozenset(),
            limits=_GUEST_LIMITS,
            expires_at=leave.end,
            digest=token_digest(token),
            reaches=reaches,
            share_token=token,
        )

    def renew(self, credential: Credential) -> Credential:
        """What became of a credential that was good.

        Raises:
            Refused: it is good no longer; the text says why.
        """
        if credential.share_token:
            guest = self.guest(credential.share_token)
            if guest is not None:
                return guest
            if self._expired(credential):
                raise _over("the share token has expired")
            raise _over("the share token is good no longer")
        if credential.owner.is_shared:
            shared = self._shared_token()
            if not shared:
                raise _over("the shared token was turned off")
            if credential.digest != token_digest(shared):
                raise _over("the shared token was changed")
            return credential
        accounts = self._accounts()
        current = accounts.tokens.get(credential.digest)
        if current is None:
            name = credential.owner.name
            if name not in accounts.owners:
                raise _over(f"the user {name} was removed")
            raise _over(f"the token {credential.token}… was revoked")
        if self._expired(current):
            raise _over(f"the token {credential.token}… has expired")
        return current

    def _expired(self, credential: Credential) -> bool:
        return credential.expires_at is not None and credential.expires_at <= self._now()


def _over(text: str) -> Refused:
    return Refused(Code.UNAUTHORIZED, text)


def new_token() -> str:
    """A token that nobody can guess (256 random bits), and that a double-click selects."""
    return "ipy_" + "".join(secrets.choice(_ALPHABET) for _ in range(43))


def readable_start(token: str) -> str:
    """The start of a token that may be shown."""
    return token[:_READABLE]


def token_digest(token: str) -> bytes:
    """What is kept of a token: its SHA-256, which is enough for a random one."""
    return hashlib.sha256(_bytes(token)).digest()


def is_token(text: str) -> bool:
    """Whether `text` can be sent as a bearer token by every client (RFC 6750, 2.1)."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _bytes(token: str) -> bytes:
    # What somebody sends may be any text, even one that no encoding has.
    return token.encode("utf-8", "surrogatepass")


def bearer_token(authorization: str | None) -> str:
    """The token in an Authorization field (RFC 6750, 2.1); empty if there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip(" \t") if scheme.lower() == "bearer" else ""
