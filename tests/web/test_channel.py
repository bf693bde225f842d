"""Bad, huge and slow requests, and clients that don't read, on a channel in memory."""

from __future__ import annotations

import json

from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from inletspy.web.channel import BODY_LIMIT, PATIENCE_SECONDS
from tests.web.support import (
    LOCAL,
    SHARED_TOKEN,
    STRANGER,
    Answer,
    StatusPort,
    Wire,
    live_row,
    registration,
)

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    f"POST /tunnels HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SHARED_TOKEN}\r\n"
).encode()
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

BAD_REQUESTS = [
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /status\r\n\r\n",
    b"GET  /status HTTP/1.1\r\n\r\n",
    b"GET /sta tus HTTP/1.1\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"GET /status HTTP/2.0\r\n\r\n",
    b"G@T /status HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    b"GET /status HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /status HTTP/1.1\r\nno colon\r\nHost: localhost\r\n\r\n",
    b"GET /status HTTP/1.1\r\nspace : before\r\n\r\n",
    b"GET /status HTTP/1.1\r\nA: nul\0\r\n\r\n",
    b"GET /status HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"a" * 20_000,
    b"GET /status HTTP/1.1\r\n" + b"A: a\r\n" * 101 + b"\r\n",
    b"GET /status HTTP/1.1\r\n" + b"A: %b\r\n" % (b"a" * 2000) * 9 + b"\r\n",
    POST + b"Content-Length: -1\r\n\r\n",
    POST + b"Content-Length: 0x10\r\n\r\n",
    POST + b"Content-Length: \r\n\r\n",
    POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    POST + b"Transfer-Encoding: gzip\r\n\r\n",
    POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    CHUNKED + b"-1\r\n",
    CHUNKED + b"0x10\r\n",
    CHUNKED + b"zz\r\n",
    CHUNKED + b"1\r\nab\r\n",
    CHUNKED + b"1" * 2000,
]

TOO_LONG = [
    POST + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1),
    POST + b"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n",
    POST + b"Content-Length: %d\r\n\r\n" % 100_000 + b"a" * 100_000,
    CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (BODY_LIMIT + 1, b"a" * (BODY_LIMIT + 1)),
    CHUNKED + b"ffffff\r\n" + b"a" * (BODY_LIMIT + 1),
    CHUNKED + b"1\r\na\r\n" * (BODY_LIMIT + 1) + b"0\r\n\r\n",
]


class RefusalTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()

    def check_refused(self, wire: Wire) -> str:
        """Whether all that was written is one refusal; tells its reason."""
        answer = Answer(wire.value())
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.json["error"], "Invalid request")
        self.assertEqual(answer.headers["Connection"], "close")
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        self.assertNotIn("Server", answer.headers)
        self.assertTrue(answer.raw.endswith(b"\r\n\r\n" + answer.body))
        self.assertTrue(wire.half_closed)
        return str(answer.json["detail"])

    def test_a_bad_request_is_told_so_in_json(self) -> None:
        for request in BAD_REQUESTS:
            channel, wire = self.port.connect()
            channel.dataReceived(request)
            with self.subTest(request=request[:60]):
                self.check_refused(wire)

    def test_so_it_is_if_it_comes_byte_by_byte(self) -> None:
        for request in BAD_REQUESTS:
            if len(request) < 2000:
                channel, wire = self.port.connect()
                for at in range(len(request)):
                    channel.dataReceived(request[at : at + 1])
                with self.subTest(request=request[:60]):
                    self.check_refused(wire)

    def test_a_body_over_the_limit_is_refused_in_whatever_form(self) -> None:
        for request in TOO_LONG:
            channel, wire = self.port.connect()
            channel.dataReceived(request)
            with self.subTest(request=request[:160]):
                self.assertEqual(self.check_refused(wire), "The body is over 65536 bytes")

    def test_a_length_over_the_limit_is_refused_before_the_body_comes(self) -> None:
        channel, wire = self.port.connect()
        channel.dataReceived(POST + b"Content-Length: 65537\r\n")
        self.assertEqual(wire.value(), b"")
        channel.dataReceived(b"\r\n")
        self.check_refused(wire)

    def test_what_comes_after_a_refusal_is_dropped(self) -> None:
        for request in (BAD_REQUESTS[1], TOO_LONG[0], TOO_LONG[4]):
            channel, wire = self.port.connect()
            channel.dataReceived(request + GET)
            channel.dataReceived(GET)
            with self.subTest(request=request[:60]):
                self.check_refused(wire)

    def test_chunks_are_not_kept_past_the_limit(self) -> None:
        channel, wire = self.port.connect()
        channel.dataReceived(CHUNKED + b"ffffff\r\n")
        for _ in range(100):
            channel.dataReceived(b"a" * 10_000)
        (request,) = channel.requests
        self.assertLessEqual(request.content.tell(), BODY_LIMIT)
        self.check_refused(wire)

    def test_a_body_of_just_the_limit_is_taken(self) -> None:
        body = json.dumps(registration()).encode().ljust(BODY_LIMIT)
        for framing in (
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(body), body),
        ):
            self.assertEqual(self.port.ask_raw(POST + framing).status, 200)

    def test_expect_is_answered(self) -> None:
        channel, wire = self.port.connect()
        channel.dataReceived(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        self.assertEqual(wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_a_head_cut_anywhere_is_no_request(self) -> None:
        for end in range(len(GET)):
            channel, wire = self.port.connect()
            channel.dataReceived(GET[:end])
            channel.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(wire.value(), b"")
        self.assertEqual(self.port.clock.getDelayedCalls(), [])

    def test_a_body_cut_anywhere_registers_nothing(self) -> None:
        body = json.dumps(registration()).encode()
        request = POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        for end in range(len(request) - len(body), len(request)):
            channel, wire = self.port.connect()
            channel.dataReceived(request[:end])
            channel.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(wire.value(), b"")
        self.assertEqual(self.port.tunnels.rows(), [])


class PatienceTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()
        self.channel, self.wire = self.port.connect()

    def test_a_client_that_says_nothing_has_to_go(self) -> None:
        self.port.clock.advance(PATIENCE_SECONDS - 1)
        self.assertFalse(self.wire.disconnecting)
        self.port.clock.advance(1)
        self.assertTrue(self.wire.disconnecting)

    def test_a_byte_a_second_does_not_earn_more_time(self) -> None:
        for _ in range(int(PATIENCE_SECONDS)):
            self.assertFalse(self.wire.disconnecting)
            self.channel.dataReceived(b"G")
            self.port.clock.advance(1)
        self.assertTrue(self.wire.disconnecting)

    def test_nor_does_a_slow_body(self) -> None:
        self.channel.dataReceived(POST + b"Content-Length: 1000\r\n\r\n")
        for _ in range(int(PATIENCE_SECONDS)):
            self.assertFalse(self.wire.disconnecting)
            self.channel.dataReceived(b" ")
            self.port.clock.advance(1)
        self.assertTrue(self.wire.disconnecting)

    def test_each_request_has_its_own_time(self) -> None:
        for _ in range(5):
            self.port.clock.advance(PATIENCE_SECONDS - 1)
            self.channel.dataReceived(GET)
        self.assertFalse(self.wire.disconnecting)
        self.assertEqual(self.wire.value().count(b"200 OK"), 5)

    def test_a_client_that_does_not_read_is_cut_off(self) -> None:
        self.channel.dataReceived(GET)
        self.port.clock.advance(PATIENCE_SECONDS)
        self.assertTrue(self.wire.disconnecting)
        self.assertFalse(self.wire.aborted)
        self.port.clock.advance(PATIENCE_SECONDS)
        self.assertTrue(self.wire.aborted)

    def test_so_is_one_that_was_to_be_closed_after_its_answer(self) -> None:
        self.channel.dataReceived(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertTrue(self.wire.disconnecting)
        self.port.clock.advance(PATIENCE_SECONDS)
        self.assertTrue(self.wire.aborted)

    def test_so_is_one_that_was_refused_and_goes_on(self) -> None:
        self.channel.dataReceived(TOO_LONG[0])
        self.port.clock.advance(PATIENCE_SECONDS - 1)
        self.channel.dataReceived(b"a" * 1000)
        self.assertFalse(self.wire.aborted)
        self.port.clock.advance(1)
        self.assertTrue(self.wire.aborted)

    def test_no_clock_runs_for_a_connection_that_is_gone(self) -> None:
        self.channel.dataReceived(TOO_LONG[0])
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.port.clock.getDelayedCalls(), [])


class NarrowWire(Wire):
    """A transport that asks its producer to pause as a socket's does."""

    room = 5_000

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.value()) > self.room and self.producer is not None:
            self.producer.pauseProducing()

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def drain(self) -> bytes:
        """What the peer reads; the producer may go on."""
        read: bytes = self.value()
        self.clear()
        assert self.producer is not None
        self.producer.resumeProducing()
        return read


class BackPressureTests(TestCase):
    def test_pipelined_requests_wait_until_their_answers_are_read(self) -> None:
        port = StatusPort()
        port.live.show(*(live_row(upstream=f"http://localhost:{n}") for n in range(40)))
        channel = port.site.buildProtocol(LOCAL)
        wire = NarrowWire(peerAddress=LOCAL)
        channel.makeConnection(wire)
        channel.dataReceived(b"GET /status HTTP/1.1\r\n\r\n" * 100)
        self.assertEqual(wire.producerState, "paused")
        answers = most = 0
        while wire.value():
            most = max(most, len(wire.value()))
            answers += wire.drain().count(b"200 OK")
        self.assertEqual(answers, 100)
        self.assertLess(most, 2 * len(json.dumps(port.live.rows())))
        self.assertEqual(wire.producerState, "producing")
        channel.dataReceived(GET)
        self.assertIn(b"200 OK", wire.value())


class ConnectionCountTests(TestCase):
    def test_one_address_has_so_many_connections_and_no_more(self) -> None:
        port = StatusPort(connections_per_address=3)
        channels = [port.connect(STRANGER)[0] for _ in range(3)]
        self.assertIsNone(port.site.buildProtocol(STRANGER))
        self.assertIsNotNone(port.site.buildProtocol(LOCAL))
        channels[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(port.site.buildProtocol(STRANGER))

    def test_a_subscriber_of_ipv6_is_one_address(self) -> None:
        port = StatusPort(connections_per_address=1)
        port.connect(IPv6Address("TCP", "2001:db8::1", 1))
        self.assertIsNone(port.site.buildProtocol(IPv6Address("TCP", "2001:db8::2", 1)))
        self.assertIsNotNone(port.site.buildProtocol(IPv6Address("TCP", "2001:db8:0:1::1", 1)))
