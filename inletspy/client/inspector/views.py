"""What programs and the page are told of captured exchanges, JSON-ready.

Reads the raw bytes that were captured whenever somebody asks, and keeps nothing.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict
from typing import Any

from inletspy.client.inspector import heads
from inletspy.client.inspector.bodies import Content, content_of, form_of, shown_body
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.curl import curl
from inletspy.client.inspector.failures import Rewriting, failure_of
from inletspy.client.inspector.messages import EventLog
from inletspy.client.inspector.transcripts import MAX_MESSAGES, Transcript

__all__ = ["answer_content", "detail", "kind_of", "request_content", "state_of", "summary", "utc"]


def utc(seconds: float) -> str:
    """A time as it is written for programs: ISO 8601, UTC, with milliseconds."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def kind_of(captured: Captured) -> str:
    """`http`, `websocket` or `sse`."""
    if captured.is_websocket:
        return "websocket"
    return "http" if captured.log is None else "sse"


def state_of(captured: Captured) -> str:
    """`open`, `done` or `failed`."""
    if captured.ended is None:
        return "open"
    return "failed" if captured.cause is not None else "done"


def summary(captured: Captured, rewriting: Rewriting) -> dict[str, Any]:
    """What stands in a list."""
    method, target = heads.request_line(captured.head)
    failure = failure_of(captured, rewriting)
    first_byte, ended = captured.answered_at, captured.ended
    media_type = heads.header(captured.answer, b"content-type").partition(b";")[0]
    return {
        "id": captured.id,
        "n": captured.n,
        "service": captured.service.name,
        "kind": kind_of(captured),
        "started_at": utc(captured.started),
        "method": heads.text(method),
        "path": heads.text(target),
        "host": heads.text(heads.header(captured.head, b"host")),
        "status": heads.status_of(captured.answer),
        "state": state_of(captured),
        "duration_ms": None if ended is None else _ms(ended - captured.started),
        "first_byte_ms": None if first_byte is None else _ms(first_byte - captured.started),
        "request_bytes": captured.body_size,
        "response_bytes": captured.answer_size,
        "content_type": heads.text(media_type.strip()) or None,
        "visitor": visitor_of(captured),
        "pinned": captured.pinned,
        "replay_of": captured.replay_of or None,
        "failure": None if failure is None else asdict(failure),
    }


def visitor_of(captured: Captured) -> str:
    """Who asked, as far as it is known."""
    told = heads.header(captured.head, b"x-forwarded-for").partition(b",")[0].strip()
    return heads.text(told) or captured.visitor


def request_content(captured: Captured) -> Content:
    """What the request's body says."""
    raw = b"" if captured.is_websocket else captured.body_bytes
    cut = not captured.is_websocket and len(raw) < captured.body_size
    return content_of(captured.head, raw, cut=cut)


def answer_content(captured: Captured) -> Content:
    """What the answer's body says."""
    log = captured.log
    if isinstance(log, EventLog):
        content = log.content()
        return content_of(captured.answer, content, cut=log.dropped > 0, framed=False)
    raw = b"" if captured.is_websocket else captured.answer_bytes
    cut = captured.cause is not None or (
        not captured.is_websocket and len(raw) < captured.answer_size
    )
    if kind_of(captured) == "sse":  # saved, without framing
        return content_of(captured.answer, raw, cut=captured.cause is not None, framed=False)
    return content_of(captured.answer, raw, cut=cut)


def detail(captured: Captured, rewriting: Rewriting, *, reveal: bool) -> dict[str, Any]:
    """All there is to see of one.

    Args:
        captured: the exchange.
        rewriting: for advice.
        reveal: whether secrets are shown.
    """
    _, target = heads.request_line(captured.head)
    asked = request_content(captured)
    answered = answer_content(captured)
    request = _side(captured.head, asked, captured.body_size, len(captured.body_bytes), reveal)
    request["query"] = heads.query(target)
    request["form"] = form_of(captured.head, asked)
    kept = len(captured.answer_bytes) or len(answered.content)
    found = {
        **summary(captured, rewriting),
        "request": request,
        "response": _side(captured.answer, answered, captured.answer_size, kept, reveal)
        if captured.answer
        else None,
        "messages": None,
        "curl": curl(captured, asked, reveal=reveal),
    }
    if captured.log is not None:
        found["messages"] = Transcript(captured).read()[-MAX_MESSAGES:]
        found["messages_note"] = captured.log.trouble or None
    if captured.unread:
        found["unreadable"] = captured.unread.decode("utf-8", "backslashreplace")
    return found


def _side(head: bytes, content: Content, size: int, captured: int, reveal: bool) -> dict[str, Any]:
    shown, hidden = heads.masked(heads.fields(head), reveal)
    return {
        "line": heads.first_line(head),
        "headers": shown,
        "masked": hidden,
        "trailers": [[name, value] for name, value in content.trailers],
        "body": shown_body(content, size, captured),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
