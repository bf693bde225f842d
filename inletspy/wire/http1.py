"""Request heads as a strict proxy reads and rewrites them (RFC 9112, RFC 9110).

Owns what may pass: a head is checked whole by one compiled expression, and the few
fields that a proxy acts on are found by a second one on a lower-cased copy. What can't
be understood in one way only is refused, so that two programs never disagree on where
a message ends. It holds no connection state and never sees a socket. Response heads
(`responses`) are had from here as well; message bodies are in `bodies`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from inletspy.errors import HeadError
from inletspy.wire.fields import (
    CHUNKED,
    CLOSE,
    FIELDS,
    MAX_FIELDS,
    MAX_HEAD,
    NO_BODY,
    SIZED,
    TOKEN,
    Span,
    content_length,
    list_items,
    lower_lines,
    named_spans,
    without,
)
from inletspy.wire.responses import ResponseHead, parse_response

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

_REQUEST_LINE: Final = rb"(" + TOKEN + rb") ([^\x00-\x20\x7f]++) HTTP/1\.([01])\r\n"
_match_request_line = re.compile(_REQUEST_LINE).match
_match_request = re.compile(_REQUEST_LINE + FIELDS).fullmatch

# The look-ahead makes the expression fail on the first byte of most fields. Many
# programs can't tell `_` from `-` in a field's name: X_Forwarded_For is a visitor's lie.
_find_fields = re.compile(
    rb"\n(?=[hctuekpfx])(host|connection|content-length|transfer-encoding|upgrade|expect"
    rb"|te|keep-alive|proxy-connection|forwarded|x[-_]forwarded[-_][^:]*+|x[-_]real[-_]ip"
    rb"|x-request-id|x-tunnel-token):[ \t]*+([^\r]*+)\r"
).finditer

#: Host and port; the host is the first group, or the second if it is an IP literal.
_match_authority = re.compile(
    rb"(?:([a-z0-9_-](?:[a-z0-9._-]*[a-z0-9_-])?)\.?|(\[[0-9a-f:.]+\]))(?::[0-9]{0,5})?"
).fullmatch
_match_absolute = re.compile(rb"https?://([^/?#@]*)(?:[/?].*)?", re.IGNORECASE).fullmatch

_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))


def check_partial_head(data: bytes) -> None:
    """Refuse what can't become a head any more, before its end has come.

    Raises:
        HeadError: a bare LF or CR, a NUL, or more bytes than a head may have.
    """
    if len(data) > MAX_HEAD:
        raise _too_long(data)
    lines = data.count(b"\r\n")
    # The last byte may be a CR whose LF is still to come.
    if data.count(b"\n") != lines or data.count(b"\r", 0, -1) > lines:
        raise HeadError("a line does not end with CRLF")
    if b"\0" in data:
        raise HeadError("a NUL byte in the head")


class RequestHead:
    """A request's head that has passed every check.

    It is good until the next one is read from its connection; see `parse_request`.

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
        "_kept",
        "_kept_host",
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
        self.host = b""
        self._trailers = False
        self._host_span: Span | None = None
        self._hop_by_hop: list[Span] = []
        self._forwarding: list[Span] = []
        #: The lines that are sent on, once that has been found out, and for which host.
        self._kept: bytes | None = None
        self._kept_host: bytes | None = None
        self._read_fields()
        if self._host_span is not None:
            self.host = _host_of(self.authority, "Host")
        elif minor:
            raise HeadError("no Host")
        if target[:1] != b"/" or method == b"CONNECT":
            self._read_target()

    @property
    def forwarded(self) -> bool:
        """Whether a proxy, or one who pretends to be one, says where it comes from."""
        return bool(self._forwarding)

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
        self, extra: bytes, host: bytes | None = None, leave_out: Sequence[bytes] = ()
    ) -> bytes:
        """The head to send to the upstream, without what X-Forwarded and Forwarded say.

        Args:
            extra: complete field lines to add.
            host: takes the place of the Host that the visitor sent.
            leave_out: names, in lower case, of further fields to leave out.
        """
        if self._kept is not None and self._kept_host == host and not leave_out:
            lines = self._kept
        else:
            lines = self._lines_for(host, leave_out)
        if self.upgrade:
            extra += b"Connection: Upgrade\r\nUpgrade: " + self.upgrade + b"\r\n"
        elif self._trailers:
            extra += b"Connection: TE\r\nTE: trailers\r\n"
        return b"".join((self.method, b" ", self.target, b" HTTP/1.1\r\n", lines, extra, b"\r\n"))

    def _lines_for(self, host: bytes | None, leave_out: Sequence[bytes]) -> bytes:
        spans = self._hop_by_hop + self._forwarding
        if leave_out:
            spans += named_spans(lower_lines(self.lines), leave_out)
        if host is not None and self._host_span is not None:
            spans.append(self._host_span)
        lines = without(self.lines, spans) if spans else self.lines
        if host is not None:
            lines = b"Host: " + host + b"\r\n" + lines
        if not leave_out:
            self._kept, self._kept_host = lines, host
        return lines

    def repeated(self, head: bytes) -> bool:
        """Take on the method and target of `head`, if all else in it is the same.

        What the fields of a head mean does not depend on the line before them, but for a
        target that names a host.
        """
        match = _match_request_line(head)
        if match is None:
            return False
        method, target, minor = match.groups()
        start = match.end()
        if (
            len(head) != start + len(self.lines) + 2
            or not head.startswith(self.lines, start)
            or not head.endswith(b"\r\n")
            or (minor == b"1") != self.minor
            or target[:1] != b"/"
            or self.target[:1] != b"/"
            or method == b"CONNECT"
        ):
            return False
        self.method = method
        self.target = target
        return True

    def _read_fields(self) -> None:
        lower = lower_lines(self.lines)
        hop_by_hop = self._hop_by_hop
        connection: list[bytes] = []
        upgrades: list[Span] = []
        chunked = False
        length: int | None = None
        for match in _find_fields(lower):
            name, value = match.groups()
            value = value.rstrip(b" \t")
            span = match.span()
            if name == b"host":
                if self._host_span is not None:
                    raise HeadError("more than one Host")
                self._host_span = span
                self.authority = value
            elif name == b"connection":
                connection += list_items(value)
                hop_by_hop.append(span)
            elif name == b"content-length":
                number = content_length(value)
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
                upgrades.append(span)
                hop_by_hop.append(span)
            elif name == b"expect":
                if value != b"100-continue":
                    raise HeadError("an unknown expectation", 417)
                if self.minor:
                    self.expects_continue = True
                else:
                    hop_by_hop.append(span)  # HTTP/1.0 can't mean it (RFC 9110, 10.1.1)
            elif name == b"te":
                self._trailers |= b"trailers" in list_items(value)
                hop_by_hop.append(span)
            elif name == b"x-request-id":
                self.has_request_id = True
            elif name in (b"keep-alive", b"proxy-connection", b"x-tunnel-token"):
                hop_by_hop.append(span)  # the last is for the tunnel and for no upstream
            elif b"_" in name:
                hop_by_hop.append(span)  # no proxy writes it so
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
            if upgrades and b"upgrade" in connection and self.minor:
                values = [self.lines[start + 8 : end - 2].strip(b" \t") for start, end in upgrades]
                self.upgrade = b", ".join(filter(None, values))
            hop_by_hop += named_spans(lower, connection)

    def _read_target(self) -> None:
        """Check a target other than a path, and let it say the host (RFC 9112, 3.2)."""
        if self.method == b"CONNECT":
            raise HeadError("CONNECT is not served here", 501)
        if self.target == b"*" and self.method == b"OPTIONS":
            return
        match = _match_absolute(self.target)
        if match is None:
            raise HeadError("malformed request target")
        authority = match[1].lower()
        host = _host_of(authority, "request target")
        # A front end that trusts Host and a back end that trusts the target must agree.
        if self._host_span is not None and self.host != host:
            raise HeadError("the request target and Host name different hosts")
        self.authority = authority
        self.host = host


