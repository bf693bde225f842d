"""HTTP/1.1 heads as a strict proxy reads and rewrites them (RFC 9112, RFC 9110).

Owns what may pass: a head is checked whole by one compiled expression, and the few
fields that a proxy acts on are found by a second one on a lower-cased copy. What can't
be understood in one way only is refused, so that two programs never disagree on where
a message ends. It holds no connection state and never sees a socket; message bodies
are in `bodies`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from inletspy.errors import HeadError

__all__ = [
    "CHUNKED",
    "CLOSE",
    "MAX_FIELDS",
    "MAX_HEAD",
    "NO_BODY",
    "SIZED",
    "RequestHead",
    "ResponseHead",
    "check_partial_head",
    "parse_request",
    "parse_response",
]

#: How the end of a message's body is found (RFC 9112, 6.3).
NO_BODY: Final = 0
SIZED: Final = 1
CHUNKED: Final = 2
CLOSE: Final = 3

#: The longest head, in bytes, and the most fields in it.
MAX_HEAD: Final = 65536
MAX_FIELDS: Final = 100

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
#: A field value: visible bytes, obs-text, space and tab (RFC 9110, 5.5).
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]*+"
_FIELDS = rb"((?:" + _TOKEN + rb":" + _VALUE + rb"\r\n)*+)\r\n"

_match_request = re.compile(
    rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]++) HTTP/1\.([01])\r\n" + _FIELDS
).fullmatch
_match_response = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})( " + _VALUE + rb")?\r\n" + _FIELDS
).fullmatch

# The look-ahead makes the expression fail on the first byte of most fields.
_find_request_fields = re.compile(
    rb"(?:^|\n)(?=[hctuekpfx])(host|connection|content-length|transfer-encoding|upgrade|expect"
    rb"|te|keep-alive|proxy-connection|forwarded|x-forwarded-[^:]*+|x-real-ip|x-request-id)"
    rb":[ \t]*+([^\r]*+)\r"
).finditer
_find_response_fields = re.compile(
    rb"(?:^|\n)(?=[ctukp])(connection|content-length|transfer-encoding|trailer|upgrade|keep-alive"
    rb"|proxy-connection):[ \t]*+([^\r]*+)\r"
).finditer

_match_authority = re.compile(
    rb"(?:([a-z0-9_-][a-z0-9._-]*)|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?"
).fullmatch
_match_absolute = re.compile(rb"https?://([^/?#@]*)(?:[/?].*)?", re.IGNORECASE).fullmatch

#: Fields that a `Connection` option can't take away, since routing and framing rest on them.
_NEVER_HOP_BY_HOP = frozenset((b"host", b"content-length", b"transfer-encoding", b"trailer"))
_KNOWN_OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"proxy-connection", b""))
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))

Span = tuple[int, int]


def check_partial_head(data: bytes) -> None:
    """Refuse what can't become a head any more, before its end has come.

    Raises:
        HeadError: a bare LF or CR, a NUL, or more bytes than a head may have.
    """
    if len(data) > MAX_HEAD:
        if b"\r\n" not in data:
            raise HeadError("the request line is too long", 414)
        raise HeadError("the head is too long", 431)
    if b"\n" in data and data.count(b"\n") != data.count(b"\r\n"):
        raise HeadError("a line ends without CR")
    if b"\0" in data:
        raise HeadError("a NUL byte in the head")


def _without(lines: bytes, spans: Iterable[Span]) -> bytes:
    """The field lines less those at `spans`, which may come in any order."""
    kept = []
    position = 0
    for start, end in sorted(spans):
        if start > position:
            kept.append(lines[position:start])
        position = max(position, end)
    kept.append(lines[position:])
    return b"".join(kept)


def _content_length(value: bytes) -> int:
    """The value of a Content-Length field (RFC 9110, 8.6)."""
    if not value.isdigit() or len(value) > 18:
        raise HeadError("malformed Content-Length")
    return int(value)


def _options(connection: bytes) -> list[bytes]:
    return [option.strip(b" \t") for option in connection.split(b",")]


def _named_spans(lines: bytes, lower: bytes, options: list[bytes]) -> list[Span]:
    """Where the fields stand that `Connection` names besides the usual (RFC 9110, 7.6.1)."""
    spans = []
    for option in options:
        if option in _KNOWN_OPTIONS or option in _NEVER_HOP_BY_HOP:
            continue
        for match in re.finditer(rb"(?:^|\n)(" + re.escape(option) + rb":[^\r]*+\r\n)", lower):
            spans.append(match.span(1))
    return spans


class RequestHead:
    """A request's head that has passed every check.

    Attributes:
        method: as sent.
        target: as sent, byte for byte.
        minor: the minor version, 0 or 1.
        lines: the field lines as sent, each with its CRLF.
        authority: host and port that were asked for, lower case; empty if HTTP/1.0
            named none.
        host: the host alone, without port and trailing dot.
        framing: NO_BODY, SIZED or CHUNKED.
        length: the body's bytes where framing is SIZED, else 0.
        keep_alive: whether the visitor wants to use the connection again.
        upgrade: what to switch to; empty unless both headers ask for it.
        expects_continue: whether the visitor waits for 100 (RFC 9110, 10.1.1).
        has_request_id: whether X-Request-Id came with it.
    """

    __slots__ = (
        "_forwarding",
        "_hop_by_hop",
        "_host_span",
        "_trailers",
        "authority",
        "expects_continue",
        "framing",
        "has_request_id",
        "host",
        "keep_alive",
        "length",
        "lines",
        "method",
        "minor",
        "target",
        "upgrade",
    )

    def __init__(self, method: bytes, target: bytes, minor: int, lines: bytes) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.lines = lines
        self.framing = NO_BODY
        self.length = 0
        self.upgrade = b""
        self.expects_continue = False
        self.has_request_id = False
        self.authority = b""
        self._trailers = False
        self._host_span: Span | None = None
        self._hop_by_hop: list[Span] = []
        self._forwarding: list[Span] = []
        self._read_fields()
        self._check_target()
        match = _match_authority(self.authority)
        if match is None and (self.authority or minor):
            raise HeadError("malformed Host" if self._host_span else "no Host")
        self.host = self._host_of(self.authority)

    @property
    def has_host(self) -> bool:
        """Whether a Host field came with it."""
        return self._host_span is not None

    @property
    def retriable(self) -> bool:
        """Whether sending it twice does no harm and needs no stored body (RFC 9110, 9.2.2)."""
        return self.framing == NO_BODY and self.method in _IDEMPOTENT and not self.upgrade

    @property
    def forwarding_fields(self) -> list[bytes]:
        """The X-Forwarded and Forwarded lines that came with it, without CRLF."""
        return [self.lines[start : end - 2] for start, end in self._forwarding]

    def field(self, name: bytes) -> bytes | None:
        """The value of the first field of that (lower-case) name, or None.

        For the rare paths only: it copies all fields.
        """
        prefix = name + b":"
        for line in self.lines.split(b"\r\n"):
            if line[: len(prefix)].lower() == prefix:
                return line[len(prefix) :].strip(b" \t")
        return None

    def forward(
        self, extra: bytes, host: bytes | None = None, keep_forwarding: bool = False
    ) -> bytes:
        """The head to send to the upstream.

        Args:
            extra: complete field lines to add.
            host: takes the place of the Host that the visitor sent.
            keep_forwarding: keep the X-Forwarded and Forwarded fields that came.
        """
        spans = self._hop_by_hop
        if not keep_forwarding and self._forwarding:
            spans = spans + self._forwarding
        lines = self.lines
        if host is not None:
            if self._host_span is not None:
                spans = [*spans, self._host_span]
            extra = b"Host: " + host + b"\r\n" + extra
        if spans:
            lines = _without(lines, spans)
        if self.upgrade:
            extra += b"Connection: Upgrade\r\nUpgrade: " + self.upgrade + b"\r\n"
        elif self._trailers:
            extra += b"Connection: TE\r\nTE: trailers\r\n"
        return b"".join(
            (self.method, b" ", self.target, b" HTTP/1.1\r\n", lines, extra, b"\r\n")
        )

    def _read_fields(self) -> None:
        lower = self.lines.lower()
        hop_by_hop = self._hop_by_hop
        connection: list[bytes] = []
        upgrade_span: Span | None = None
        chunked = False
        length: int | None = None
        for match in _find_request_fields(lower):
            name, value = match.groups()
            value = value.rstrip(b" \t")
            span = (match.start(1), match.end() + 1)
            if name == b"host":
                if self._host_span is not None:
                    raise HeadError("more than one Host")
                self._host_span = span
                self.authority = value
            elif name == b"connection":
                connection += _options(value)
                hop_by_hop.append(span)
            elif name == b"content-length":
                number = _content_length(value)
                if length is not None:
                    if number != length:
                        raise HeadError("differing Content-Length fields")
                    hop_by_hop.append(span)  # a repeated one says nothing new
                length = number
            elif name == b"transfer-encoding":
                if value != b"chunked" or chunked or not self.minor:
                    raise HeadError("a Transfer-Encoding other than chunked")
                chunked = True
            elif name == b"upgrade":
                upgrade_span = span
                hop_by_hop.append(span)
            elif name == b"expect":
                if value != b"100-continue":
                    raise HeadError("an unknown expectation", 417)
                if self.minor:
                    self.expects_continue = True
                else:
                    hop_by_hop.append(span)  # HTTP/1.0 can't mean it (RFC 9110, 10.1.1)
            elif name == b"te":
                self._trailers |= b"trailers" in value
                hop_by_hop.append(span)
            elif name == b"x-request-id":
                self.has_request_id = True
            elif name in (b"keep-alive", b"proxy-connection"):
                hop_by_hop.append(span)
            else:
                self._forwarding.append(span)

        if chunked:
            if length is not None:
                raise HeadError("Content-Length with Transfer-Encoding")
            self.framing = CHUNKED
        elif length:
            self.framing = SIZED
            self.length = length
        self.keep_alive = b"close" not in connection and (
            self.minor == 1 or b"keep-alive" in connection
        )
        if connection:
            if upgrade_span is not None and b"upgrade" in connection and self.minor:
                start, end = upgrade_span
                self.upgrade = self.lines[start + 8 : end - 2].strip(b" \t")
            hop_by_hop += _named_spans(self.lines, lower, connection)

    def _check_target(self) -> None:
        """Check the target's form, and let an absolute one say the host (RFC 9112, 3.2)."""
        target = self.target
        if target[:1] == b"/" or (target == b"*" and self.method == b"OPTIONS"):
            return
        if self.method == b"CONNECT":
            raise HeadError("CONNECT is not served here", 501)
        match = _match_absolute(target)
        if match is None:
            raise HeadError("malformed request target")
        authority = match[1].lower()
        # A front end that trusts Host and a back end that trusts the target must agree.
        if self.authority and self._host_of(self.authority) != self._host_of(authority):
            raise HeadError("the request target and Host name different hosts")
        self.authority = authority

    @staticmethod
    def _host_of(authority: bytes) -> bytes:
        if authority[:1] == b"[":
            return authority.partition(b"]")[0] + b"]"
        host = authority.partition(b":")[0]
        return host[:-1] if host[-1:] == b"." else host


