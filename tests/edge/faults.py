"""Requests that mean two things or nothing, each with the name of its fault."""

from __future__ import annotations

from typing import Final

__all__ = ["BROKEN_CHUNKS", "BROKEN_HEADS", "OTHERWISE"]

#: The tunnel's, in place of each `%b` below.
HOST: Final = b"Host: app.tunnel.localhost\r\n"

#: Heads that are refused with 400, each with what is wrong in it, but for their last CRLF.
_BROKEN: Final = {
    "length and coding": b"POST / HTTP/1.1\r\n%bContent-Length: 3\r\nTransfer-Encoding:chunked\r\n",
    "coding and length": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\nContent-Length:3\r\n",
    "differing lengths": b"POST / HTTP/1.1\r\n%bContent-Length: 3\r\nContent-Length: 4\r\n",
    "list of lengths": b"POST / HTTP/1.1\r\n%bContent-Length: 3, 3\r\n",
    "signed length": b"POST / HTTP/1.1\r\n%bContent-Length: +3\r\n",
    "negative length": b"POST / HTTP/1.1\r\n%bContent-Length: -3\r\n",
    "hexadecimal length": b"POST / HTTP/1.1\r\n%bContent-Length: 0x3\r\n",
    "length in words": b"POST / HTTP/1.1\r\n%bContent-Length: three\r\n",
    "no length": b"POST / HTTP/1.1\r\n%bContent-Length: \r\n",
    "length with a space": b"POST / HTTP/1.1\r\n%bContent-Length: 1 2\r\n",
    "endless length": b"POST / HTTP/1.1\r\n%bContent-Length: 99999999999999999999\r\n",
    "other digits": "POST / HTTP/1.1\r\n%bContent-Length: ٣\r\n".encode(),
    "gzip": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: gzip, chunked\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked, chunked\r\n",
    "chunked in two fields": b"POST / HTTP/1.1\r\n%b" + b"Transfer-Encoding: chunked\r\n" * 2,
    "identity": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: identity\r\n",
    "quoted chunked": b'POST / HTTP/1.1\r\n%bTransfer-Encoding: "chunked"\r\n',
    "chunked with a parameter": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked;a=b\r\n",
    "vertical tab": b"POST / HTTP/1.1\r\n%bTransfer-Encoding:\x0bchunked\r\n",
    "space before a colon": b"POST / HTTP/1.1\r\n%bTransfer-Encoding : chunked\r\n",
    "tab before a colon": b"POST / HTTP/1.1\r\n%bContent-Length\t: 3\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\n%bTransfer-Encoding: chunked\r\n",
    "folded line": b"GET / HTTP/1.1\r\n%bX-A: b\r\n c\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n X-A: b\r\n%b",
    "bare CR": b"GET / HTTP/1.1\r\n%bX-A: b\rX-B: c\r\n",
    "bare LF": b"GET / HTTP/1.1\r\n%bX-A: b\nX-B: c\r\n",
    "bare LF after the line": b"GET / HTTP/1.1\n%b",
    "NUL": b"GET / HTTP/1.1\r\n%bX-A: b\0c\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\n%bX-\0A: b\r\n",
    "escape": b"GET / HTTP/1.1\r\n%bX-A: \x1b[2J\r\n",
    "no colon": b"GET / HTTP/1.1\r\n%bX-A\r\n",
    "no name": b"GET / HTTP/1.1\r\n%b: b\r\n",
    "space in a name": b"GET / HTTP/1.1\r\n%bX A: b\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX-A: b\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\n%bHost: other.example.com\r\n",
    "twice the same Host": b"GET / HTTP/1.1\r\n%b%b",
    "space in Host": b"GET / HTTP/1.1\r\nHost: a b\r\n",
    "path in Host": b"GET / HTTP/1.1\r\nHost: a/b\r\n",
    "user in Host": b"GET / HTTP/1.1\r\nHost: me@a\r\n",
    "list in Host": b"GET / HTTP/1.1\r\nHost: a, b\r\n",
    "port in words": b"GET / HTTP/1.1\r\nHost: a:http\r\n",
    "empty Host": b"GET / HTTP/1.1\r\nHost: \r\n",
    "other host in the target": b"GET http://other.example.com/ HTTP/1.1\r\n%b",
    "no target": b"GET HTTP/1.1\r\n%b",
    "relative target": b"GET a HTTP/1.1\r\n%b",
    "star": b"GET * HTTP/1.1\r\n%b",
    "space in the target": b"GET /a b HTTP/1.1\r\n%b",
    "two spaces": b"GET  / HTTP/1.1\r\n%b",
    "tab in the line": b"GET\t/ HTTP/1.1\r\n%b",
    "space at the end": b"GET / HTTP/1.1 \r\n%b",
    "space at the start": b" GET / HTTP/1.1\r\n%b",
    "no version": b"GET /\r\n%b",
    "odd version": b"GET / HTTP/1.10\r\n%b",
    "version in lower case": b"GET / http/1.1\r\n%b",
    "other protocol": b"GET / FTP/1.1\r\n%b",
    "colon in the method": b"GE:T / HTTP/1.1\r\n%b",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n%b",
}

#: Those that are refused with another status.
_OTHERWISE: Final = {
    b"GET / HTTP/2.0\r\n%b": 505,
    b"PRI * HTTP/2.0\r\n": 505,
    b"GET / HTTP/1.2\r\n%b": 505,
    b"CONNECT app.example.com:443 HTTP/1.1\r\nHost: app.example.com:443\r\n": 501,
    b"GET / HTTP/1.1\r\n%bExpect: 200-ok\r\n": 417,
    b"GET / HTTP/1.1\r\n%b" + b"X-A: b\r\n" * 101: 431,
    b"GET / HTTP/1.1\r\n%bX-A: " + b"b" * 66_000 + b"\r\n": 431,
    b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\n%b": 414,
}

#: Bodies in the chunked coding that are none.
BROKEN_CHUNKS: Final = {
    "negative": b"-1\r\n",
    "signed": b"+1\r\na\r\n",
    "0x": b"0x10\r\n",
    "17 digits": b"00000000000000001\r\na\r\n",
    "too large": b"ffffffffffffffff\r\n",
    "empty": b"\r\n",
    "in words": b"one\r\n",
    "space before": b" 1\r\na\r\n",
    "bare LF": b"1\na\r\n",
    "bare LF after the content": b"1\r\na\n",
    "bare CR": b"1\ra\r\n",
    "too long": b"1\r\nab\r\n",
    "NUL in an extension": b"1;\0\r\na\r\n",
    "endless extension": b"1;" + b"a" * 5000,
    "folded trailer": b"0\r\nX-A: b\r\n c\r\n\r\n",
    "trailer without colon": b"0\r\nX-A\r\n\r\n",
    "space before a trailer's colon": b"0\r\nX-A : b\r\n\r\n",
    "endless trailers": b"0\r\n" + b"X-A: b\r\n" * 9000,
}


def _whole(head: bytes) -> bytes:
    return head.replace(b"%b", HOST) + b"\r\n"


BROKEN_HEADS: Final = {what: _whole(head) for what, head in _BROKEN.items()}
OTHERWISE: Final = {_whole(head): status for head, status in _OTHERWISE.items()}
