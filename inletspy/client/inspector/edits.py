"""A captured request as it is sent again: as it was, or with what a person has changed.

Owns what may be changed, and that nothing is sent that is no well-formed request. Values
that were hidden from whoever edits stay what they are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from inletspy.answers import InvalidRequest, Problem
from inletspy.client.inspector import heads
from inletspy.client.inspector.bodies import unframed
from inletspy.client.inspector.captured import Captured
from inletspy.errors import HeadError
from inletspy.wire.fields import SIZED, TOKEN
from inletspy.wire.http1 import parse_request

__all__ = ["request_again"]

_KEYS: Final = ("method", "path", "headers", "body")
_is_token = re.compile(TOKEN).fullmatch
_is_value = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch

#: Fields that belong to the connection, or that are made anew.
_NOT_SENT: Final = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
#: Methods whose requests say how long their body is, even if there is none.
_WITH_BODY: Final = (b"POST", b"PUT", b"PATCH")


def request_again(captured: Captured, edits: Mapping[str, Any]) -> bytes:
    """The request to send.

    Args:
        captured: what it repeats.
        edits: `method`, `path`, `headers` and `body`; what is not there stays as it was.

    Raises:
        InvalidRequest: no request can be made of it.
        Problem: 409, since what is to be sent is not known.
    """
    unknown = [key for key in edits if key not in _KEYS]
    if unknown:
        raise InvalidRequest(f"There is no {unknown[0]!r} to edit: there are {', '.join(_KEYS)}")
    if captured.is_websocket or heads.header(captured.head, b"upgrade"):
        raise Problem(409, "Conflict", "A WebSocket can't be sent again")
    raw = captured.body_bytes
    if edits.get("body") is None:
        _check_whole(captured, raw)
    if not edits and not heads.header(captured.head, b"expect"):
        return captured.head + raw
    method, target = heads.request_line(captured.head)
    if edits.get("method") is not None:
        method = _method(edits["method"])
    if edits.get("path") is not None:
        target = _path(edits["path"])
    fields = _fields(captured, edits.get("headers"))
    if edits.get("body") is not None:
        body = _body(edits["body"])
        fields = [field for field in fields if field[0].lower() != b"content-encoding"]
    else:
        body, _, _ = unframed(captured.head, raw)
    if body or method in _WITH_BODY:
        fields.append((b"Content-Length", b"%d" % len(body)))
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, lines)
    try:
        parse_request(head)
    except HeadError as error:
        raise InvalidRequest(f"That makes no request: {error}") from None
    return head + body


def _check_whole(captured: Captured, raw: bytes) -> None:
    request = parse_request(captured.head)
    _, _, complete = unframed(captured.head, raw)
    if len(raw) < captured.body_size:
        why = f"only {len(raw)} of {captured.body_size} bytes of its body were kept"
    elif not complete or (request.framing == SIZED and len(raw) < request.length):
        why = "its body did not come to its end"
    else:
        return
    raise Problem(409, "Conflict", f"It can't be sent as it was: {why}. Give another body")


def _method(text: Any) -> bytes:
    method = text.encode("utf-8") if isinstance(text, str) else b""
    if _is_token(method) is None or len(method) > 40:
        raise InvalidRequest("method is no method")
    return method


def _path(text: Any) -> bytes:
    if not isinstance(text, str) or not text.startswith("/"):
        raise InvalidRequest("path must begin with a slash")
    return quote(text, safe="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").encode("ascii")


def _fields(captured: Captured, edited: Any) -> list[tuple[bytes, bytes]]:
    was = heads.fields(captured.head)
    pairs = was if edited is None else _pairs(edited)
    #: The bytes that stand for what was shown, which may be in another encoding than UTF-8.
    shown: dict[tuple[str, str], bytes] = {}
    hidden: dict[str, list[bytes]] = {}
    for (name, value), raw in zip(was, heads.values(captured.head), strict=True):
        shown[name.lower(), value] = raw
        hidden.setdefault(name.lower(), []).append(raw)
    found = []
    for name, value in pairs:
        if name.lower() in _NOT_SENT:
            continue
        sent = shown.get((name.lower(), value), value.encode("utf-8"))
        if value == heads.MASK:
            kept = hidden.get(name.lower())
            if not kept:
                raise InvalidRequest(f"{name} is hidden: give its value, or leave it out")
            sent = kept.pop(0)
        field = (name.encode("utf-8"), sent)
        if _is_token(field[0]) is None or _is_value(field[1]) is None:
            raise InvalidRequest(f"{name!r} is no header field")
        found.append(field)
    if not any(name.lower() == b"host" for name, _ in found):
        found.insert(0, (b"Host", heads.header(captured.head, b"host")))
    return found


def _pairs(edited: Any) -> list[tuple[str, str]]:
    if not isinstance(edited, list):
        raise InvalidRequest("headers must be a list of [name, value]")
    for pair in edited:
        if not (
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) for p in pair)
        ):
            raise InvalidRequest("headers must be a list of [name, value]")
    return [(name, value) for name, value in edited]


def _body(edited: Any) -> bytes:
    if isinstance(edited, dict) and len(edited) == 1:
        text, coded = edited.get("text"), edited.get("base64")
        if isinstance(text, str):
            return text.encode("utf-8")
        if isinstance(coded, str):
            try:
                return base64.b64decode(coded, validate=True)
            except binascii.Error:
                raise InvalidRequest("body.base64 is no base64") from None
    raise InvalidRequest('body must be {"text": …} or {"base64": …}')
