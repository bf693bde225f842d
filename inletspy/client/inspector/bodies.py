"""A body as a person sees it: without framing and compression, and by its type.

What it becomes is bounded, whatever it says of itself. A body that is cut, or that is not
what it claims to be, is shown as far as it goes.
"""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final

from inletspy.client.inspector.heads import header, pairs_of
from inletspy.errors import HeadError
from inletspy.wire.bodies import ChunkedBody

__all__ = ["Content", "content_of", "form_of", "shown_body", "unframed"]

#: What a body is decompressed to at most, in bytes.
MAX_DECODED: Final = 4 << 20
#: Parts that are shown of a form.
MAX_PARTS: Final = 200

#: Images that a browser can show and that hold nothing to run.
SAFE_IMAGES: Final = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))

_is_text = re.compile(
    r"text/.*|.*[/+](?:json|xml|yaml|toml|javascript|ecmascript|graphql|x-ndjson|x-yaml)"
).fullmatch
#: What is decoded as it claims to be; Python knows codecs that are no text, too.
_is_charset = re.compile(
    r"(?:iso-8859-|windows-125|cp125|us-ascii|latin|utf-16|shift_jis|euc-|gbk|gb18030|big5|koi8)"
    r"[a-z0-9-]*"
).fullmatch
#: Parameters of a field (RFC 9110, 5.6.6). What is quoted in them is passed over but once,
#: however a stranger has written it: this stands between all traffic and what comes next.
_find_parameters = re.compile(
    r';[ \t]*+([^\s;="]++)=(?:"((?:[^"\\]|\\.)*+)"|([^;"]*+))', re.DOTALL
).finditer
_is_json = re.compile(r"(?:application|text)/(?:.*\+)?json").fullmatch


@dataclass(frozen=True)
class Content:
    """What a body says.

    Attributes:
        content: without framing, and decompressed where that can be done.
        media_type: in lower case, without parameters.
        charset: of text, as told; empty if it is not.
        coding: the content coding as sent; empty for none.
        decoded: whether that was undone.
        cut: whether something is missing at the end.
        trailers: the fields after a chunked body.
    """

    content: bytes
    media_type: str
    charset: str
    coding: str
    decoded: bool
    cut: bool
    trailers: tuple[tuple[str, str], ...] = ()


def content_of(
    head: bytes, raw: bytes, *, cut: bool, framed: bool = True, most: int = MAX_DECODED
) -> Content:
    """Read what was captured of a body.

    Args:
        head: of its message.
        raw: what is kept of it.
        cut: whether that is not all.
        framed: whether it still has the framing of chunks, if it is chunked.
        most: bytes that it is decompressed to at most.
    """
    trailers: tuple[tuple[str, str], ...] = ()
    if framed:
        raw, trailers, complete = unframed(head, raw)
        cut = cut or not complete
    kind, _, parameters = header(head, b"content-type").partition(b";")
    media_type = kind.strip().lower().decode("latin-1")
    charset = re.search(rb"charset=\"?([A-Za-z0-9._-]{1,40})", parameters, re.IGNORECASE)
    coding = header(head, b"content-encoding").lower().decode("latin-1")
    decoded = False
    if coding in ("gzip", "x-gzip", "deflate") and raw:
        found = _decompressed(raw, coding, most)
        if found is not None:
            raw, more = found
            decoded = True
            cut = cut or more
    return Content(
        raw,
        media_type,
        charset[1].decode("ascii") if charset else "",
        coding,
        decoded,
        cut,
        trailers,
    )


def unframed(head: bytes, raw: bytes) -> tuple[bytes, tuple[tuple[str, str], ...], bool]:
    """A body without the framing of chunks, if it has it.

    Returns:
        The rest, the trailers, and whether the framing came to its end.
    """
    if header(head, b"transfer-encoding").lower() != b"chunked":
        return raw, (), True
    body = ChunkedBody()
    pieces: list[bytes] = []
    try:
        size = body.feed(raw, pieces)
    except HeadError:
        return b"".join(pieces), (), False
    trailers = []
    if body.finished:
        end = size - len(b"\r\n")
        for line in raw[end - body.trailer_bytes : end].split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            trailers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
    return b"".join(pieces), tuple(trailers), body.finished