def _host_of(authority: bytes, source: str) -> bytes:
    """The host in a lower-case authority, without port and trailing dot."""
    match = _match_authority(authority)
    if match is None:
        raise HeadError(f"malformed {source}")
    host: bytes = match[1] or match[2]
    return host


def parse_request(head: bytes, last: RequestHead | None = None) -> RequestHead:
    """Read a request's head.

    Args:
        head: from the request line to the empty line, both included.
        last: the one before it on the same connection, which nobody needs any more. Most
            visitors send the same fields again and again; then `last` becomes this one.

    Raises:
        HeadError: it must be refused, with the error's status.
    """
    if len(head) > MAX_HEAD:
        raise _too_long(head)
    if last is not None and last.repeated(head):
        return last
    match = _match_request(head)
    if match is None:
        raise _fault(head)
    method, target, minor, lines = match.groups()
    if lines.count(b"\n") > MAX_FIELDS:
        raise HeadError("the head has too many fields", 431)
    return RequestHead(method, target, 1 if minor == b"1" else 0, lines)


def _too_long(head: bytes) -> HeadError:
    if head.find(b"\r\n", 0, MAX_HEAD) < 0:
        return HeadError("the request line is too long", 414)
    return HeadError("the head is too long", 431)


def _fault(head: bytes) -> HeadError:
    """Why a request's head does not match; slow, for the answer only."""
    line, _, lines = head.partition(b"\r\n")
    version = re.search(rb" HTTP/([0-9])\.[0-9]$", line)
    if version and re.search(rb" HTTP/1\.[01]$", line) is None:
        return HeadError("an HTTP version that is not served here", 505)
    if re.fullmatch(TOKEN + rb" [^\x00-\x20\x7f]++ HTTP/1\.[01]", line) is None:
        return HeadError("malformed request line")
    if re.search(rb"(?:^|\n)[ \t]", lines):
        return HeadError("a folded header line")
    if re.search(rb"(?:^|\n)[^:\r\n]*[ \t]:", lines):
        return HeadError("a space before a header's colon")
    if b"\0" in lines:
        return HeadError("a NUL byte in the head")
    return HeadError("malformed header line")
