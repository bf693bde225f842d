"""The answers that are the server's own: what is wrong, and what to do.

A page says it in plain words, as HTML for browsers and as JSON for programs, and never
shows an internal detail. Nothing that a visitor sent gets into it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from http import HTTPStatus

__all__ = ["Page", "page_for_fault", "render"]


@dataclass(frozen=True)
class Page:
    """One such answer.

    Attributes:
        status: the status code.
        error: a word for programs.
        title: what is wrong.
        text: what to do.
        retry_after: seconds after which to try again; 0 for none.
        fields: further header lines.
        for_programs: whether it is said as JSON; None leaves that to the Accept field.
    """

    status: int
    error: str
    title: str
    text: str
    retry_after: int = 0
    fields: tuple[str, ...] = ()
    for_programs: bool | None = None


UNKNOWN_HOST = Page(
    404,
    "unknown_tunnel",
    "There is no tunnel at this address",
    "Check the address. If the tunnel is yours, start it again: tunnel PORT",
)
CLIENT_AWAY = Page(
    503,
    "client_away",
    "The tunnel's client is away at the moment",
    "It usually reconnects by itself within seconds. If the tunnel is yours, see whether "
    "the tunnel command is still running.",
    retry_after=5,
)
REFUSED = Page(
    502,
    "upstream_refused",
    "Nothing answers at the other end of the tunnel",
    "The tunnel is up, but the service behind it is not. If it is yours, start it on the "
    "port that the tunnel leads to.",
)
BROKEN = Page(
    502,
    "upstream_broken",
    "The service behind the tunnel gave no valid answer",
    "It closed the connection or sent something that is not HTTP. If the service is yours, "
    "look at its output, and check that the tunnel leads to the right port.",
)
NO_PORT = Page(
    502,
    "upstream_without_port",
    "The tunnel's client named no port for its service",
    "If the tunnel is yours, announce the upstream with its port, for example http://localhost:80",
)
TIMEOUT = Page(
    504,
    "upstream_timeout",
    "The service behind the tunnel takes too long to answer",
    "Try again. If the service is yours, see what it is busy with.",
)
BUSY = Page(
    429,
    "too_many_requests_in_tunnel",
    "This tunnel has as many requests open as it may have",
    "Try again in a moment.",
    retry_after=5,
)
TOO_MANY_CONNECTIONS = Page(
    429,
    "too_many_connections",
    "Too many connections from your address",
    "Close some, and try again in a moment.",
    retry_after=10,
)
TOO_MANY_VISITORS = Page(
    429,
    "too_many_visitors",
    "More visitors come here at once than may",
    "Try again in a moment. If the tunnel is yours, the server's operator can raise the limit of "
    "connections per second.",
)
UNINVITED = Page(
    401,
    "unauthorized",
    "This address is for invited visitors",
    "Ask whoever gave it to you for a link or a password. Programs may send a token, as "
    "X-Tunnel-Token.",
)
LINK_OVER = Page(
    401,
    "link_invalid",
    "This link is not valid any more",
    "It has expired, or was made for another address. Ask whoever gave it to you for a new one.",
)
ADDRESS_REFUSED = Page(
    403,
    "address_refused",
    "Visitors from your address are not let in here",
    "Ask whoever gave you this address. If the tunnel is yours, see its options --allow and "
    "--deny.",
)
TOO_MANY_GUESSES = Page(
    429,
    "too_many_guesses",
    "Too many wrong passwords from your address",
    "Wait a moment before you try again.",
)
SIGNING_IN_BUSY = Page(
    503,
    "too_many_sign_ins",
    "Too many visitors sign in just now",
    "Try again in a moment.",
    retry_after=2,
)
#: A share link was used: go on without it.
COME_IN = Page(303, "come_in", "Come in", "Your browser goes on by itself.")
#: May a page of another origin ask (the Fetch standard, 4.10)? The answer is the same for
#: all: it may, with whatever credentials it has itself, but not with a visitor's cookies.
PREFLIGHT = Page(
    204,
    "preflight",
    "",
    "",
    fields=(
        "Access-Control-Allow-Origin: *",
        "Access-Control-Allow-Methods: *",
        "Access-Control-Allow-Headers: *, Authorization",
        "Access-Control-Max-Age: 600",
    ),
)


def page_for_fault(status: int, reason: str) -> Page:
    """The answer to a request that can't be served as it is, and why that is."""
    return Page(status, "bad_request", "The request can't be served", f"Reason: {reason}.")


def render(page: Page, accept: bytes | None, *, head_only: bool, keep_alive: bool) -> bytes:
    """The whole response.

    Args:
        page: what to say.
        accept: the visitor's Accept field.
        head_only: leave out the body, for HEAD.
        keep_alive: whether the connection goes on.
    """
    as_json = page.for_programs
    if as_json is None:
        accepted = accept.lower() if accept is not None else b""
        as_json = b"json" in accepted and b"text/html" not in accepted
    if as_json:
        kind = "application/json"
        body = json.dumps({"error": page.error, "title": page.title, "detail": page.text}) + "\n"
    else:
        kind = "text/html; charset=utf-8"
        body = _HTML.format(status=page.status, title=escape(page.title), text=escape(page.text))
    content = body.encode() if page.status != HTTPStatus.NO_CONTENT else b""
    lines = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        *page.fields,
    ]
    if content:
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    lines += [
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
        "X-Content-Type-Options: nosniff",
    ]
    if page.retry_after:
        lines.append(f"Retry-After: {page.retry_after}")
    if not keep_alive:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head if head_only else head + content


_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto;
  padding: 0 1rem }}
h1 {{ font-size: 1.5rem; line-height: 1.25 }}
small {{ opacity: .7 }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
<p><small>{status} &middot; inletspy</small></p>
</body>
</html>
"""
