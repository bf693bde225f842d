"""Response heads as a strict proxy reads and rewrites them (RFC 9112, 4 and 6.3).

Like request heads (`http1`): checked whole by one expression, and passed on untouched
where nothing in them ends at this hop. What goes before and after a response on its
connection is not known here.
"""

from __future__ import annotations

import re
from typing import Final

from inletspy.errors import HeadError
from inletspy.wire.cookies import reaches
from inletspy.wire.fields import (
    CHUNKED,
    CLOSE,
    FIELDS,
    MAX_FIELDS,
    MAX_HEAD,
    NO_BODY,
    SIZED,
    VALUE,
    Span,
    content_length,
    list_items,
    lower_lines,
    named_spans,
    without,
)

__all__ = ["ResponseHead", "parse_response", "plain_length"]

_match_response = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})( " + VALUE + rb")?\r\n" + FIELDS
).fullmatch

# The look-ahead makes the expression fail on the first byte of most fields. Of cookies
# only those are found that may name a domain.
_find_fields = re.compile(
    rb"\n(?=[ctukps])(connection|content-length|transfer-encoding|trailer|upgrade|keep-alive"
    rb"|proxy-connection|set-cookie(?=:[^\r]*domain)):[ \t]*+([^\r]*+)\r"
).finditer

# Most heads are plain: nothing in them but a length, a connection that is kept, and fields
# that are none of a proxy's business. Those are read by one expression, at half the cost;
# for the others, and for all that begins like a field to look at, there is the long way.
# No group is repeated possessively: where one fails half-way, Python 3.11.2 goes on from
# there and not from its start.
_NAME_REST: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]*+"
_OTHERS: Final = (
    rb"(?:(?:[!#$%&'*+.^_`|~0-9ABD-JL-OQRV-Zabd-jl-oqrv-z-]" + _NAME_REST + rb"|[Ss]erver"
    rb"|[Cc](?:ontent-[TtEeDd]|ache-)" + _NAME_REST + rb"):" + VALUE + rb"\r\n)*"
)
_LENGTH: Final = rb"(?:[Cc]ontent-[Ll]ength:[ \t]*+([0-9]{1,18})[ \t]*+\r\n" + _OTHERS + rb")?"
_KEEP_ALIVE: Final = rb"(?:[Kk]eep-[Aa]live:" + VALUE + rb"\r\n)?"
_CONNECTION: Final = rb"[Cc]onnection:[ \t]*+[Kk]eep-[Aa]live[ \t]*+\r\n"
_KEPT: Final = rb"(?:(" + _KEEP_ALIVE + _CONNECTION + _KEEP_ALIVE + rb")" + _OTHERS + rb")?"
#: Status, where the fields begin, length, what is said of the connection, length.
_match_plain = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2}) " + VALUE + rb"\r\n()"
    rb"" + _OTHERS + _LENGTH + _KEPT + _LENGTH + rb"\r\n"
).fullmatch
#: Without a body, whatever is announced (RFC 9112, 6.3).
_BODILESS: Final = (b"204", b"304")
#: The longest head that is tried, in bytes: it can't have more fields than it may.
_MAX_PLAIN: Final = 8 * MAX_FIELDS


