"""Sign-ins of people at the status port: signed, and good no longer than their token is.

A sign-in is a text that a browser keeps. It names the token it was made with and is not
that token; nothing of it is stored, so it outlives a restart. A link for signing in has a
code that is good once, for minutes, and is kept in memory. How both travel is the business
of `inletspy.web`.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from inletspy.policy.links import sign
from inletspy.policy.tokens import Credential, token_digest

__all__ = ["CODE_SECONDS", "SIGN_IN_SECONDS", "SignIn", "SignIns"]

#: How long a sign-in lasts, and how long a code for one.
SIGN_IN_SECONDS: Final = 12 * 3600
CODE_SECONDS: Final = 300
#: Codes at once for one token; of more, the oldest is good no longer.
_MAX_CODES: Final = 16
#: Sign-outs that are remembered; of more, the oldest is forgotten.
_MAX_OVER: Final = 10_000

_PURPOSE: Final = "inletspy sign-in"
#: What stands for the shared token, which may be one that people think of: its digest, then,
#: is nothing to give away.
_SHARED: Final = "shared"

_match_text = re.compile(
    r"1\.([0-9]{1,12})\.[A-Za-z0-9_-]{16}\.(shared|[A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})"
).fullmatch


@dataclass(frozen=True)
class SignIn:
    """A good one.

    Attributes:
        text: what the browser keeps; secret.
        credential: what it is good for.
        end: when it is over, in seconds since the epoch.
    """

    text: str = field(repr=False)
    credential: Credential
    end: int


class SignIns:
    """Makes sign-ins, and tells which are good.

    Args:
        known: what the token of a digest is good for by now, None if for nothing; the
            shared one where no digest is given.
        key: signs them; a change ends all. Empty while there is none.
        now: the time since the epoch, in seconds.
    """

    def __init__(
        self,
        known: Callable[[bytes | None], Credential | None],
        key: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        self._known = known
        self._key = key
        self.now = now
        #: Digest of a code to whom it signs in and when it is over, the oldest first.
        self._codes: dict[bytes, tuple[Credential, float]] = {}
        #: Digests of sign-ins that were ended before their time, with that.
        self._over: dict[bytes, int] = {}

    @property
    def possible(self) -> bool:
        """Whether there is a key to sign with."""
        return bool(self._key())

    def begin(self, credential: Credential) -> SignIn:
        """A sign-in for who came with a token; there is a key."""
        end = int(self.now()) + SIGN_IN_SECONDS
        if credential.expires_at is not None:
            end = min(end, int(credential.expires_at))
        name = _SHARED if credential.owner.is_shared else _text(credential.digest)
        text = f"1.{end}.{secrets.token_urlsafe(12)}.{name}"
        return SignIn(f"{text}.{self._sign(text, credential)}", credential, end)

    def read(self, text: str) -> SignIn | None:
        """The sign-in that a text stands for; None if it is no good, or no longer.

        Args:
            text: as it came, from whomever.
        """
        match = _match_text(text)
        if match is None or not self.possible:
            return None
        end, name, signature = int(match[1]), match[2], match[3]
        if not self.now() < end <= self.now() + SIGN_IN_SECONDS + 60:
            return None
        credential = self._known(None if name == _SHARED else _bytes(name))
        if credential is None or token_digest(text) in self._over:
            return None
        if not hmac.compare_digest(signature, self._sign(text.rpartition(".")[0], credential)):
            return None
        return SignIn(text, credential, end)

    def end(self, sign_in: SignIn) -> None:
        """Make it good for nothing, for as long as this process runs."""
        now = self.now()
        self._over = {digest: end for digest, end in self._over.items() if end > now}
        if len(self._over) >= _MAX_OVER:
            del self._over[next(iter(self._over))]
        self._over[token_digest(sign_in.text)] = sign_in.end

    def renew(self, credential: Credential) -> Credential | None:
        """What became of a credential that was good; None if it is so no longer."""
        known = self._known(None if credential.owner.is_shared else credential.digest)
        return known if known is not None and known.digest == credential.digest else None

    # -- codes

    def new_code(self, credential: Credential) -> tuple[str, int]:
        """A code that signs in once whoever has it, and when it is over."""
        now = self.now()
        self._codes = {code: kept for code, kept in self._codes.items() if kept[1] > now}
        own = [key for key, kept in self._codes.items() if kept[0].digest == credential.digest]
        for key in own[: max(0, len(own) - _MAX_CODES + 1)]:
            del self._codes[key]
        code, end = secrets.token_urlsafe(32), int(now) + CODE_SECONDS
        self._codes[token_digest(code)] = (credential, end)
        return code, end

    def redeem(self, code: str) -> Credential | None:
        """What a code's token is good for now; None if the code is no good. It is none after."""
        credential, end = self._codes.pop(token_digest(code), (None, 0.0))
        if credential is None or end <= self.now():
            return None
        return self.renew(credential)

    def _sign(self, text: str, credential: Credential) -> str:
        # The digest, so that what the shared token was changed from signs in no more.
        return sign(self._key(), _PURPOSE, text, _text(credential.digest))


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=")
