"""Command lines as the stock program reads them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from inletspy.compat.flags import Flag, FlagValue, describe, read_flags
from inletspy.errors import UsageError

FLAGS = (
    Flag("remote", "r", "here:8000", "the server"),
    Flag("url", "", "", "the server, too", "remote"),
    Flag("port", "p", 80, "a number"),
    Flag("quick", "q", False, "a switch"),
    Flag("strict", "s", True, "another"),
)


class ReadTests(SynchronousTestCase):
    def test_ways_to_give_a_value(self) -> None:
        given: tuple[tuple[str, dict[str, FlagValue]], ...] = (
            ("", {}),
            ("--remote=a:1", {"remote": "a:1"}),
            ("--remote a:1", {"remote": "a:1"}),
            ("-r a:1", {"remote": "a:1"}),
            ("-ra:1", {"remote": "a:1"}),
            ("-r=a:1", {"remote": "a:1"}),
            ("--remote=", {"remote": ""}),
            ("--remote==http://x", {"remote": "=http://x"}),
            ("--remote --quick", {"remote": "--quick"}),  # not a flag: a value
            ("-r -1", {"remote": "-1"}),
            ("--url u", {"remote": "u"}),
            ("--remote a --url b", {"remote": "b"}),
            ("-p8080", {"port": 8080}),
            ("-p 8080 -p 81", {"port": 81}),
            ("--quick", {"quick": True}),
            ("-q", {"quick": True}),
            ("-qp 5", {"quick": True, "port": 5}),
            ("-qsrx", {"quick": True, "strict": True, "remote": "x"}),
            ("--quick=true --strict=false", {"quick": True, "strict": False}),
            ("-q=0 -s=F", {"quick": False, "strict": False}),
            ("--quick false", {"quick": True}),  # the word belongs to nothing
            ("word -q - more", {"quick": True}),
            ("-q -- -s", {"quick": True}),
        )
        for line, values in given:
            self.assertEqual(read_flags(FLAGS, line.split()), values, line)

    def test_faults(self) -> None:
        for line, fault in (
            ("--frob", "unknown flag: --frob"),
            ("--rem x", "unknown flag: --rem"),
            ("-x", "unknown shorthand flag: 'x' in -x"),
            ("-qx", "unknown shorthand flag: 'x' in -qx"),
            ("--remote", "flag needs an argument: --remote"),
            ("-q -r", "flag needs an argument: 'r' in -r"),
            ("--port abc", 'invalid argument "abc" for "-p, --port" flag: not a number'),
            ("--port=", 'invalid argument "" for "-p, --port" flag: not a number'),
            ("--quick=maybe", 'invalid argument "maybe" for "-q, --quick" flag'),
            ("-q=", 'invalid argument "" for "-q, --quick" flag'),
        ):
            error = self.assertRaises(UsageError, read_flags, FLAGS, line.split())
            self.assertIn(fault, str(error))

    def test_help(self) -> None:
        text = describe(FLAGS)
        self.assertIn("  -r, --remote string", text)
        self.assertIn("the server (default here:8000)", text)
        self.assertIn("      --url string", text)
        self.assertIn("  -p, --port int", text)
        self.assertEqual(len(text.splitlines()), len(FLAGS))
