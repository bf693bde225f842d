"""Whether somebody listens at the upstream, and how often a person hears of it."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.client import watch
from inletspy.client.watch import INTERVAL, UpstreamWatch, listens_here, look
from inletspy.policy.addresses import UpstreamAddress
from tests.system.http import listening
from tests.system.processes import reactor


class WatchTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.said: list[tuple[str, bool] | str] = []
        self.looks: list[Deferred[None]] = []
        self.watch = UpstreamWatch(
            self.clock,
            self.look,
            lambda reason, by_request: self.said.append((reason, by_request)),
            lambda: self.said.append("up"),
        )

    def look(self) -> Deferred[None]:
        self.looks.append(Deferred())
        return self.looks[-1]

    def refuse(self) -> None:
        self.looks.pop().errback(ConnectionRefusedError())

    def accept(self) -> None:
        self.looks.pop().callback(None)

    def test_it_listens(self) -> None:
        self.watch.start()
        self.accept()
        self.clock.advance(60)
        self.assertEqual((self.said, self.looks), ([], []))

    def test_it_comes_later(self) -> None:
        self.watch.start()
        for _ in range(3):
            self.refuse()
            self.clock.advance(INTERVAL)
        self.assertEqual(self.said, [("connection refused", False)])
        self.accept()
        self.assertEqual(self.said, [("connection refused", False), "up"])
        self.clock.advance(60)
        self.assertEqual(self.looks, [])

    def test_a_request_finds_out(self) -> None:
        self.watch.start()
        self.accept()
        self.watch.failed("no answer")
        self.watch.failed("no answer")
        self.assertEqual(self.said, [("no answer", True)])
        self.clock.advance(INTERVAL)
        self.accept()
        self.assertEqual(self.said, [("no answer", True), "up"])
        self.watch.failed("no answer")
        self.assertEqual(len(self.said), 3)

    def test_a_request_finds_out_that_it_is_back(self) -> None:
        self.watch.start()
        self.refuse()
        self.watch.answered()
        self.watch.answered()
        self.assertEqual(self.said, [("connection refused", False), "up"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_while_it_looks(self) -> None:
        self.watch.failed("no answer")
        self.clock.advance(INTERVAL)
        self.watch.answered()
        self.accept()
        self.assertEqual(self.said, [("no answer", True), "up"])

    def test_a_request_comes_too_early(self) -> None:
        self.watch.start()
        self.refuse()
        self.watch.failed("connection refused")
        self.watch.failed("connection refused")
        self.assertEqual(self.said, [("connection refused", False), ("connection refused", True)])
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.looks), 1)

    def test_stopped_between_looks(self) -> None:
        self.watch.start()
        self.refuse()
        self.watch.stop()
        self.watch.failed("connection refused")
        self.clock.advance(60)
        self.assertEqual(len(self.said), 1)
        self.assertEqual((self.looks, self.clock.getDelayedCalls()), ([], []))

    def test_stopped_while_looking(self) -> None:
        self.watch.start()
        self.watch.stop()
        self.assertEqual((self.said, self.clock.getDelayedCalls()), ([], []))

    def test_reasons(self) -> None:
        for error, reason in (
            (DNSLookupError(), "no such host"),
            (TimeoutError(), "no answer"),
            (ValueError("something else"), "something else"),
        ):
            self.setUp()
            self.watch.start()
            self.looks.pop().errback(error)
            self.assertEqual(self.said, [(reason, False)])


class LookTests(TestCase):
    async def test_somebody_listens(self) -> None:
        number = listening(self, Factory.forProtocol(Protocol))
        self.assertEqual(listens_here(number), Path("/proc/net/tcp").exists())
        await look(reactor, UpstreamAddress.parse(f"http://localhost:{number}"))
        await look(reactor, UpstreamAddress.parse(f"http://127.0.0.1:{number}"))

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, ServerFactory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        looking = look(reactor, UpstreamAddress.parse(f"http://127.0.0.1:{number}"))
        await self.assertFailure(looking, ConnectionRefusedError)

    async def test_by_connecting(self) -> None:
        """Where the system does not tell who listens."""
        self.patch(watch, "listens_here", lambda port: False)
        number = listening(self, Factory.forProtocol(Protocol))
        await look(reactor, UpstreamAddress.parse(f"tcp://127.0.0.1:{number}"))

    def test_tables(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.assertFalse(listens_here(3000, folder))
        header = "  sl  local_address rem_address   st tx_queue rx_queue\n"
        for local, state, listens in (
            ("0100007F:0BB8 00000000:0000", "0A", True),
            ("00000000:0BB8 00000000:0000", "0A", True),
            ("0100007F:0BB8 0100007F:C350", "01", False),  # a connection
            ("0A00000A:0BB8 00000000:0000", "0A", False),  # another address
            ("0100007F:0BB9 00000000:0000", "0A", False),
        ):
            (folder / "tcp").write_text(f"{header}   0: {local} {state} 00000000:00000000\n")
            self.assertEqual(listens_here(3000, folder), listens, local)
        zeros = "0" * 32
        (folder / "tcp6").write_text(
            f"{header}   0: {zeros}:0BB8 {zeros}:0000 0A 00000000:00000000\n"
        )
        self.assertTrue(listens_here(3000, folder))
