"""The command `tunnel connect`: its words, and how its local port is opened."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from inletspy.client.cli import main
from inletspy.client.config import Wishes
from inletspy.client.connect import Arguments, parse
from inletspy.client.localport import LocalPort, with_port
from inletspy.errors import ClientAway, StartError, UsageError
from tests.peers import CUT, PeerFactory, reactor

HERE = "127.0.0.1"


class ParseTests(SynchronousTestCase):
    def test_words(self) -> None:
        for line, arguments in (
            ("db 5432", Arguments("db", 5432, HERE, Wishes(""))),
            ("private:DB 0", Arguments("db", 0, HERE, Wishes(""))),
            ("--bind ::1 db 1", Arguments("db", 1, "::1", Wishes(""))),
            ("db 1 --bind localhost", Arguments("db", 1, HERE, Wishes(""))),
            (
                "db 1 --share-token-file f --json",
                Arguments("db", 1, HERE, Wishes(""), "f", "json"),
            ),
            (
                "db 1 --server wss://h --token-file t --client-id me --insecure --verbose",
                Arguments(
                    "db",
                    1,
                    HERE,
                    Wishes("", server="wss://h", token_file="t", client_id="me", insecure=True),
                    verbose=True,
                ),
            ),
        ):
            self.assertEqual(parse(line.split()), arguments, line)

    def test_faults(self) -> None:
        for line, words in (
            ("", "are required: NAME, LOCALPORT; see `tunnel connect --help`"),
            ("db", "are required: LOCALPORT"),
            ("db x", "'x' is no port from 1 to 65535, or 0"),
            ("db 65536", "'65536' is no port"),
            ("db -1", "'-1' is no port"),
            ("a.b 1", "'a.b' is no name"),
            ("db 1 tcp", "unrecognized arguments: tcp"),
            ("db 1 --bind example.com", "'example.com' does not appear to be an IPv4 or IPv6"),
            ("db 1 --name x", "unrecognized arguments: --name"),
            ("db 1 --token x", "there is no --token"),
        ):
            error = self.assertRaises(UsageError, parse, line.split())
            self.assertIn(words, str(error))

    def test_as_a_word_of_tunnel(self) -> None:
        self.assertEqual(main(["connect", "db"]), 2)


class NowhereTests(TestCase):
    """A local port while there is no way to the service."""

    def setUp(self) -> None:
        self.told: list[str] = []

    def connect(self, protocol: Any, visitor: str) -> Any:
        raise ClientAway

    def open(self, on: Any = reactor) -> LocalPort:
        return LocalPort(on, self, self.told.append)  # type: ignore[arg-type]

    def test_in_use(self) -> None:
        with socket.socket() as taken:
            taken.bind((HERE, 0))
            taken.listen()
            port = taken.getsockname()[1]
            error = self.assertRaises(StartError, self.open().open, HERE, port)
        self.assertIn(f"can't listen on {HERE}:{port}: Address already in use", str(error))

    def test_not_of_this_machine(self) -> None:
        error = self.assertRaises(StartError, self.open().open, "203.0.113.1", 0)
        self.assertIn("can't listen on 203.0.113.1:0", str(error))

    async def test_connections_are_cut_and_told_of_once(self) -> None:
        listening: Any = self.open().open(HERE, 0)
        self.addCleanup(listening.stopListening)
        peers = PeerFactory(self)
        for _ in range(3):
            peer = await peers.connect_to(listening.getHost().port)
            self.assertEqual(await peer.ended(), CUT)
        self.assertEqual(self.told, ["it is not connected just now"])

    def test_told_again_after_a_while(self) -> None:
        clock: Any = MemoryReactorClock()
        port = self.open(clock)
        for seconds, count in ((0, 1), (9, 1), (2, 2)):
            clock.advance(seconds)
            port._failed("a reason")
            self.assertEqual(len(self.told), count)
        port._failed("another")
        self.assertEqual(len(self.told), 3)

    def test_addresses(self) -> None:
        self.assertEqual(with_port("::1", 1), "[::1]:1")
        self.assertEqual(with_port(HERE, 1), "127.0.0.1:1")
