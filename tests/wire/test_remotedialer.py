"""The protocol of inlets OSS: messages, connections, and their ends."""

from __future__ import annotations

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.wire import varint
from tests.properties import repeatable
from tests.wire.inlets import (
    ADD_CLIENT,
    CONNECT,
    DATA,
    ERROR,
    PAUSE,
    REMOVE_CLIENT,
    RESUME,
    SYNC_CONNECTIONS,
    InletsTestCase,
    message,
    read,
)

MIB = 1 << 20


class TranscriptTests(InletsTestCase):
    """Against bytes written down by hand."""

    def test_sent(self) -> None:
        owner = self.open()
        owner.write(b"hi")
        owner.write(b"x" * 40_000)
        owner.finish()
        second = self.open()
        second.reset(ResetCode.REFUSED, "connection refused")
        self.assertEqual(
            self.server.take(),
            [
                b"\x02\x04\x04\xb0\xea\x01tcp/127.0.0.1:3000",
                b"\x04\x04\x02\xb0\xea\x01hi",
                b"\x06\x04\x02\xb0\xea\x01" + b"x" * 32_768,
                b"\x08\x04\x02\xb0\xea\x01" + b"x" * 7232,
                b"\x0a\x04\x06EOF",
                b"\x0c\x06\x04\xb0\xea\x01tcp/127.0.0.1:3000",
                b"\x0e\x06\x06connection refused",
            ],
        )

    def test_pause_and_resume(self) -> None:
        self.client.mux.receive(b"\x00\x04\x04\x00tcp/127.0.0.1:3000")
        self.client.owners[0].consuming = False
        self.client.mux.receive(b"\x02\x04\x02\x00" + b"x" * 262_145)
        self.assertEqual(self.client.take(), [b"\x02\x04\x0c"])
        self.client.owners[0].consume()
        self.assertEqual(self.client.take(), [b"\x04\x04\x0e"])

    def test_received(self) -> None:
        """As a stock peer sends it: a random id, deadlines of any length."""
        owner = self.open()
        for data in (
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x04\x02\xb0\xea\x01one ",
            b"\x01\x04\x02\x00two",
            b"\x80\x00\x04\x02\x00",
            b"\x00\x04\x06EOF",
        ):
            self.server.mux.receive(data)
        self.assertEqual((owner.received, owner.events), (b"one two", ["closed"]))

    def test_ids_of_messages_count_up(self) -> None:
        owner = self.open()
        for _ in range(200):
            owner.write(b"x")
        ids = [varint.decode(data)[0] for data in self.server.take()]
        self.assertEqual(ids, list(range(ids[0], ids[0] + 201)))

    def test_connections_count_from_two(self) -> None:
        self.assertEqual([self.open().stream.id for _ in range(3)], [2, 3, 4])

    def test_cut_in_every_place(self) -> None:
        header = b"\x82\x80\x00\x84\x00\x02\xb0\xea\x01"
        owner = self.open()
        for cut in range(len(header)):
            self.assertRaises(ProtocolViolation, self.server.mux.receive, header[:cut])
        for end in range(5):
            self.server.mux.receive(header + b"data"[:end])
        self.assertEqual(owner.received, b"ddadatdata")


class MessageTests(InletsTestCase):
    def test_long_varints(self) -> None:
        self.open()
        for data in (
            b"\x80" * 10 + b"\x00" + b"\x04\x02\x00x",
            b"\x00" + b"\x84" + b"\x80" * 9 + b"\x00" + b"\x02\x00x",
            b"\x00\x04" + b"\x82" + b"\x80" * 9 + b"\x00" + b"\x00x",
            b"\x00\x04\x02" + b"\x80" * 10 + b"\x00" + b"x",
            b"\xff" * 9 + b"\x02" + b"\x04\x02\x00x",
        ):
            self.assertRaises(ProtocolViolation, self.server.mux.receive, data)

    def test_types_that_mean_nothing_here(self) -> None:
        owner = self.open()
        for kind in (ADD_CLIENT, REMOVE_CLIENT, 0, -1, 9, 1 << 62, -(1 << 63)):
            for connection in (owner.stream.id, 99):
                self.assertEqual(
                    self.give(self.server, message(connection, kind, b"CLIENT/SESSION")), []
                )
        self.assertEqual(owner.events, [])

    def test_up_to_a_mebibyte_of_data(self) -> None:
        owner = self.open()
        self.give(self.server, message(owner.stream.id, DATA, b"x" * MIB))
        self.assertEqual(len(owner.received), MIB)

    def test_no_data(self) -> None:
        owner = self.open()
        owner.on_data = self.fail
        self.assertEqual(self.give(self.server, message(owner.stream.id, DATA)), [])

    @repeatable
    @given(
        st.lists(
            st.builds(
                message,
                st.sampled_from([-1, 0, 2, 3, 7]),
                st.integers(-1, 10),
                st.sampled_from([b"", b"EOF", b"tcp/a:1", b"tcp", b"udp/a:1", b"\xff", b"\0" * 16]),
            )
            | st.binary(max_size=30),
            max_size=12,
        )
    )
    def test_whatever_messages_come(self, received: list[bytes]) -> None:
        InletsTestCase.setUp(self)
        self.open()
        for end in (self.server, self.client):
            for data in received:
                try:
                    end.mux.receive(data)
                except ProtocolViolation:
                    break
            end.mux.lost(StreamReset(ResetCode.CANCELLED))
            self.assertEqual((end.mux.streams, end.mux._unconsumed), ({}, 0))


