"""Why an exchange failed, in words."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.inspector.failures import failure_of
from tests.client.inspector.support import GET, OFFER, Capture


class TitleTests(SynchronousTestCase):
    def title(self, kind: str, reason: str) -> str:
        """What is said of a request that ended so."""
        capture = Capture()
        captured = capture.pass_(GET)
        capture.stream.upstream_ended(kind, reason)
        capture.stream.closed()
        failure = failure_of(captured, lambda service: "")
        assert failure is not None
        return failure.title

    def test_it_begins_as_sentences_do(self) -> None:
        self.assertEqual(self.title("refused", "nothing listens on it"), "Nothing listens on it")

    def test_an_address_stays_as_it_is_typed(self) -> None:
        self.assertEqual(OFFER.upstream, "http://localhost:3000")
        for kind, reason in (
            ("reset", "localhost:3000 broke the connection off"),
            ("unknown_host", "localhost is unknown (no such host)"),
        ):
            self.assertEqual(self.title(kind, reason), reason)
