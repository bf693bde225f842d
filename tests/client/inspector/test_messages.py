"""Messages of WebSockets and event streams: frames in, transcripts out, also cut everywhere."""

from __future__ import annotations

import base64
import gzip
import os
import random
import time
import zlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.client.inspector import messages
from inletspy.client.inspector.transcripts import Transcript
from inletspy.client.inspector.views import kind_of, state_of, summary
from inletspy.wire.masking import mask
from tests.client.inspector.support import Capture, get

UPGRADE = get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
DEFLATE = SWITCH + b"Sec-WebSocket-Extensions: permessage-deflate"
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def frame(
    payload: bytes, opcode: int = 1, *, key: bytes = b"", final: bool = True, deflated: bool = False
) -> bytes:
    """A frame (RFC 6455, 5.2)."""
    first = opcode | (0x80 if final else 0) | (0x40 if deflated else 0)
    size = len(payload)
    bit = 0x80 if key else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    return head + key + (bytes(mask(payload, key)) if key else payload)


def open_websocket(answer: bytes = SWITCH, **limits: int) -> Capture:
    """A stream that went over to WebSocket."""
    capture = Capture(**limits)
    capture.pass_(UPGRADE, answer + b"\r\n\r\n" if answer is not SWITCH else answer + b"\r\n")
    return capture


def read(capture: Capture) -> list[dict[str, Any]]:
    """Its messages."""
    return Transcript(capture.last).read()


def said(capture: Capture) -> list[tuple[str, str, Any]]:
    """Who said what in them."""
    return [(m["from"], m["type"], m.get("text", m.get("base64"))) for m in read(capture)]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class WebSocketTests(TestCase):
    def test_both_ways_in_order(self) -> None:
        capture = open_websocket()
        capture.clock.advance(1)
        capture.stream.from_visitor(frame("grüß".encode(), key=b"abcd"))
        capture.clock.advance(1)
        capture.stream.from_upstream(frame(b"\0\1", 2) + frame(b"hi", 9))
        capture.stream.from_visitor(frame(b"hi", 10, key=b"wxyz"))
        capture.stream.from_upstream(frame(b"\x03\xe8bye", 8))
        self.assertEqual(
            said(capture),
            [
                ("visitor", "text", "grüß"),
                ("upstream", "binary", "AAE="),
                ("upstream", "ping", "aGk="),
                ("visitor", "pong", "aGk="),
                ("upstream", "close", "bye"),
            ],
        )
        found = read(capture)
        self.assertEqual([m["n"] for m in found], [1, 2, 3, 4, 5])
        self.assertEqual((found[0]["time_ms"], found[1]["time_ms"]), (1000, 2000))
        self.assertEqual((found[0]["size"], found[4]["code"]), (6, 1000))
        self.assertEqual((kind_of(capture.last), state_of(capture.last)), ("websocket", "open"))
        capture.stream.closed()
        self.assertEqual(state_of(capture.last), "done")

    def test_in_one_piece_with_the_answer(self) -> None:
        capture = Capture()
        capture.pass_(UPGRADE, SWITCH + b"\r\n" + frame(b"at once"))
        self.assertEqual(said(capture), [("upstream", "text", "at once")])

    def test_cut_everywhere(self) -> None:
        sent = (
            frame(b"a" * 200, key=b"1234")
            + frame(b"one ", 1, key=b"abcd", final=False)
            + frame(b"", 9, key=b"zzzz")
            + frame(b"two", 0, key=b"efgh")
            + frame(b"b" * 70_000, 2, key=b"5678")
        )
        for size in (1, 2, 3, 7, 1000):
            capture = open_websocket()
            for start in range(0, len(sent), size):
                capture.stream.from_visitor(sent[start : start + size])
            found = said(capture)
            self.assertEqual([kind for _, kind, _ in found], ["text", "text", "ping", "binary"])
            self.assertEqual((found[0][2], found[1][2]), ("a" * 200, "one two"))
            self.assertEqual(base64.b64decode(found[3][2]), b"b" * 70_000)

    def test_one_after_the_other(self) -> None:
        """Who looks on gets each once, and only when it is whole."""
        capture = open_websocket()
        transcript = Transcript(capture.last)
        self.assertEqual(transcript.read(), [])
        capture.stream.from_upstream(frame(b"1") + frame(b"2", final=False))
        self.assertEqual([m["text"] for m in transcript.read()], ["1"])
        self.assertEqual(transcript.read(), [])
        capture.stream.from_upstream(frame(b"3", 0) + frame(b"4"))
        self.assertEqual([m["text"] for m in transcript.read()], ["23", "4"])

    def test_what_is_no_frame(self) -> None:
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            frame(b"x", 3),
            frame(b"x", 11),
            frame(b"x" * 126, 9),
            frame(b"x", 8, final=False),
            frame(b"x", deflated=True),
            b"\x81\x7f" + b"\xff" * 8,
            b"\xb1\x00",
        ):
            capture = open_websocket()
            capture.stream.from_visitor(frame(b"before"))
            capture.stream.from_visitor(data)
            capture.stream.from_visitor(frame(b"after"))
            log = capture.last.log
            assert isinstance(log, messages.FrameLog)
            self.assertIn("no frames", log.trouble, data)
            self.assertEqual(said(capture)[0], ("visitor", "text", "before"))

    def test_another_protocol(self) -> None:
        capture = Capture()
        capture.pass_(
            get("/", "Connection: Upgrade", "Upgrade: chat"),
            b"HTTP/1.1 101 So\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n",
        )
        capture.stream.from_visitor(b"hello")
        log = capture.last.log
        assert log is not None
        self.assertIn("not read here", log.trouble)
        self.assertEqual((said(capture), capture.last.body_size), ([], 5))

    def test_bounds(self) -> None:
        """The newest stay, however many there are, and of long ones the beginning."""
        capture = open_websocket(body_limit=10_000)
        for place in range(2000):
            capture.stream.from_visitor(frame(b"%d" % place, key=b"abcd"))
            self.assertLess(capture.store.used, 50_000)
        found = read(capture)
        self.assertEqual(found[-1]["text"], "1999")
        self.assertEqual([m["n"] for m in found], list(range(found[0]["n"], 2001)))
        capture.stream.from_upstream(frame(b"x" * 100_000))
        last = read(capture)[-1]
        self.assertEqual((last["size"], last["cut"], last["text"]), (100_000, True, "x" * 10_000))

    def test_an_endless_message(self) -> None:
        capture = open_websocket(body_limit=10_000)
        capture.stream.from_visitor(frame(b"x", final=False))
        for _ in range(50_000):
            capture.stream.from_visitor(frame(b"y", 0, final=False))
        self.assertLess(capture.store.used, 500_000)
        self.assertEqual((read(capture)[0]["size"], read(capture)[0]["cut"]), (50_001, True))

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, data: bytes, from_visitor: bool) -> None:
        capture = open_websocket()
        if from_visitor:
            capture.stream.from_visitor(data)
        else:
            capture.stream.from_upstream(data)
        capture.stream.closed()
        read(capture)
        summary(capture.last, lambda offer: "")


