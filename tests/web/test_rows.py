"""The shape of rows for the outside."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import TestCase

from inletspy.web.rows import of_owner, shown, timestamp
from tests.web.support import live_row


class RowTests(TestCase):
    def test_all_but_the_owner_is_shown(self) -> None:
        row = live_row(protocol="http")
        (public,) = shown([row])
        self.assertNotIn("owner", public)
        self.assertEqual({**public, "owner": "shared"}, row)

    def test_an_owner_is_matched_whole(self) -> None:
        rows = [live_row(owner=name) for name in ("user-1", "user-12", "User-1", "user-1 ")]
        self.assertEqual(of_owner([*rows, {}], "user-1"), rows[:1])

    def test_times_end_in_z(self) -> None:
        moment = datetime(2031, 1, 31, 12, 0, 0, 5000, UTC)
        self.assertEqual(timestamp(moment), "2031-01-31T12:00:00.005Z")