class ConnectTests(InletsTestCase):
    def test_any_id(self) -> None:
        for connection in (2, 0, 1, -7, 1 << 62, -(1 << 63)):
            self.give(self.client, message(connection, CONNECT, b"tcp/127.0.0.1:3000"))
            owner = self.client.owners[-1]
            owner.write(b"x")
            self.assertEqual(read(self.client.take()), [(connection, DATA, b"x")])

    def test_what_is_dialled_is_left_to_the_letter(self) -> None:
        for address in ("localhost", "LOCALHOST:080", "[::1]:3000", "a/b", "", "w\xf6rd:1"):
            self.give(
                self.client, message(len(self.client.owners), CONNECT, b"tcp/" + address.encode())
            )
            self.assertEqual(self.client.visitors[-1], (address, ""))

    def test_a_connection_that_is_there(self) -> None:
        here, _ = self.pair()
        data = message(here.stream.id, CONNECT, b"tcp/127.0.0.1:3000")
        self.assertRaises(ProtocolViolation, self.client.mux.receive, data)

    def test_malformed(self) -> None:
        for payload in (b"", b"tcp", b"127.0.0.1:3000", b"\xff"):
            self.assertRaises(
                ProtocolViolation, self.client.mux.receive, message(2, CONNECT, payload)
            )

    def test_other_networks(self) -> None:
        for network in ("udp", "unix", "", "TCP", "x" * 200):
            answer = self.give(
                self.client, message(2, CONNECT, network.encode() + b"/127.0.0.1:3000")
            )
            self.assertEqual(answer, [(2, ERROR, f"network not allowed: {network}".encode()[:100])])
        self.assertEqual((self.client.mux.streams, self.client.owners), ({}, []))

    def test_an_id_that_is_used_again(self) -> None:
        """The owner of the stream that had it before has no hold on the new one."""
        self.give(self.client, message(5, CONNECT, b"tcp/a:1"))
        first = self.client.owners[0]
        first.consuming = False
        self.client.mux.pause()
        first.write(b"old")
        self.give(self.client, message(5, DATA, b"x" * 300_000), message(5, ERROR, b"EOF"))
        self.give(self.client, message(5, CONNECT, b"tcp/b:2"))
        second = self.client.owners[1]
        second.consuming = False
        self.give(self.client, message(5, DATA, b"y" * 10))
        first.write(b"old")
        first.finish()
        first.reset()
        first.consume()
        self.client.mux.resume()
        self.assertEqual(self.client.take(), [])
        self.assertEqual(self.client.mux.streams, {5: second.stream})
        self.assertEqual(self.client.mux._unconsumed, 10)
        second.write(b"new")
        self.assertEqual(read(self.client.take()), [(5, DATA, b"new")])