class ResponseHead:
    """A response's head that has passed every check.

    Attributes:
        status: the status code.
        minor: the upstream's minor version, 0 or 1.
        framing: NO_BODY, SIZED, CHUNKED or CLOSE.
        length: the body's bytes where framing is SIZED, else 0.
        keep_alive: whether the upstream takes another request on the connection.
    """

    __slots__ = (
        "_framing_spans",
        "_hop_by_hop",
        "_upgrade",
        "framing",
        "keep_alive",
        "length",
        "lines",
        "minor",
        "raw",
        "reason",
        "status",
    )

    def __init__(
        self, raw: bytes, minor: int, status: int, reason: bytes, lines: bytes, method: bytes
    ) -> None:
        self.raw = raw
        self.minor = minor
        self.status = status
        self.reason = reason
        self.lines = lines
        self.framing = CLOSE
        self.length = 0
        self.keep_alive = minor == 1
        self._upgrade = b""
        self._hop_by_hop: list[Span] = []
        self._framing_spans: list[Span] = []
        self._read_fields(method)

    @property
    def informational(self) -> bool:
        """Whether a further head follows (RFC 9110, 15.2)."""
        return self.status < 200 and self.status != 101

    def forward(self, extra: bytes = b"", unframed: bool = False) -> bytes:
        """The head to send to the visitor.

        Args:
            extra: complete field lines to add.
            unframed: leave out Transfer-Encoding and Trailer, for a visitor whose
                version knows neither.
        """
        if not self._hop_by_hop and not extra and not unframed and self.minor:
            return self.raw
        spans = self._hop_by_hop + self._framing_spans if unframed else self._hop_by_hop
        lines = _without(self.lines, spans) if spans else self.lines
        if self.status == 101:
            extra += b"Connection: Upgrade\r\nUpgrade: " + self._upgrade + b"\r\n"
        return b"HTTP/1.1 %d%b\r\n%b%b\r\n" % (self.status, self.reason, lines, extra)

    def _read_fields(self, method: bytes) -> None:
        lower = self.lines.lower()
        connection: list[bytes] = []
        chunked = False
        length: int | None = None
        for match in _find_response_fields(lower):
            name, value = match.groups()
            value = value.rstrip(b" \t")
            span = (match.start(1), match.end() + 1)
            if name == b"content-length":
                number = _content_length(value)
                if length is not None:
                    if number != length:
                        raise HeadError("differing Content-Length fields")
                    self._hop_by_hop.append(span)
                length = number
            elif name == b"transfer-encoding":
                if value != b"chunked" or chunked or not self.minor:
                    raise HeadError("a Transfer-Encoding other than chunked")
                chunked = True
                self._framing_spans.append(span)
            elif name == b"trailer":
                self._framing_spans.append(span)
            else:
                self._hop_by_hop.append(span)
                if name == b"connection":
                    connection += _options(value)
                elif name == b"upgrade":
                    self._upgrade = self.lines[span[0] + 8 : span[1] - 2].strip(b" \t")
        if chunked and length is not None:
            raise HeadError("Content-Length with Transfer-Encoding")
        if self.status < 200 or self.status in (204, 304) or method == b"HEAD":
            self.framing = NO_BODY
        elif chunked:
            self.framing = CHUNKED
        elif length is not None:
            self.framing = SIZED if length else NO_BODY
            self.length = length
        if connection:
            if b"close" in connection:
                self.keep_alive = False
            elif b"keep-alive" in connection:
                self.keep_alive = True
            self._hop_by_hop += _named_spans(self.lines, lower, connection)
        if self.framing == CLOSE:
            self.keep_alive = False