class DeflateTests(TestCase):
    """Compressed messages (RFC 7692)."""

    def setUp(self) -> None:
        self.deflater = zlib.compressobj(9, zlib.DEFLATED, -15)

    def deflated(self, text: bytes) -> bytes:
        data = self.deflater.compress(text) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        return data[:-4]

    def test_each_rests_on_those_before(self) -> None:
        capture = open_websocket(DEFLATE)
        texts = [b'{"event": "tick", "n": %d}' % n for n in range(20)]
        for text in texts:
            capture.stream.from_upstream(frame(self.deflated(text), deflated=True))
        self.assertEqual([m["text"] for m in read(capture)], [t.decode() for t in texts])

    def test_each_by_itself(self) -> None:
        answer = DEFLATE + b"; server_no_context_takeover; client_no_context_takeover"
        capture = open_websocket(answer)
        for place in range(3):
            self.setUp()
            capture.stream.from_visitor(
                frame(self.deflated(b"text %d" % place), key=b"abcd", deflated=True)
            )
        self.assertEqual([m["text"] for m in read(capture)], ["text 0", "text 1", "text 2"])

    def test_in_fragments(self) -> None:
        capture = open_websocket(DEFLATE)
        data = self.deflated(b"in three parts" * 20)
        capture.stream.from_upstream(frame(data[:5], deflated=True, final=False))
        capture.stream.from_upstream(frame(data[5:9], 0, final=False) + frame(data[9:], 0))
        self.assertEqual(read(capture)[0]["text"], "in three parts" * 20)

    def test_those_that_were_dropped_are_not_missed(self) -> None:
        capture = open_websocket(DEFLATE, body_limit=3000)
        for place in range(300):
            text = b"%d again and again" % place
            capture.stream.from_upstream(frame(self.deflated(text), deflated=True))
        found = read(capture)
        self.assertGreater(found[0]["n"], 1)
        self.assertEqual(found[-1]["text"], "299 again and again")

    def test_one_that_is_cut(self) -> None:
        capture = open_websocket(DEFLATE, body_limit=1000)
        capture.stream.from_upstream(frame(self.deflated(os.urandom(5000)), 2, deflated=True))
        capture.stream.from_upstream(frame(self.deflated(b"after"), deflated=True))
        for message in read(capture):
            self.assertIn("compressed", message["note"])
            self.assertIn("base64", message)

    def test_bombs(self) -> None:
        """What swells without end is not inflated, here or while it is dropped."""
        bomb = self.deflated(b"\0" * (64 << 20))
        self.assertLess(len(bomb), 70_000)
        capture = open_websocket(DEFLATE)
        capture.stream.from_upstream(frame(bomb, 2, deflated=True))
        self.assertIn("note", read(capture)[0])
        capture = open_websocket(DEFLATE, body_limit=100_000)
        for _ in range(50):
            capture.stream.from_upstream(frame(bomb, 2, deflated=True))
        self.assertIn("note", read(capture)[-1])

    def test_many_that_swell(self) -> None:
        """What is told of at once is bounded: somebody has to read it."""
        capture = open_websocket(DEFLATE + b"; server_no_context_takeover")
        text = bytes(random.Random(1).choices(b"abcd", k=28_000)) + b"a" * 222_000
        self.setUp()
        message = frame(self.deflated(text), deflated=True)
        for _ in range(400):
            capture.stream.from_upstream(message)
        found = read(capture)
        self.assertEqual((found[-1]["n"], found[-1]["text"]), (400, text.decode()))
        self.assertLess(sum(len(m.get("text", "")) for m in found), 17 << 20)

    def test_rubbish(self) -> None:
        capture = open_websocket(DEFLATE)
        capture.stream.from_upstream(frame(b"\xff\xff\xff", deflated=True))
        self.assertIn("note", read(capture)[0])


