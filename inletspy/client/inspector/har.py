"""Captured exchanges as an HTTP archive (HAR 1.2), which other tools can read.

An archive may be large: it is made entry by entry, as fast as it is taken.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from inletspy import __version__
from inletspy.client.inspector import heads
from inletspy.client.inspector.bodies import Content
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.curl import public_url
from inletspy.client.inspector.transcripts import Transcript
from inletspy.client.inspector.views import answer_content, kind_of, request_content, utc

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["entry", "send_archive"]

_CREATOR: Final = {"name": "inletspy", "version": __version__}


def send_archive(request: Request, exchanges: Iterable[Captured], *, reveal: bool) -> None:
    """Answer a request with an archive of exchanges, in their order."""
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Disposition", 'attachment; filename="inletspy.har"')
    request.registerProducer(_Archive(request, exchanges, reveal), False)


@implementer(IPullProducer)
class _Archive:
    def __init__(self, request: Request, exchanges: Iterable[Captured], reveal: bool) -> None:
        self._request = request
        self._texts = _texts(exchanges, reveal)

    def resumeProducing(self) -> None:
        """Send the next piece."""
        text = next(self._texts, None)
        if text is not None:
            self._request.write(text.encode("ascii"))
        else:
            self._request.unregisterProducer()
            self._request.finish()

    def stopProducing(self) -> None:
        """Nobody takes it any more."""
        self._texts = iter(())


def _texts(exchanges: Iterable[Captured], reveal: bool) -> Iterator[str]:
    log = json.dumps({"version": "1.2", "creator": _CREATOR})
    yield f'{{"log": {log[:-1]}, "entries": ['
    comma = ""
    for captured in exchanges:
        if not captured.gone:
            yield f"{comma}\n{json.dumps(entry(captured, reveal=reveal))}"
            comma = ","
    yield "\n]}}\n"


def entry(captured: Captured, *, reveal: bool) -> dict[str, Any]:
    """One exchange, as an archive has it."""
    wait = receive = -1.0
    total = 0.0
    if captured.ended is not None:
        total = (captured.ended - captured.started) * 1000
    if captured.answered_at is not None:
        wait = (captured.answered_at - captured.started) * 1000
        receive = max(total - wait, 0.0)
    found: dict[str, Any] = {
        "startedDateTime": utc(captured.started),
        "time": round(total, 3),
        "request": _request(captured, reveal),
        "response": _response(captured, reveal),
        "cache": {},
        "timings": {
            "send": 0,
            "wait": round(wait if captured.answered_at is not None else total, 3),
            "receive": round(max(receive, 0.0), 3),
        },
        "_id": captured.id,
        "_service": captured.service.name,
    }
    if captured.cause is not None:
        found["comment"] = captured.cause[1]
    if kind_of(captured) == "websocket":
        found["_webSocketMessages"] = [
            {
                "type": "send" if message["from"] == "visitor" else "receive",
                "time": captured.started + message["time_ms"] / 1000,
                "opcode": {"text": 1, "binary": 2, "close": 8, "ping": 9}.get(message["type"], 10),
                "data": message.get("text", message.get("base64", "")),
            }
            for message in Transcript(captured).read()
        ]
    return found


def _request(captured: Captured, reveal: bool) -> dict[str, Any]:
    method, target = heads.request_line(captured.head)
    content = request_content(captured)
    found: dict[str, Any] = {
        "method": heads.text(method),
        "url": heads.text(public_url(captured, target)),
        "httpVersion": "HTTP/1.1",
        "headersSize": len(captured.head),
        "bodySize": captured.body_size,
        "queryString": [{"name": n, "value": v} for n, v in heads.query(target)],
        **_fields(captured.head, "cookie", reveal),
    }
    if content.content:
        text, encoding = _text(content)
        found["postData"] = {"mimeType": content.media_type, "text": text}
        if encoding:
            found["postData"]["_encoding"] = encoding
        _note_cut(found["postData"], content)
    return found


def _response(captured: Captured, reveal: bool) -> dict[str, Any]:
    content = answer_content(captured)
    text, encoding = _text(content)
    shown: dict[str, Any] = {
        "size": len(content.content),
        "mimeType": content.media_type or "x-unknown",
        "text": text,
    }
    if encoding:
        shown["encoding"] = encoding
    _note_cut(shown, content)
    line = heads.first_line(captured.answer)
    return {
        "status": heads.status_of(captured.answer) or 0,
        "statusText": line.partition(" ")[2].partition(" ")[2],
        "httpVersion": line.partition(" ")[0] or "HTTP/1.1",
        "content": shown,
        "redirectURL": heads.text(heads.header(captured.answer, b"location")),
        "headersSize": len(captured.answer) or -1,
        "bodySize": captured.answer_size,
        **_fields(captured.answer, "set-cookie", reveal),
    }


def _fields(head: bytes, cookie: str, reveal: bool) -> dict[str, Any]:
    shown, _ = heads.masked(heads.fields(head), reveal)
    cookies = []
    for name, value in shown if reveal else ():
        if name.lower() == cookie:
            pairs = value.split(";") if cookie == "cookie" else value.split(";")[:1]
            for pair in pairs:
                key, _, text = pair.strip().partition("=")
                cookies.append({"name": key, "value": text})
    return {"headers": [{"name": n, "value": v} for n, v in shown], "cookies": cookies}


def _text(content: Content) -> tuple[str, str]:
    try:
        return content.content.decode("utf-8"), ""
    except UnicodeDecodeError:
        return base64.b64encode(content.content).decode("ascii"), "base64"


def _note_cut(shown: dict[str, Any], content: Content) -> None:
    if content.cut:
        shown["comment"] = "cut: there was more than what was kept"
