"""Connections to the control port behind which nobody is known yet.

Holds how many there may be, of one address and in all, and how many wrong tokens may come
from one. Whom a token stands for, `policy.tokens` knows; what becomes of those who are
known, `control`.
"""

from __future__ import annotations

from collections.abc import Mapping

from autobahn.websocket.types import ConnectionDeny

from inletspy.errors import TooManyGuesses
from inletspy.interfaces import ISettings
from inletspy.policy.quotas import AddressQuota, Refusals
from inletspy.policy.sources import guesser, is_proxy
from inletspy.policy.tokens import Credential, TokenPolicy, bearer_token
from inletspy.tunnel.serverlink import ServerLink

__all__ = ["Strangers"]


class Strangers:
    """The links that carry no session yet.

    Args:
        settings: the settings in force.
        tokens: tells whose a token is.
        refusals: is told of limits that were reached.
        most: how many there may be in all.
    """

    def __init__(
        self, settings: ISettings, tokens: TokenPolicy, refusals: Refusals, most: int
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._refusals = refusals
        self._most = most
        #: With the address of each, the oldest first.
        self._links: dict[ServerLink, str] = {}
        self._quota = AddressQuota(
            lambda: settings.current.connections_per_address,
            lambda address: refusals.note(
                "strangers_per_address", f"{address} has as many links without a session as it may"
            ),
        )

    def __len__(self) -> int:
        return len(self._links)

    def come(self, link: ServerLink) -> None:
        """Somebody has come; cut off at once, if there are too many."""
        source = link.source
        exempt = is_proxy(source, self._settings.current.trusted_proxies)
        if not self._quota.take(source, exempt=exempt):
            link.abort()
            return
        self._links[link] = source
        if len(self._links) > self._most:
            # The oldest has had more time than an honest client needs.
            self._refusals.note("strangers", f"there are {self._most} links without a session")
            oldest = next(iter(self._links))
            self.leave(oldest)
            oldest.abort()

    def leave(self, link: ServerLink) -> None:
        """One carries a session now, or has gone; of no effect if it was none."""
        source = self._links.pop(link, None)
        if source is not None:
            self._quota.give_back(source)

    def authenticate(self, link: ServerLink, headers: Mapping[str, str]) -> Credential:
        """What one comes with.

        Raises:
            ConnectionDeny: nothing that is good for tunnels.
        """
        proxies = self._settings.current.trusted_proxies
        source = guesser(link.source, headers.get("x-forwarded-for", ""), proxies)
        token = bearer_token(headers.get("authorization"))
        try:
            credential = self._tokens.guest(token) or self._tokens.authenticate(token, source)
        except TooManyGuesses as error:
            link.retry_after = error.wait
            raise ConnectionDeny(429, str(error)) from error
        if credential is None:
            raise ConnectionDeny(401, "failed authentication")
        if not credential.opens_sessions:
            raise ConnectionDeny(403, "the token is not good for tunnels")
        return credential