class EventStreamTests(TestCase):
    def test_lines_as_windows_ends_them(self) -> None:
        capture = Capture()
        data = b"event: tick\r\ndata: one\r\ndata: two\r\n\r\ndata: three\r\n\r\n"
        for end in range(1, len(data)):
            capture.pass_(get("/events"), SSE + chunk(data[:end]), chunk(data[end:]))
            self.assertEqual([m["text"] for m in read(capture)], ["one\ntwo", "three"], end)
            capture.stream = capture.open()

    def test_numbers_are_the_same_for_whoever_looks(self) -> None:
        """Also when the first are kept no more."""
        capture = Capture(body_limit=5000)
        capture.pass_(get("/events"), SSE)
        first = Transcript(capture.last)
        data = b"".join(b"data: %d\r\n\r\n\n" % place for place in range(300))
        numbers: dict[str, int] = {}
        for start in range(0, len(data), 17):
            capture.stream.from_upstream(chunk(data[start : start + 17]))
            numbers.update({m["text"]: m["n"] for m in first.read() if m["text"]})
        self.assertEqual(len(numbers), 300)
        later = read(capture)
        self.assertLess(len(later), 100)
        for message in later[1:]:  # the first has lost its beginning
            self.assertEqual(message["n"], numbers[message["text"]])

    def test_one_event_in_many_pieces(self) -> None:
        """Looking at it must not hold the traffic up."""
        capture = Capture()
        capture.pass_(get("/events"), SSE)
        for _ in range(1700):
            capture.stream.from_upstream(chunk(b"x" * 300))
        capture.stream.from_upstream(chunk(b"\n\ndata: y\n\n"))
        began = time.process_time()
        found = read(capture)
        self.assertLess(time.process_time() - began, 1)
        self.assertEqual([m["cut"] for m in found], [True, False])

    def test_events_with_their_times(self) -> None:
        capture = Capture()
        capture.pass_(get("/events"), SSE)
        transcript = Transcript(capture.last)
        self.assertEqual((kind_of(capture.last), transcript.read()), ("sse", []))
        for at, data in (
            (1, b"id: 7\nevent: tick\ndata: one\ndata: two\n\n"),
            (1, b": still there\n\ndata: th"),
            (1, b"ree\r\n\r"),
            (1, b"\ndata:four\r\rretry: 5\n\n"),
        ):
            capture.clock.advance(at)
            capture.stream.from_upstream(chunk(data))
        found = transcript.read()
        self.assertEqual(
            [(m["type"], m["text"], m["time_ms"]) for m in found],
            [
                ("event", "one\ntwo", 1000),
                ("comment", "still there", 2000),
                ("event", "three", 2000),
                ("event", "four", 4000),
                ("comment", "", 4000),
            ],
        )
        self.assertEqual((found[0]["id"], found[0]["event"], found[4]["retry"]), ("7", "tick", "5"))
        self.assertEqual(transcript.read(), [])

    def test_bounds(self) -> None:
        capture = Capture(body_limit=10_000)
        capture.pass_(get("/events"), SSE)
        transcript = Transcript(capture.last)
        for place in range(1000):
            capture.stream.from_upstream(chunk(b"data: %d\n\n" % place))
            self.assertLess(capture.store.used, 20_000)
        self.assertEqual(transcript.read()[-1]["text"], "999")
        capture.stream.from_upstream(chunk(b"data: " + b"x" * 2_000_000))
        transcript.read()

    def test_compressed(self) -> None:
        answer = SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        capture = Capture()
        data = gzip.compress(b"data: one\n\ndata: two\n\n")
        capture.pass_(get("/events"), answer + chunk(data[:15]), chunk(data[15:]))
        self.assertEqual([m["text"] for m in read(capture)], ["one", "two"])
        capture.pass_(get("/events"))
        broken = Capture()
        broken.pass_(get("/events"), answer, chunk(b"data: one\n\n"))
        self.assertEqual(read(broken), [])
