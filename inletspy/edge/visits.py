"""Visitors of services that are not for everybody: asked, let in, or turned away.

`Visits` holds each request against its service's rule before anything of it reaches the
tunnel, and takes out what it was let in by: the upstream never sees the tunnel's own
credentials. What the rules are, `inletspy.policy.visits` knows.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Container, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import ISSLTransport

from inletspy.edge import pages
from inletspy.edge.login import Login
from inletspy.edge.passwords import InThread, PasswordChecks
from inletspy.interfaces import ISettings
from inletspy.policy.guesses import Guesses
from inletspy.policy.links import PARAMETER, link_end
from inletspy.policy.sources import block_of, read_address, source_of
from inletspy.policy.tokens import UNGUESSABLE
from inletspy.policy.visits import MAX_CREDENTIAL, VisitRule, credential_bytes, token_digest
from inletspy.wire.cookies import cookie_values, without_cookies
from inletspy.wire.http1 import RequestHead

if TYPE_CHECKING:
    from inletspy.edge.channel import EdgeChannel
    from inletspy.edge.exchange import Exchange
    from inletspy.tunnel.session import Service

__all__ = ["COOKIE", "Visit", "Visits", "without_leave"]

#: The cookie of visitors with a share link.
COOKIE: Final = "tunnel_visit"
#: The same over https; only the host itself can set one whose name begins like this (RFC
#: 6265bis, 4.1.3.2).
_SECURE_COOKIE: Final = f"__Host-{COOKIE}"
_COOKIES: Final = frozenset((_SECURE_COOKIE.encode(), COOKIE.encode()))
_TOKEN_FIELD: Final = b"x-tunnel-token"
_PARAMETER: Final = PARAMETER.encode() + b"="
#: Cookies of one name that are looked at in one request, at most.
_MAX_TRIED: Final = 16
#: Wrong guesses at one service, wherever they come from, before each further one makes all
#: wait whom it does not know, and for how many seconds at most: nobody is to lock them out.
_FREE_GUESSES: Final = 100
_LONGEST_WAIT: Final = 10
#: The longest credentials of Basic authentication that can be right, in base64.
_MAX_BASIC: Final = (2 * MAX_CREDENTIAL + 1) * 4 // 3 + 4


class Visit:
    """One request, as far as it matters who makes it.

    Attributes:
        rule: the service's.
        fields: the values of each field, by its name in lower case.
        address: where the visitor comes from; None if that is not known.
        secure: whether the visitor speaks TLS.
        link_token: the token of a share link, where the target has one.
        target: the target without it.
    """

    def __init__(
        self,
        channel: EdgeChannel,
        request: RequestHead,
        service: Service,
        rule: VisitRule,
        secure: bool,
    ) -> None:
        self.channel = channel
        self.request = request
        self.service = service
        self.rule = rule
        self.fields: dict[bytes, list[bytes]] = {}
        for line in request.lines.split(b"\r\n"):
            name, _, value = line.partition(b":")
            self.fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
        self.link_token, self.target = _without_token(request.target)
        self.address = read_address(channel.address)
        self.secure = secure or ISSLTransport.providedBy(channel.transport)
        if channel.site.trusts(channel):
            self._believe_proxy(channel)

    def _believe_proxy(self, channel: EdgeChannel) -> None:
        scheme = self.last(b"x-forwarded-proto")
        if scheme:
            self.secure = scheme.lower() == b"https"
        listed = b",".join(self.fields.get(b"x-forwarded-for", [])).decode("latin-1")
        trusted = channel.site.settings.current.trusted_proxies
        self.address = source_of(channel.address, listed, trusted)

    def last(self, name: bytes) -> bytes:
        """The last item of a field that is a list; empty if there is none."""
        return self.fields.get(name, [b""])[-1].rpartition(b",")[2].strip(b" \t")

    def only(self, name: bytes) -> bytes:
        """The value of a field that is there once; empty otherwise."""
        values = self.fields.get(name, [])
        return values[0] if len(values) == 1 else b""

    @property
    def loads_page(self) -> bool:
        """Whether a person is to see the answer, rather than a program."""
        mode = self.only(b"sec-fetch-mode")
        if self.request.upgrade or (mode and mode != b"navigate"):
            return False
        return bool(mode) or b"text/html" in self.only(b"accept").lower()

    @property
    def unasked(self) -> bool:
        """Whether a page of another origin opens a connection, with the visitor's cookies.

        No browser asks whether it may, as it does for requests.
        """
        if not self.request.upgrade or b"origin" not in self.fields:
            return False
        host = self.only(b"origin").lower().partition(b"://")[2]
        return re.sub(rb":[0-9]*$", b"", host) != self.request.host

    @property
    def basic(self) -> tuple[bytes, bytes] | None:
        """User and password, where the rule asks for them."""
        if not self.rule.accounts or self.unasked:
            return None
        return _basic(self.only(b"authorization"))

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks if a page of another origin may ask."""
        return (
            self.request.method == b"OPTIONS"
            and b"origin" in self.fields
            and b"access-control-request-method" in self.fields
        )

    @property
    def block(self) -> str | None:
        """What counts as the visitor's address; None if that is not known."""
        return None if self.address is None else block_of(self.address)