class ResponseHead:
    """A response's head that has passed every check.

    Attributes:
        status: the status code.
        minor: the upstream's minor version, 0 or 1.
        framing: NO_BODY, SIZED, CHUNKED or CLOSE.
        length: the body's bytes where framing is SIZED, else 0.
        keep_alive: whether the upstream takes another request on the connection.
        domain_cookies: where cookies are set that may name a domain.
    """

    __slots__ = (
        "_framing_spans",
        "_hop_by_hop",
        "_sent",
        "_upgrade",
        "domain_cookies",
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
        #: Transfer-Encoding and Trailer.
        self._framing_spans: list[Span] = []
        self.domain_cookies: tuple[Span, ...] = ()
        #: What the visitor gets if nothing is added or changed, where that is known already.
        self._sent: bytes | None = None
        self._read_fields(method)

    @classmethod
    def plain(cls, raw: bytes) -> ResponseHead | None:
        """The head, if it is a plain one; else None, and the long way is to be taken."""
        match = _match_plain(raw)
        if match is None:
            return None
        status, _, length, kept, late_length = match.groups()
        if status in _BODILESS or (length is not None and late_length is not None):
            return None
        head = cls.__new__(cls)
        start = match.start(2)
        head.raw = head._sent = raw
        head.minor = 1
        head.status = int(status)
        head.reason = raw[12 : start - 2]
        head.lines = raw[start:-2]
        head._upgrade = b""
        head._hop_by_hop = []
        head._framing_spans = []
        head.domain_cookies = ()
        if kept is not None:
            first, end = match.span(4)
            head._sent = raw[:first] + raw[end:]
            head._hop_by_hop.append((first - start, end - start))
        if length is None:
            length = late_length
        if length is None:
            head.framing, head.length, head.keep_alive = CLOSE, 0, False
        else:
            head.length = int(length)
            head.framing = SIZED if head.length else NO_BODY
            head.keep_alive = True
        return head

    @property
    def informational(self) -> bool:
        """Whether a further head follows (RFC 9110, 15.2)."""
        return self.status < 200 and self.status != 101

    def drop_cookies(self, domain: bytes) -> None:
        """Leave out the cookies that are set for `domain` or above; see `cookies.reaches`."""
        for span in self.domain_cookies:
            value = self.lines[span[0] : span[1]].partition(b":")[2]
            if reaches(value.strip(b" \t\r\n"), domain):
                self._hop_by_hop.append(span)

    def forward(self, extra: bytes = b"", unframed: bool = False) -> bytes:
        """The head to send to the visitor.

        Args:
            extra: complete field lines to add.
            unframed: leave out Transfer-Encoding and Trailer, for a visitor whose
                version knows neither.
        """
        if not extra and not unframed:
            if self._sent is not None:
                return self._sent
            if not self._hop_by_hop and self.minor and self.reason:
                return self.raw
        spans = self._hop_by_hop + self._framing_spans if unframed else self._hop_by_hop
        lines = without(self.lines, spans) if spans else self.lines
        if self.status == 101:
            extra += b"Connection: Upgrade\r\nUpgrade: " + self._upgrade + b"\r\n"
        if self.minor and self.reason:
            return self.raw[: -len(self.lines) - 2] + lines + extra + b"\r\n"
        # The space before a missing reason is owed all the same (RFC 9112, 4).
        return b"HTTP/1.1 %d%b\r\n%b%b\r\n" % (self.status, self.reason or b" ", lines, extra)

    def _read_fields(self, method: bytes) -> None:
        lower = lower_lines(self.lines)
        hop_by_hop = self._hop_by_hop
        connection: list[bytes] = []
        chunked = False
        length: int | None = None
        length_span: Span = (0, 0)
        for match in _find_fields(lower):
            name, value = match.groups()
            value = value.rstrip(b" \t")
            span = match.span()
            if name == b"content-length":
                number = content_length(value)
                if length is not None:
                    if number != length:
                        raise HeadError("differing Content-Length fields")
                    hop_by_hop.append(span)  # a repeated one says nothing new
                else:
                    length_span = span
                length = number
            elif name == b"transfer-encoding":
                if value != b"chunked" or chunked or not self.minor:
                    raise HeadError("a Transfer-Encoding other than chunked")
                chunked = True
                self._framing_spans.append(span)
            elif name == b"trailer":
                self._framing_spans.append(span)
            elif name == b"set-cookie":
                self.domain_cookies += (span,)
            else:
                hop_by_hop.append(span)
                if name == b"connection":
                    connection += list_items(value)
                elif name == b"upgrade":
                    self._upgrade = self.lines[span[0] + 8 : span[1] - 2].strip(b" \t")
        if chunked and length is not None:
            raise HeadError("Content-Length with Transfer-Encoding")
        if connection:
            if b"close" in connection:
                self.keep_alive = False
            elif b"keep-alive" in connection:
                self.keep_alive = True
            hop_by_hop += named_spans(lower, connection)
        status = self.status
        if status < 200 or status == 204:
            self._read_bodiless(chunked, length, length_span)
        elif status == 304 or method == b"HEAD":
            self.framing = NO_BODY
        elif chunked:
            self.framing = CHUNKED
        elif length is not None:
            self.framing = SIZED if length else NO_BODY
            self.length = length
        else:
            self.keep_alive = False

    def _read_bodiless(self, chunked: bool, length: int | None, length_span: Span) -> None:
        """A status that has no body, whatever is announced (RFC 9112, 6.3)."""
        self.framing = NO_BODY
        if self.status == 101 and not self._upgrade:
            raise HeadError("101 without Upgrade")
        if chunked or length:
            # Servers that announce one are known to send it, too.
            self.keep_alive = False
        # No such field belongs there (RFC 9110, 8.6; RFC 9112, 6.1).
        self._hop_by_hop += self._framing_spans
        if length is not None:
            self._hop_by_hop.append(length_span)


def plain_length(raw: bytes) -> tuple[int, int] | None:
    """Status and body length of a plain head that tells them; None for all other heads.

    For whoever wants nothing else, at half the cost of `parse_response`. Not for answers
    to HEAD.
    """
    match = _match_plain(raw) if len(raw) <= _MAX_PLAIN else None
    if match is None:
        return None
    status, _, length, _, late_length = match.groups()
    if (length is None) == (late_length is None) or status in _BODILESS:
        return None
    return int(status), int(length or late_length)


def parse_response(head: bytes, method: bytes) -> ResponseHead:
    """Read a response's head.

    Args:
        head: from the status line to the empty line, both included.
        method: of the request that it answers.

    Raises:
        HeadError: it can't be passed on.
    """
    if len(head) <= _MAX_PLAIN and method != b"HEAD":
        plain = ResponseHead.plain(head)
        if plain is not None:
            return plain
    elif len(head) > MAX_HEAD:
        raise HeadError("the response head is too long")
    match = _match_response(head)
    if match is None:
        raise HeadError("malformed response head")
    minor, status, reason, lines = match.groups()
    if lines.count(b"\n") > 2 * MAX_FIELDS:
        raise HeadError("the response head has too many fields")
    return ResponseHead(head, 1 if minor == b"1" else 0, int(status), reason or b"", lines, method)
