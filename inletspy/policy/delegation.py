"""What a token may hand on: another token of its owner's, of no more use than itself.

Pure decisions; where tokens are stored is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from inletspy.errors import Code, Refused
from inletspy.policy.accounts import check_pattern
from inletspy.policy.tokens import DEFAULT_SCOPES, SCOPES, Credential

__all__ = ["TokenWish"]


@dataclass(frozen=True)
class TokenWish:
    """What a new token is to be good for.

    Attributes:
        scopes: some of `SCOPES`; None for what is usual.
        names: patterns of labels; None for all that are its owner's.
        ports: public TCP ports; None for all.
        expires_in: seconds that it lasts; None for ever.
    """

    scopes: Sequence[str] | None = None
    names: Sequence[str] | None = None
    ports: range | None = None
    expires_in: float | None = None

    def within(self, maker: Credential, now: float) -> TokenWish:
        """The same, with the maker's own bounds where it says nothing.

        Args:
            maker: the token that it is asked for with.
            now: the time since the epoch, in seconds.

        Raises:
            Refused: it would be good for more than the maker.
            ValueError: a pattern is none.
        """
        if maker.limits:  # each token with limits is counted by itself
            raise _more("a token with limits of its own makes no others")
        return replace(
            self,
            scopes=self._scopes(maker),
            names=self._names(maker),
            ports=self._ports(maker),
            expires_in=self._expires_in(maker, now),
        )

    def _scopes(self, maker: Credential) -> Sequence[str]:
        if self.scopes is None:
            return [scope for scope in SCOPES if scope in maker.scopes & DEFAULT_SCOPES]
        for scope in self.scopes:
            if scope not in maker.scopes:
                raise _more(f"scopes: this token lacks {scope} itself")
        return self.scopes

    def _names(self, maker: Credential) -> Sequence[str]:
        if self.names is None:
            return maker.names
        for pattern in map(check_pattern, self.names):
            # A `*` in it matches nothing but a `*`: what is matched so is so for all it stands for.
            if maker.names and not any(fnmatchcase(pattern, own) for own in maker.names):
                own = ", ".join(maker.names)
                raise _more(f"names: {pattern} goes beyond those of this token, {own}")
            if not maker.names and not maker.owner.carried_by(pattern):
                raise _more(f"names: {pattern} does not begin with {maker.owner.prefix}-")
        return self.names

    def _ports(self, maker: Credential) -> range | None:
        own, wanted = maker.ports, self.ports
        if own is None or wanted is None:
            return own if wanted is None else wanted
        if wanted[0] not in own or wanted[-1] not in own:
            raise _more(f"ports: this token is good for {own[0]} to {own[-1]} only")
        return wanted

    def _expires_in(self, maker: Credential, now: float) -> float | None:
        if maker.expires_at is None:
            return self.expires_in
        left = maker.expires_at - now
        if self.expires_in is not None and self.expires_in > left:
            raise _more(f"expires_in: this token lasts {int(left)} seconds more itself")
        return left if self.expires_in is None else self.expires_in


def _more(text: str) -> Refused:
    return Refused(Code.UNAUTHORIZED, text)