class Visits:
    """Holds requests against the rules of their services.

    Args:
        settings: the settings in force.
        in_thread: runs a function in a thread.
        secure: whether the outside speaks TLS, where no proxy says what is spoken.
        now: seconds since the epoch.
        revoked: what share links are called that were revoked.
    """

    def __init__(
        self,
        settings: ISettings,
        in_thread: InThread,
        *,
        secure: bool,
        now: Callable[[], float],
        revoked: Callable[[], Container[str]],
    ) -> None:
        self._settings = settings
        self._passwords = PasswordChecks(in_thread)
        self._secure = secure
        self._now = now
        self._revoked = revoked
        #: Wrong guesses at a service from one address, and from all together.
        self._guesses = Guesses(now)
        self._all_guesses = Guesses(now, lambda: _FREE_GUESSES, _LONGEST_WAIT)

    def visit(
        self, channel: EdgeChannel, request: RequestHead, service: Service, rule: VisitRule
    ) -> Visit | None:
        """A request for a service with a rule, if it may come from where it comes from.

        Args:
            channel: the visitor's.
            request: its head.
            service: what it is for.
            rule: the service's.

        Returns:
            None if it may not; the visitor has been answered then.
        """
        visit = Visit(channel, request, service, rule, self._secure)
        if rule.admits(visit.address):
            return visit
        self._answer(visit, pages.ADDRESS_REFUSED)
        return None

    def enter(
        self, visit: Visit, exchange: Callable[[RequestHead], Exchange]
    ) -> Exchange | Login | None:
        """What becomes of a request that comes from where it may.

        Args:
            visit: see `visit`.
            exchange: makes the exchange for a visitor who may come in, with the head as
                the upstream may see it.

        Returns:
            None if the visitor has been answered already.
        """
        rule = visit.rule
        if not rule.asks:
            return exchange(without_leave(visit.request))
        if visit.is_preflight:
            visit.channel.answer_page(pages.PREFLIGHT)
            return None
        redeems = rule.private and visit.link_token and self._may_redirect(visit.request)
        if redeems:
            end = self._link_end(visit, visit.link_token)
            if end is not None:
                self._come_in(visit, self._cookie(visit, end))
                return None
        admitted = self._knows(visit) or self._try_tokens(visit)
        if isinstance(admitted, pages.Page):
            self._answer(visit, admitted)
            return None
        if admitted:
            if redeems:  # by an old link, and let in already
                self._come_in(visit)
                return None
            return exchange(without_leave(visit.request, rule))
        refusal = pages.LINK_OVER if redeems else pages.UNINVITED
        return self._try_password(visit, refusal, exchange)

    # -- share links

    def _link_end(self, visit: Visit, token: bytes) -> int | None:
        return link_end(
            token,
            self._settings.current.link_signing_key,
            visit.service.hostname,
            visit.service.session.owner.name,
            self._now(),
            self._revoked(),
        )

    @staticmethod
    def _may_redirect(request: RequestHead) -> bool:
        return request.method in (b"GET", b"HEAD") and not request.upgrade

    def _come_in(self, visit: Visit, *fields: str) -> None:
        """Have the visitor ask again, without the token in the address."""
        fields += (f"Location: {_location(visit.target)}", "Referrer-Policy: no-referrer")
        visit.channel.answer_page(replace(pages.COME_IN, fields=fields))

    def _cookie(self, visit: Visit, end: int) -> str:
        name = _SECURE_COOKIE if visit.secure else COOKIE
        cookie = (
            f"Set-Cookie: {name}={visit.link_token.decode('ascii')}; Path=/; "
            f"Max-Age={math.ceil(end - self._now())}; HttpOnly; SameSite=Lax"
        )
        return f"{cookie}; Secure" if visit.secure else cookie

    # -- what a visitor may prove to be welcome by

    def _knows(self, visit: Visit) -> bool:
        """Whether the visitor has a link, or comes with what was right before."""
        rule = visit.rule
        if rule.private:
            given = [visit.only(_TOKEN_FIELD)]
            cookies = [] if visit.unasked else visit.fields.get(b"cookie", [])
            # Pages of others can set those of the second name, as many as they like.
            for name in (_SECURE_COOKIE, COOKIE):
                names = frozenset((name.encode(),))
                values = [value for cookie in cookies for value in cookie_values(cookie, names)]
                given += values[:_MAX_TRIED]
            if any(self._link_end(visit, token) is not None for token in given):
                return True
        remembered = visit.service.visitors
        if not remembered:
            return False
        if any(token_digest(token) in remembered for token in _tokens(visit)):
            return True
        basic = visit.basic
        if basic is not None:
            mark = self._passwords.mark(rule.account_of(basic[0]), basic[1])
            return mark in remembered
        return False

    def _try_tokens(self, visit: Visit) -> bool | pages.Page:
        """True if one is right; a page if the visitor has to wait before trying.

        One that is too long to be guessed is let in all the same: else others could keep its
        holder out by wrong guesses.
        """
        for token in _tokens(visit) if visit.rule.tokens else ():
            wait = self._wait(visit)
            if (not wait or len(token) >= UNGUESSABLE) and visit.rule.has_token(token):
                visit.service.visitors.add(token_digest(token))
                return True
            if wait:
                return _slow_down(wait)
            self._guessed(visit)
        return False

    def _try_password(
        self,
        visit: Visit,
        refusal: pages.Page,
        exchange: Callable[[RequestHead], Exchange],
    ) -> Login | None:
        """A request that waits until the visitor's password is checked, if there is one."""
        refusal = self._refusal(visit, refusal)
        basic = visit.basic
        if basic is None:
            visit.channel.answer_page(refusal)
            return None
        user, password = basic
        service, block = visit.service, visit.block
        account = visit.rule.account_of(user)
        mark = self._passwords.mark(account, password)
        first = not self._passwords.under_way(mark)
        if first:
            wait = self._wait(visit)
            if wait or self._passwords.full(service.hostname, block):
                self._answer(visit, _slow_down(wait) if wait else pages.SIGNING_IN_BUSY)
                return None
            self._guessed(visit)

        def begin(tell: Callable[[bool], None]) -> None:
            def checked(right: bool) -> None:
                if right:
                    service.visitors.add(mark)
                    if first:
                        self._was_right(visit)
                tell(right)

            self._passwords.check(mark, account, password, checked, service.hostname, block)

        def admit() -> Exchange | None:
            if service.session.services.get(service.number) is not service:
                return None  # it went away meanwhile
            return exchange(without_leave(visit.request, visit.rule))

        return Login(visit.channel, visit.request, begin, admit, refusal)

    # -- wrong guesses

    def _counts(self, visit: Visit) -> list[tuple[Guesses, Hashable]]:
        """Where a visitor's wrong guesses are counted, and by what."""
        hostname = visit.service.hostname
        counts: list[tuple[Guesses, Hashable]] = [(self._all_guesses, hostname)]
        # One whose address is not known must not keep out all others of whom that is true.
        if visit.block is not None:
            counts.append((self._guesses, (hostname, visit.block)))
        return counts

    def _wait(self, visit: Visit) -> float:
        return max(guesses.wait(key) for guesses, key in self._counts(visit))

    def _guessed(self, visit: Visit) -> None:
        for guesses, key in self._counts(visit):
            guesses.guessed(key)

    def _was_right(self, visit: Visit) -> None:
        for guesses, key in self._counts(visit):
            guesses.was_right(key)

    # -- answers

    def _refusal(self, visit: Visit, page: pages.Page) -> pages.Page:
        challenges = []
        if visit.rule.accounts:
            challenges.append('WWW-Authenticate: Basic realm="tunnel", charset="UTF-8"')
        if visit.rule.tokens or not challenges:
            challenges.append('WWW-Authenticate: Bearer realm="tunnel"')
        return _for(visit, replace(page, fields=tuple(challenges)))

    def _answer(self, visit: Visit, page: pages.Page) -> None:
        visit.channel.answer_page(_for(visit, page))