def _decompressed(raw: bytes, coding: str, most: int) -> tuple[bytes, bool] | None:
    """The content, and whether there would be more; None if it is not so compressed."""
    # `deflate` is zlib's format, but some send the bare one (RFC 9110, 8.4.1.2).
    for bits in (31,) if coding != "deflate" else (15, -15):
        inflater = zlib.decompressobj(bits)
        try:
            content = inflater.decompress(raw, most)
        except zlib.error:
            continue
        return content, bool(inflater.unconsumed_tail) or not inflater.eof
    return None


def shown_body(content: Content, size: int, captured: int) -> dict[str, Any]:
    """What the page gets of a body.

    Args:
        content: what it says.
        size: its bytes, as sent.
        captured: how many of them are kept.
    """
    kind, text = _kind(content)
    shown: dict[str, Any] = {
        "size": size,
        "captured": captured,
        "cut": content.cut,
        "type": kind,
        "media_type": content.media_type or None,
        "content_encoding": content.coding or None,
        "decoded": content.decoded,
        "content_size": len(content.content),
    }
    if text is not None:
        return {**shown, "encoding": "utf-8", "text": text}
    encoded = base64.b64encode(content.content).decode("ascii")
    return {**shown, "encoding": "base64", "base64": encoded}


def _kind(content: Content) -> tuple[str, str | None]:
    """How a body is to be shown, and as which text; None for none."""
    data = content.content
    media_type = content.media_type
    if not data:
        return "empty", ""
    if content.coding not in ("", "identity") and not content.decoded:
        return "binary", None
    if media_type in SAFE_IMAGES:
        return "image", None
    text = _text(data, content.charset, told=bool(_is_text(media_type)), cut=content.cut)
    if text is None:
        return "binary", None
    if media_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return "form", text
    if _is_json(media_type) or (not media_type and text.lstrip()[:1] in ("{", "[")):
        return "json", text
    return "text", text


def _text(data: bytes, charset: str, *, told: bool, cut: bool) -> str | None:
    if _is_charset(charset.lower()):
        try:
            return data.decode(charset, "replace")
        except LookupError:
            pass  # there is none of that name
    if cut:  # half a character at the end is no reason to take it for something else
        for length in (len(data), len(data) - 1, len(data) - 2, len(data) - 3):
            try:
                return data[:length].decode("utf-8")
            except UnicodeDecodeError:
                continue
    if told:
        return data.decode("utf-8", "replace")
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def form_of(head: bytes, content: Content) -> list[Any] | None:
    """The fields of a form: names with values, or with what is known of a file."""
    if content.media_type == "application/x-www-form-urlencoded":
        return list(pairs_of(content.content.decode("utf-8", "replace")))
    if content.media_type != "multipart/form-data":
        return None
    boundary = _parameter(header(head, b"content-type"), "boundary")
    if not boundary:
        return None
    found: list[Any] = []
    parts = (b"\r\n" + content.content).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    for part in parts[1 : MAX_PARTS + 1]:
        if part.startswith(b"--"):
            break
        part_head, blank, data = part.partition(b"\r\n\r\n")
        if not blank:
            continue
        told = header(part_head + b"\r\n", b"content-disposition")
        name = _parameter(told, "name")
        filename = _parameter(told, "filename")
        if filename or b"filename=" in told:
            kind = header(part_head + b"\r\n", b"content-type").decode("latin-1")
            found.append(
                {"name": name, "filename": filename, "content_type": kind, "size": len(data)}
            )
        else:
            found.append([name, data[: 64 << 10].decode("utf-8", "replace")])
    return found


def _parameter(value: bytes, name: str) -> str:
    for match in _find_parameters(value.decode("utf-8", "replace")):
        if match[1].lower() == name:
            # Browsers escape no backslash in the name of a file.
            return match[3].strip() if match[2] is None else match[2].replace('\\"', '"')
    return ""