def parse_request(head: bytes) -> RequestHead:
    """Read a request's head.

    Args:
        head: from the request line to the empty line, both included.

    Raises:
        HeadError: it must be refused, with the error's status.
    """
    match = _match_request(head)
    if match is None:
        raise _fault(head)
    method, target, minor, lines = match.groups()
    if len(head) > MAX_HEAD or lines.count(b"\n") > MAX_FIELDS:
        raise HeadError("the head is too long", 431)
    return RequestHead(method, target, 1 if minor == b"1" else 0, lines)


def parse_response(head: bytes, method: bytes) -> ResponseHead:
    """Read a response's head.

    Args:
        head: from the status line to the empty line, both included.
        method: of the request that it answers.

    Raises:
        HeadError: it can't be passed on.
    """
    match = _match_response(head)
    if match is None:
        raise HeadError("malformed response head")
    minor, status, reason, lines = match.groups()
    if len(head) > MAX_HEAD or lines.count(b"\n") > 2 * MAX_FIELDS:
        raise HeadError("the response head is too long")
    return ResponseHead(head, 1 if minor == b"1" else 0, int(status), reason or b"", lines, method)


def _fault(head: bytes) -> HeadError:
    """Why a request's head does not match; slow, for the answer only."""
    line, _, lines = head.partition(b"\r\n")
    version = re.search(rb" HTTP/([0-9])\.[0-9]$", line)
    if version and re.search(rb" HTTP/1\.[01]$", line) is None:
        return HeadError("an HTTP version that is not served here", 505)
    if re.fullmatch(_TOKEN + rb" [^\x00-\x20\x7f]++ HTTP/1\.[01]", line) is None:
        return HeadError("malformed request line")
    if re.search(rb"(?:^|\n)[ \t]", lines):
        return HeadError("a folded header line")
    if re.search(rb"(?:^|\n)[^:\r\n]*[ \t]:", lines):
        return HeadError("a space before a header's colon")
    if b"\0" in lines:
        return HeadError("a NUL byte in the head")
    return HeadError("malformed header line")
