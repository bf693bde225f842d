"""Spans of time as people write them."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.policy.durations import parse_duration


class DurationTests(TestCase):
    def test_each_unit(self) -> None:
        for text, seconds in (
            ("45s", 45),
            ("90m", 5400),
            ("12h", 43200),
            ("30d", 30 * 86400),
            ("2w", 14 * 86400),
            ("007s", 7),
        ):
            self.assertEqual(parse_duration(text), seconds)

    def test_what_is_none(self) -> None:
        for text in ("", "0d", "d", "30", "-1d", "1.5h", "1 d", "1D", "1dd", "٣d", "1y", "9" * 11):
            error = self.assertRaises(ValueError, parse_duration, text)
            self.assertIn("30d", str(error))

    def test_no_longer_than_the_calendar(self) -> None:
        self.assertEqual(parse_duration("36500d"), 36500 * 86400)
        for text in ("36501d", "9999999999w"):
            self.assertRaises(ValueError, parse_duration, text)
