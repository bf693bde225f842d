"""The messages of a WebSocket or an event stream, as a person reads them.

Unmasks, inflates and takes apart what `messages` has kept. A `Transcript` remembers how
far it was read, so that who looks on gets what is new.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.heads import header
from inletspy.client.inspector.messages import (
    BLANK_LINE,
    BLANK_TAIL,
    EventLog,
    FrameLog,
    Message,
    SavedLog,
)

__all__ = ["Transcript"]

#: What is shown of a message at most, in bytes, and of all at once; compressed ones swell. Of
#: how many messages at once.
MAX_SHOWN: Final = 256 << 10
MAX_READ: Final = 16 << 20
MAX_MESSAGES: Final = 2000

_split_lines = re.compile(rb"\r\n|\r|\n").split

_TYPES: Final = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


class Transcript:
    """Reads the messages of one exchange, from the oldest that is kept on.

    Args:
        captured: the exchange.
    """

    def __init__(self, captured: Captured) -> None:
        self._captured = captured
        self._last_n = 0
        self._inflations: Any = None
        self._events = _EventReader(captured.answer)

    def read(self) -> list[dict[str, Any]]:
        """The messages that were not read yet, and are complete; the newest of too many."""
        found: deque[dict[str, Any]] = deque()
        size = 0
        for message in self._unread():
            found.append(message)
            size += _length(message)
            while size > MAX_READ and len(found) > 1:
                size -= _length(found.popleft())
        return list(found)

    def _unread(self) -> Iterator[dict[str, Any]]:
        log = self._captured.log
        if isinstance(log, FrameLog):
            return self._frames(log)
        if isinstance(log, SavedLog):
            known, self._last_n = self._last_n, len(log.messages)
            return iter(log.messages[known:])
        if isinstance(log, EventLog):
            return self._events.read(log, self._captured.started)
        return iter(())

    def _frames(self, log: FrameLog) -> Iterator[dict[str, Any]]:
        over = self._captured.ended is not None
        oldest = log.messages[0].n if log.messages else 0
        if self._inflations is None or (oldest > self._last_n + 1 and log.deflates):
            self._inflations = log.inflations()
            self._last_n = oldest - 1
        for message in list(log.messages):
            if message.n <= self._last_n:
                continue
            if not (message.complete or message.full or over or log.trouble):
                return  # those after it have to wait, so that all come in order
            self._last_n = message.n
            yield self._shown(message)

    def _shown(self, message: Message) -> dict[str, Any]:
        payload = message.payload()
        cut = message.kept < message.size or not message.complete
        note = ""
        if message.deflated:
            inflation = self._inflations[message.from_visitor]
            inflated = None if cut else inflation.inflate(payload)
            if inflated is None:
                inflation.lose()
                note = "compressed, and it can't be read here"
            else:
                payload = inflated
        kind = _TYPES[message.opcode]
        shown = {
            "n": message.n,
            "time_ms": _ms(message.at - self._captured.started),
            "from": "visitor" if message.from_visitor else "upstream",
            "type": "binary" if note and kind == "text" else kind,
            "size": message.size,
            "cut": cut or len(payload) > MAX_SHOWN,
        }
        if note:
            shown["note"] = note
        if kind == "close" and len(payload) >= 2:
            shown["code"] = int.from_bytes(payload[:2], "big")
            payload = payload[2:]
        payload = payload[:MAX_SHOWN]
        if kind in ("text", "close") and not note:
            shown["text"] = payload.decode("utf-8", "replace")
        else:
            shown["base64"] = base64.b64encode(payload).decode("ascii")
        return shown


class _EventReader:
    """Takes an event stream apart (HTML, 9.2.6)."""

    def __init__(self, answer: bytes) -> None:
        self._read = 0
        #: The beginning of an event.
        self._rest = bytearray()
        self._n = 0
        self._began: float | None = None
        #: Undoes the coding of the content, if there is one and it can be done.
        coding = header(answer, b"content-encoding").lower()
        self._coded = coding not in (b"", b"identity")
        self._inflater = zlib.decompressobj(47) if coding in (b"gzip", b"deflate") else None

    def read(self, log: EventLog, started: float) -> Iterator[dict[str, Any]]:
        position = log.dropped
        for at, content in list(log.pieces):
            start, position = position, position + len(content)
            if position <= self._read:
                continue
            if start > self._read:  # what was between is not kept any more
                self._rest[:] = log.tail
                self._n = log.dropped_events
                self._inflater = None
            self._read = position
            if not self._rest:
                self._began = at
            fresh = self._decoded(content)
            # An event may come in a thousand pieces: each is searched once.
            ends = BLANK_LINE.search(self._rest[-BLANK_TAIL:] + fresh) is not None
            self._rest += fresh
            blocks: list[bytes] = []
            if ends:
                *blocks, rest = BLANK_LINE.split(bytes(self._rest))
                self._rest[:] = rest
            del self._rest[MAX_SHOWN + 1 : -BLANK_TAIL]
            for block in blocks:
                self._n += 1
                if block.strip(b"\r\n"):
                    yield self._shown(block.strip(b"\r\n"), (self._began or at) - started)
                self._began = at

    def _decoded(self, content: bytes) -> bytes:
        if not self._coded:
            return content
        if self._inflater is None:
            return b""
        try:
            return self._inflater.decompress(content, MAX_SHOWN)
        except zlib.error:
            self._inflater = None
            return b""

    def _shown(self, block: bytes, seconds: float) -> dict[str, Any]:
        fields: dict[str, list[str]] = {}
        for line in _split_lines(block[:MAX_SHOWN]):
            name, _, value = line.decode("utf-8", "replace").partition(":")
            fields.setdefault(name or "comment", []).append(value.removeprefix(" "))
        shown: dict[str, Any] = {
            "n": self._n,
            "time_ms": _ms(seconds),
            "from": "upstream",
            "type": "event" if "data" in fields or "event" in fields else "comment",
            "size": len(block),
            "cut": len(block) > MAX_SHOWN,
            "text": "\n".join(fields.get("data", fields.get("comment", []))),
        }
        for name in ("event", "id", "retry"):
            if name in fields:
                shown[name] = fields[name][-1]
        return shown


def _length(message: dict[str, Any]) -> int:
    return len(message.get("text", "")) + len(message.get("base64", ""))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
