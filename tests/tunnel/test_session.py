"""A session between its admission and its end, and the streams that it opens."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from inletspy.errors import ClientAway, Code, Refused, ResetCode, StreamReset
from inletspy.interfaces import ISnapshot, IUpstream
from inletspy.policy.addresses import UpstreamAddress
from inletspy.policy.routes import Holder
from inletspy.policy.tokens import SHARED, Credential
from inletspy.tunnel.link import Link
from inletspy.tunnel.session import Service, Session
from inletspy.wire.control import ServiceOffer
from inletspy.wire.frames import NativeMux
from inletspy.wire.mux import Mux
from tests.tunnel.plane import Recorder


class FakeLink:
    """A link as a session sees it, with the other end's mux behind it."""

    reading_stopped = False

    def __init__(self) -> None:
        self.closed: tuple[int, str] | None = None
        self.carried: Mux | None = None
        self.controls: list[dict[str, Any]] = []
        self.far = NativeMux(lambda: None, self._answer, server=False, control=self.controls.append)

    def turn(self) -> None:
        pass

    def send(self, messages: list[bytes]) -> None:
        for message in messages:
            self.far.receive(message)

    def _answer(self, messages: list[bytes]) -> None:
        assert self.carried is not None
        for message in messages:
            self.carried.receive(message)

    def carry(self, mux: Mux, session: Session) -> None:
        self.carried = mux

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.carried is not None:
            self.carried.flush()
        self.closed = (code, reason)

    def cease(self, code: int, reason: str) -> None:
        self.close(code, reason)


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ended: list[Session] = []
        self.link = FakeLink()
        self.session = self.new()

    def new(self, *, native: bool = True) -> Session:
        return Session(
            self.clock,
            Credential(SHARED),
            "client",
            cast(Link, self.link),
            native=native,
            identified=native,
            on_end=self.ended.append,
            control=lambda session, message: None,
        )

    def attach(self) -> None:
        self.session.attach(cast(Link, self.link))

    def service(self, upstream: str = "http://localhost:3000") -> Service:
        proto = "tcp" if upstream.startswith("tcp") else "http"
        service = Service(
            self.session, 1, ServiceOffer("web", proto, upstream), UpstreamAddress.parse(upstream)
        )
        self.session.services[1] = service
        return service

    def heard(self) -> list[dict[str, Any]]:
        self.session.mux.flush()
        messages, self.link.controls[:] = list(self.link.controls), []
        return messages

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(ISnapshot, self.session))
        self.assertTrue(verifyObject(IUpstream, self.service()))

    def test_ids_and_keys_differ(self) -> None:
        sessions = [self.new() for _ in range(100)]
        self.assertEqual(len({s.id for s in sessions}), 100)
        self.assertEqual(len({s.key for s in sessions}), 100)
        self.assertNotIn(self.session.key, str(self.session.snapshot()))

    def test_life(self) -> None:
        service = self.service()
        self.assertRaises(ClientAway, service.connect, Recorder(), "")
        self.attach()
        service.connect(Recorder(), "")
        self.assertEqual(service.row()["status"], "active")
        self.session.drain("bye")
        self.assertEqual(service.row()["status"], "draining")
        self.assertRaises(ClientAway, service.connect, Recorder(), "")
        self.assertEqual(self.heard(), [{"type": "goaway", "message": "bye"}])
        self.session.drain("again")
        self.assertEqual(self.heard(), [])
        self.session.link_lost(cast(Link, self.link), None, "")
        self.assertEqual(self.ended, [self.session])
        self.assertRaises(ClientAway, service.connect, Recorder(), "")

    def test_ended_once_from_every_state(self) -> None:
        for prepare in ((), ("attach",), ("attach", "drain")):
            for end in ("end", "link_lost"):
                self.ended.clear()
                self.session = self.new()
                for step in prepare:
                    self.attach() if step == "attach" else self.session.drain("bye")
                for _ in range(2):
                    if end == "end":
                        self.session.end(Refused(Code.REPLACED, "replaced"))
                    else:
                        self.session.link_lost(cast(Link, self.link), None, "")
                self.session.end()
                self.session.drain("late")
                self.assertEqual(self.ended, [self.session])
                self.assertTrue(self.session.over)
                self.assertIsNone(self.session.link)

    def test_client_is_told_why(self) -> None:
        self.attach()
        self.session.end(Refused(Code.TUNNELS_DISABLED, "turned off", retry=True))
        self.assertEqual(self.link.closed, (Code.TUNNELS_DISABLED.close_code, "turned off"))
        (error,) = self.link.controls
        self.assertEqual(
            error,
            {"type": "error", "code": "tunnels_disabled", "message": "turned off", "retry": True},
        )

    def test_server_goes_without_a_reason(self) -> None:
        self.attach()
        self.session.end()
        self.assertEqual(self.link.closed, (1001, "the server is going away"))
        self.assertEqual(self.link.controls, [])

    def test_link_that_comes_too_late(self) -> None:
        self.session.end()
        self.attach()
        self.assertEqual(self.link.closed, (1001, "the session has ended"))
        self.assertIsNone(self.session.link)

    def test_stock_client_is_told_by_the_close_code_alone(self) -> None:
        self.session = self.new(native=False)
        self.attach()
        self.session.notice("hello")
        self.session.end(Refused(Code.REPLACED, "replaced"))
        self.assertEqual(self.link.closed, (Code.REPLACED.close_code, "replaced"))

    def test_sweep_gives_a_closed_stream_two_rounds(self) -> None:
        self.attach()
        service = self.service()
        recorder = Recorder()
        stream = service.connect(recorder, "")
        opened = Recorder()
        service.connect(opened, "")
        stream.loseConnection()
        self.assertTrue(stream.lingering)
        self.session.sweep()
        self.assertTrue(stream.connected)
        self.session.sweep()
        self.assertFalse(stream.connected)
        self.clock.advance(0)
        end: Any = recorder.end
        self.assertEqual(end.value.code, ResetCode.CANCELLED)
        self.session.sweep()
        self.assertEqual(len(self.session.mux.streams), 1)
        self.assertIsNone(opened.end)

    def test_sweep_leaves_alone_what_is_still_being_sent(self) -> None:
        self.attach()
        stream = self.service().connect(Recorder(), "")
        stream.write(b"x" * (1 << 20))  # more than there is credit for
        stream.loseConnection()
        for _ in range(5):
            self.session.sweep()
        self.assertTrue(stream.connected)

    def test_streams_are_limited(self) -> None:
        self.attach()
        self.session.mux.max_streams = 1
        service = self.service()
        service.connect(Recorder(), "")
        error = self.assertRaises(StreamReset, service.connect, Recorder(), "")
        self.assertEqual(error.code, ResetCode.LIMIT)

    def test_no_streams_once_the_link_is_lost(self) -> None:
        self.attach()
        service = self.service()
        outcome: list[str] = []

        class Again(Recorder):
            def connectionLost(self, reason: Any = None) -> None:
                try:
                    service.connect(Recorder(), "")
                    outcome.append("connected")
                except ClientAway:
                    outcome.append("away")

        service.connect(Again(), "")
        self.session.link_lost(cast(Link, self.link), None, "")
        self.session.mux.lost(StreamReset(ResetCode.CANCELLED, "lost"))
        self.assertEqual(outcome, ["away"])

    def test_who_keeps_a_name(self) -> None:
        self.assertEqual(self.service().holder, Holder("shared", "client"))
        self.assertEqual(self.service("tcp://a:1").holder, Holder("shared", "client", "web"))
        self.session = self.new(native=False)
        self.assertIsNone(self.service().holder)

    def test_what_stock_clients_can_dial(self) -> None:
        for native, upstream, dialable, tls in (
            (True, "http://localhost", True, False),
            (True, "https://localhost", True, False),
            (False, "http://localhost:80", True, False),
            (False, "http://localhost", False, False),
            (False, "https://localhost:443", True, True),
        ):
            self.session = self.new(native=native)
            service = self.service(upstream)
            self.assertEqual((service.dialable, service.tls_through_stream), (dialable, tls))

    def test_row(self) -> None:
        row = self.service("https://localhost:8443").row()
        self.assertEqual(row["upstream"], "https://localhost:8443")
        self.assertRegex(row["connected_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(
            (row["wire"], row["owner"], row["protocol"]), ("inletspy.v1", "shared", "http")
        )