class ErrorTests(InletsTestCase):
    def test_an_orderly_end(self) -> None:
        owner = self.open()
        self.assertEqual(self.give(self.server, message(owner.stream.id, ERROR, b"EOF")), [])
        self.assertEqual(owner.events, ["closed"])

    def test_a_peer_s_end_drops_what_waits(self) -> None:
        owner = self.open()
        self.server.mux.pause()
        owner.write(b"x")
        self.give(self.server, message(owner.stream.id, ERROR, b"EOF"))
        self.server.mux.resume()
        self.assertEqual((self.server.take(), owner.events), ([], ["closed"]))

    def test_what_a_dialler_says(self) -> None:
        for text, code in (
            ("dial tcp 127.0.0.1:3000: connect: connection refused", ResetCode.REFUSED),
            ("read tcp 1.2.3.4:5->6.7.8.9:10: connection reset by peer", ResetCode.CANCELLED),
            ("dial tcp 10.0.0.1:80: i/o timeout", ResetCode.TIMEOUT),
            ("context deadline exceeded", ResetCode.TIMEOUT),
            ("dial tcp: lookup nope on 1.1.1.1:53: no such host", ResetCode.UNREACHABLE),
            ("dial tcp 10.0.0.1:80: connect: network is unreachable", ResetCode.UNREACHABLE),
            ("dial tcp 10.0.0.1:80: connect: no route to host", ResetCode.UNREACHABLE),
            ("dial tcp: address localhost: missing port in address", ResetCode.UNREACHABLE),
            ("connection not found 5", ResetCode.CANCELLED),
            ("EOF ", ResetCode.CANCELLED),
            ("unexpected EOF", ResetCode.CANCELLED),
            ("", ResetCode.CANCELLED),
        ):
            owner = self.open()
            self.give(self.server, message(owner.stream.id, ERROR, text.encode()))
            self.assertEqual(owner.events, [(code, text)])

    def test_a_text_that_is_none(self) -> None:
        owner = self.open()
        self.give(self.server, message(owner.stream.id, ERROR, b"\xff" + b"x" * 5000))
        self.assertEqual(owner.events, [(ResetCode.CANCELLED, "�" + "x" * 999)])

    def test_what_is_sent_is_no_longer_than_old_peers_read(self) -> None:
        owner = self.open()
        self.server.take()
        owner.reset(ResetCode.INTERNAL, "\xe9" * 100)
        self.assertEqual(read(self.server.take()), [(2, ERROR, "\xe9".encode() * 50)])
        for code in ResetCode:
            owner = self.open()
            self.server.take()
            owner.reset(code)
            text = code.name.lower().encode()
            self.assertEqual(read(self.server.take()), [(owner.stream.id, ERROR, text)])

    def test_a_stock_peer_s_answer_to_an_error(self) -> None:
        owner = self.open()
        owner.finish()
        self.assertEqual(self.give(self.server, message(owner.stream.id, ERROR, b"EOF")), [])
        self.assertEqual(owner.events, ["closed"])


class UnknownConnectionTests(InletsTestCase):
    def test_data(self) -> None:
        for connection in (99, 0, -1, 1 << 62):
            text = f"connection not found {connection}".encode()
            self.assertEqual(
                self.give(self.server, message(connection, DATA, b"x")),
                [(connection, ERROR, text)],
            )

    def test_all_else(self) -> None:
        for kind in (ERROR, ADD_CLIENT, REMOVE_CLIENT, PAUSE, RESUME, 42):
            self.assertEqual(self.give(self.server, message(99, kind, b"x")), [])


class SynchroniseTests(InletsTestCase):
    def all_are_known(self) -> None:
        """The client says once that it knows every stream there is."""
        ids = list(self.server.mux.streams)
        self.give(self.server, message(0, SYNC_CONNECTIONS, pack(f"<{len(ids)}q", *ids)))

    def test_what_the_client_does_not_know_is_dropped(self) -> None:
        owners = [self.open() for _ in range(4)]
        self.all_are_known()
        alive = [owners[0].stream.id, owners[2].stream.id, 99]
        answer = self.give(self.server, message(0, SYNC_CONNECTIONS, pack("<3q", *alive)))
        self.assertEqual(answer, [])
        self.assertEqual([owner.end is None for owner in owners], [True, False, True, False])
        self.assertEqual(owners[1].end, (ResetCode.CANCELLED, "unknown to the client"))
        self.assertEqual(list(self.server.mux.streams), alive[:2])

    def test_none_is_known(self) -> None:
        owners = [self.open() for _ in range(3)]
        owners[0].on_closed = owners[1].reset
        self.all_are_known()
        self.server.take()
        self.server.mux.receive(message(0, SYNC_CONNECTIONS))
        self.assertEqual(self.server.mux.streams, {})
        self.assertEqual(owners[1].events, [])

    def test_negative_ids(self) -> None:
        self.give(self.client, message(-5, CONNECT, b"tcp/a:1"))
        for _ in range(2):
            self.give(self.client, message(0, SYNC_CONNECTIONS, pack("<q", -5)))
        self.assertEqual(list(self.client.mux.streams), [-5])

    def test_younger_than_the_last_list(self) -> None:
        """The client may have written its list before it read of the stream."""
        known = self.open()
        self.all_are_known()
        young = self.open()
        self.give(self.server, message(0, SYNC_CONNECTIONS, pack("<q", known.stream.id)))
        self.assertIsNone(young.end)
        self.give(self.server, message(0, SYNC_CONNECTIONS, pack("<q", known.stream.id)))
        self.assertEqual(young.end, (ResetCode.CANCELLED, "unknown to the client"))

    def test_malformed(self) -> None:
        for payload in (b"\0", b"\0" * 7, b"\0" * 9):
            data = message(0, SYNC_CONNECTIONS, payload)
            self.assertRaises(ProtocolViolation, self.server.mux.receive, data)
