"""Whether and how to inspect, as people write it."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.client.inspector.settings import InspectSettings, read_settings
from inletspy.errors import UsageError


class SettingsTests(TestCase):
    def read(self, **said: str) -> InspectSettings:
        return read_settings({wish: (text, f"--{wish}") for wish, text in said.items()})

    def test_what_is_said(self) -> None:
        self.assertEqual(self.read(), InspectSettings(None, None, 1 << 20, 64 << 20))
        self.assertEqual(self.read(inspect="off").wanted, False)
        self.assertEqual(self.read(inspect="4041"), InspectSettings(True, 4041))
        self.assertEqual(self.read(inspect="0").port, 0)
        for text, size in (("512KiB", 524288), ("1m", 1 << 20), ("100", 100), ("2MB", 2 << 20)):
            self.assertEqual(self.read(inspect_body=text).body_limit, size, text)
        self.assertEqual(self.read(inspect_memory="1GiB").memory_limit, 1 << 30)

    def test_what_makes_no_sense(self) -> None:
        for wish, text in (
            ("inspect", "on"),
            ("inspect", "65536"),
            ("inspect", "-1"),
            ("inspect_body", "65MiB"),
            ("inspect_body", "much"),
            ("inspect_body", "-1"),
            ("inspect_memory", "1023KiB"),
            ("inspect_memory", "9999999999"),
        ):
            error = self.assertRaises(UsageError, self.read, **{wish: text})
            self.assertIn(f"--{wish}: '{text}'", str(error))
