"""How the server says it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from inletspy.condition import Condition
from inletspy.interfaces import ISnapshot
from inletspy.process import memory, open_descriptors
from inletspy.web.health import HEALTH


@implementer(ISnapshot)
class Part:
    """A part that tells what a test says."""

    def __init__(self, **told: Any) -> None:
        self.told = told

    def snapshot(self) -> Mapping[str, Any]:
        return self.told


class ConditionTests(TestCase):
    def test_put_together(self) -> None:
        now = 1_800_000_000.0
        database = Part(connected=True, since=now - 30)
        admission = Part(services=1, sessions=2, streams=3, refused={"streams": 4})
        condition = Condition(lambda: now, lambda: 5, 6, database, admission, Part(links=7))
        now += 90.5
        told = dict(condition())
        self.assertEqual([*Draft202012Validator(HEALTH).iter_errors(told)], [])
        for name, value in {
            "uptime_seconds": 90,
            "tunnels": 1,
            "sessions": 2,
            "streams": 3,
            "visitors": 5,
            "links": 7,
            "refusals": {"streams": 4},
            "database": {"state": "up", "since": "2027-01-15T07:59:30Z"},
        }.items():
            self.assertEqual(told[name], value, name)
        self.assertEqual(told["descriptors"]["limit"], 6)
        database.told["connected"] = False
        self.assertEqual(condition()["database"]["state"], "away")

    def test_the_process(self) -> None:
        self.assertGreater(memory() or 0, 1_000_000)
        before = open_descriptors() or 0
        with open("/dev/null", encoding="ascii"):
            self.assertEqual(open_descriptors(), before + 1)
