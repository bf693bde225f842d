"""Two ends that behave as one connection, whatever their transports are."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import directlyProvides, providedBy

from inletspy.tunnel.splice import SpliceEnd, splice


class HalfCloseable(StringTransport):
    """A transport that notes what was asked of it at its end."""

    finished = False

    def loseWriteConnection(self) -> None:
        self.finished = True


class SpliceTests(TestCase):
    """Everything that happens at one end, seen at the other."""

    def setUp(self) -> None:
        self.near, self.far = SpliceEnd(), SpliceEnd()
        self.near_transport, self.far_transport = HalfCloseable(), HalfCloseable()
        self.near.makeConnection(self.near_transport)
        self.far.makeConnection(self.far_transport)
        splice(self.near, self.far)

    def test_bytes(self) -> None:
        self.near.dataReceived(b"there")
        self.far.dataReceived(b"and back")
        self.assertEqual(self.far_transport.value(), b"there")
        self.assertEqual(self.near_transport.value(), b"and back")

    def test_back_pressure(self) -> None:
        """Each transport holds up the reading of the other."""
        for writer, reader in (
            (self.near_transport, self.far_transport),
            (self.far_transport, self.near_transport),
        ):
            producer: Any = writer.producer
            self.assertTrue(IPushProducer.providedBy(producer))
            self.assertTrue(writer.streaming)
            producer.pauseProducing()
            self.assertEqual(reader.producerState, "paused")
            producer.resumeProducing()
            self.assertEqual(reader.producerState, "producing")

    def test_transport_that_ends_does_not_end_the_other_by_itself(self) -> None:
        """How it ended is only told by `connectionLost`, which comes right after."""
        producer: Any = self.near_transport.producer
        producer.stopProducing()
        self.assertFalse(self.far_transport.disconnecting)
        self.assertFalse(self.far_transport.finished)
        self.assertEqual(self.far_transport.producerState, "producing")

    def test_half_close(self) -> None:
        self.assertTrue(IHalfCloseableProtocol.providedBy(self.near))
        self.near.readConnectionLost()
        self.assertTrue(self.far_transport.finished)
        self.assertFalse(self.near_transport.disconnecting)
        self.far.dataReceived(b"answer")
        self.assertEqual(self.near_transport.value(), b"answer")
        self.far.writeConnectionLost()
        self.assertFalse(self.far_transport.disconnecting)

    def test_both_halves(self) -> None:
        self.near.readConnectionLost()
        self.far.readConnectionLost()
        self.assertTrue(self.near_transport.disconnecting)
        self.assertTrue(self.far_transport.disconnecting)

    def test_half_close_over_tls(self) -> None:
        directlyProvides(self.far_transport, ISSLTransport, providedBy(self.far_transport))
        self.near.readConnectionLost()
        self.assertFalse(self.far_transport.finished)
        self.assertTrue(self.far_transport.disconnecting)

    def test_end_in_order(self) -> None:
        self.near.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.far_transport.disconnecting)
        self.assertFalse(self.far_transport.disconnected)
        self.assertIsNone(self.far_transport.producer)

    def test_reset(self) -> None:
        self.near.connectionLost(Failure(ConnectionLost()))
        self.assertTrue(self.far_transport.disconnected)
        self.assertIsNone(self.far_transport.producer)

    def test_after_the_end(self) -> None:
        self.near.connectionLost(Failure(ConnectionDone()))
        self.far.dataReceived(b"for nobody")
        self.far.readConnectionLost()
        self.far.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.near_transport.value(), b"")
        self.assertFalse(self.near_transport.disconnecting)

    def test_end_without_another(self) -> None:
        """As at an agent whose upstream was not reached yet."""
        alone = SpliceEnd()
        transport = HalfCloseable()
        alone.makeConnection(transport)
        alone.dataReceived(b"for nobody")
        alone.readConnectionLost()
        alone.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(transport.disconnecting)
