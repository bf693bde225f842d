"""A captured request as a command line for curl, which a person can paste into a shell.

What a visitor sent stands in it, so that every word is quoted for the shell; bytes that are
hard to see are written as octal numbers. The command asks the public address.
"""

from __future__ import annotations

import re
from typing import Final

from inletspy.client.inspector import heads
from inletspy.client.inspector.bodies import Content
from inletspy.client.inspector.captured import Captured

__all__ = ["curl", "public_url", "quoted"]

#: The longest body that is put on a command line, in bytes.
MAX_BODY: Final = 100_000

_is_plain = re.compile(rb"[A-Za-z0-9@%+=:,./_-]+").fullmatch
_is_printable = re.compile(rb"[\x20-\x7e]*").fullmatch

#: What curl or the edge adds by itself.
_LEFT_OUT: Final = frozenset(
    (
        "accept-encoding",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "expect",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
        "x-request-id",
        "host",
    )
)


def quoted(word: bytes) -> str:
    """A word that a shell takes for exactly these bytes, and for nothing else."""
    if _is_plain(word):
        return word.decode("ascii")
    if _is_printable(word) and b"!" not in word:
        return "'" + word.decode("ascii").replace("'", "'\\''") + "'"
    # bash, zsh and ksh know this form (POSIX.1-2024, 2.2.4); it leaves nothing to expand.
    return "$'" + "".join(_escaped(byte) for byte in word) + "'"


def _escaped(byte: int) -> str:
    character = chr(byte)
    if character in "\\'":
        return "\\" + character
    if 0x20 <= byte < 0x7F and character != "!":
        return character
    return f"\\{byte:03o}"


def curl(captured: Captured, content: Content, *, reveal: bool) -> str:
    """The command.

    Args:
        captured: the exchange.
        content: what its request's body says.
        reveal: whether secrets stand in it.
    """
    method, target = heads.request_line(captured.head)
    words = ["curl"]
    has_body = bool(content.content)
    if method == b"HEAD":
        words.append("--head")
    elif method != (b"POST" if has_body else b"GET"):
        words += ["-X", quoted(method)]
    url = public_url(captured, target)
    if re.search(rb"[][{}]", url):
        words.append("--globoff")
    if b"/." in target:
        words.append("--path-as-is")
    words.append(quoted(url))
    shown, _ = heads.masked(heads.fields(captured.head), reveal)
    names = {name.lower() for name, _ in shown}
    if "accept-encoding" in names:
        words.append("--compressed")
    if has_body and "content-type" not in names:
        words += ["-H", "Content-Type:"]  # or curl would add one
    for name, value in shown:
        coded = name.lower() == "content-encoding" and content.decoded
        if name.lower() not in _LEFT_OUT and not coded:
            # An empty value would have curl leave the field out.
            text = f"{name}: {value}" if value else f"{name};"
            words += ["-H", quoted(text.encode("utf-8"))]
    if has_body:
        body = content.content[:MAX_BODY]
        if b"\0" in body:
            words += ["--data-binary", "@body.bin"]
        else:
            words += ["--data-raw", quoted(body)]  # the other ones take @ for a file
    return " ".join(words)


def public_url(captured: Captured, target: bytes) -> bytes:
    """Where the visitor asked, as far as the edge has told."""
    if not target.startswith(b"/"):
        return target
    host = heads.header(captured.head, b"x-forwarded-host") or heads.header(captured.head, b"host")
    told = heads.header(captured.head, b"x-forwarded-proto").lower()
    # Not every server writes that field itself: a visitor's could begin with a dash.
    return (b"https://" if told == b"https" else b"http://") + host + target
