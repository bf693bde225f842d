"""Response heads as a strict proxy reads and rewrites them (RFC 9112, 4 and 6.3).

Like request heads (`http1`): checked whole by one expression, and passed on untouched
where nothing in them ends at this hop. What goes before and after a response on its
connection is not known here.
"""

from __future__ import annotations

import re

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

__all__ = ["ResponseHead", "parse_response"]

_match_response = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})( " + VALUE + rb")?\r\n" + FIELDS
).fullmatch

# The look-ahead makes the expression fail on the first byte of most fields. Of cookies
# only those are found that may name a domain.
_find_fields = re.compile(
    rb"\n(?=[ctukps])(connection|content-length|transfer-encoding|trailer|upgrade|keep-alive"
    rb"|proxy-connection|set-cookie(?=:[^\r]*domain)):[ \t]*+([^\r]*+)\r"
).finditer


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
        self._read_fields(method)

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
        if not self._hop_by_hop and not extra and not unframed and self.minor and self.reason:
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


def parse_response(head: bytes, method: bytes) -> ResponseHead:
    """Read a response's head.

    Args:
        head: from the status line to the empty line, both included.
        method: of the request that it answers.

    Raises:
        HeadError: it can't be passed on.
    """
    if len(head) > MAX_HEAD:
        raise HeadError("the response head is too long")
    match = _match_response(head)
    if match is None:
        raise HeadError("malformed response head")
    minor, status, reason, lines = match.groups()
    if lines.count(b"\n") > 2 * MAX_FIELDS:
        raise HeadError("the response head has too many fields")
    return ResponseHead(head, 1 if minor == b"1" else 0, int(status), reason or b"", lines, method)
