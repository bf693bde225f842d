"""Request heads to test with, and how to look at one."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.errors import HeadError
from inletspy.wire.http1 import parse_request


def head(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"a") -> bytes:
    """A request's head with a Host and other fields."""
    return b"\r\n".join([line, b"Host: " + host, *lines, b"", b""])


def lines_of(forwarded: bytes) -> list[bytes]:
    """The field lines of a head."""
    _, _, rest = forwarded.partition(b"\r\n")
    assert rest.endswith(b"\r\n"), forwarded
    return rest.split(b"\r\n")[:-2]


class RequestTestCase(TestCase):
    def assertRefused(self, data: bytes, status: int = 400, reason: str = "") -> None:
        with self.subTest(data=data[:200]):
            error = self.assertRaises(HeadError, parse_request, data)
            self.assertEqual(error.status, status, str(error))
            self.assertIn(reason, str(error))