def _for(visit: Visit, page: pages.Page) -> pages.Page:
    """The page in the form that suits who asks."""
    if visit.loads_page:
        return replace(page, for_programs=False)
    # A page of another origin may know why, too: nothing in the answer is secret.
    fields = (*page.fields, "Access-Control-Allow-Origin: *")
    return replace(page, for_programs=True, fields=fields)


def _slow_down(wait: float) -> pages.Page:
    return replace(pages.TOO_MANY_GUESSES, retry_after=math.ceil(wait))


def _tokens(visit: Visit) -> list[bytes]:
    """The tokens that came with a request, one a field at most."""
    given = [visit.only(_TOKEN_FIELD), _bearer(visit.only(b"authorization"))]
    return [token for token in given if 0 < len(token) <= MAX_CREDENTIAL]


def _bearer(authorization: bytes) -> bytes:
    """The token in an Authorization field (RFC 6750, 2.1); empty if there is none."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""


def _basic(authorization: bytes) -> tuple[bytes, bytes] | None:
    """User and password in an Authorization field (RFC 7617, 2); None if there are none.

    What is too long for both is not looked at.
    """
    scheme, _, coded = authorization.partition(b" ")
    coded = coded.strip(b" ")
    if scheme.lower() != b"basic" or len(coded) > _MAX_BASIC:
        return None
    try:
        text = base64.b64decode(coded, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error:
        return None
    user, colon, password = map(credential_bytes, text.partition(":"))
    if not colon or max(len(user), len(password)) > MAX_CREDENTIAL:
        return None
    return user, password


def without_leave(request: RequestHead, rule: VisitRule | None = None) -> RequestHead:
    """The request without what lets a visitor into a tunnel, which no upstream may learn.

    Who serves the name may be another than the one who made a link to it, and that one
    may come back. `X-Tunnel-Token` is left out of every head that is passed on.

    Args:
        request: as it came.
        rule: what the visitor was let in by; None where nobody is asked.
    """
    lines = [line.partition(b":") for line in request.lines.split(b"\r\n")[:-1]]
    is_own = rule is not None and any(
        name.lower() == b"authorization" and _is_own(value.strip(b" \t"), rule)
        for name, _, value in lines
    )
    kept = b""
    for name, colon, value in lines:
        lower = name.lower()
        if lower == b"cookie" and cookie_values(value, _COOKIES):
            cookies = without_cookies(value, _COOKIES)
            if cookies:
                kept += name + b": " + cookies + b"\r\n"
        elif lower != b"authorization" or not is_own:
            kept += name + colon + value + b"\r\n"
    _, target = _without_token(request.target)
    if kept == request.lines and target == request.target:
        return request
    return RequestHead(request.method, target, request.minor, kept)


def _is_own(authorization: bytes, rule: VisitRule) -> bool:
    """Whether an Authorization field is, or may be, for the tunnel."""
    if rule.accounts and authorization[:5].lower() == b"basic":
        return True
    return rule.has_token(_bearer(authorization))


def _without_token(target: bytes) -> tuple[bytes, bytes]:
    """The token of a share link in a request's target, and the target without it."""
    if _PARAMETER not in target:
        return b"", target
    path, _, query = target.partition(b"?")
    token = b""
    kept = []
    for item in query.split(b"&"):
        if item.startswith(_PARAMETER):
            token = item[len(_PARAMETER) :]
        else:
            kept.append(item)
    query = b"&".join(kept)
    return token, path + b"?" + query if query else path


def _location(target: bytes) -> str:
    """A target as a Location that leads to the same host, whatever stands in it."""
    if target[:1] != b"/":  # the absolute form; its host is the one that is asked already
        rest = target.partition(b"://")[2]
        start = min(i for i in (rest.find(b"/"), rest.find(b"?"), len(rest)) if i >= 0)
        target = rest[start:]
        if target[:1] != b"/":
            target = b"/" + target
    if target[1:2] in (b"/", b"\\"):  # a host would follow, to a browser
        target = b"/." + target
    return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in target)
