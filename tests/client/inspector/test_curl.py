"""Requests as command lines: a real shell must take each word for what it is."""

from __future__ import annotations

import shutil
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, TestCase

from inletspy.client.inspector.curl import curl, quoted
from inletspy.client.inspector.views import request_content
from tests.client.inspector.support import Capture, get

URL = b"http://web.example.com/p"
NASTY = (
    b"$(touch x)",
    b"`touch x`",
    b"'; touch x; '",
    b'"; touch x; "',
    b"\\'\\\\",
    b"!! !$ !x",
    b"a\nb\rc\td",
    b"-o/etc/passwd",
    b"@/etc/passwd",
    b"~root",
    b"*?[a-z]{a,b}",
    b"\x1b[31m\x07",
    "‮grüß\u200b".encode(),
    b"\xff\xfe\x80",
    b"",
)


def words(command: str, shell: str) -> list[bytes]:
    """How a shell takes a command line apart."""
    path = shutil.which(shell)
    if path is None:
        raise SkipTest(f"there is no {shell}")
    script = "curl() { printf '%s\\0' \"$@\"; }\n" + command
    done = subprocess.run([path, "-c", script], capture_output=True, check=True, cwd="/")
    return done.stdout.split(b"\0")[:-1]


class QuotingTests(TestCase):
    def test_each_word_stays_what_it_is(self) -> None:
        for shell in ("bash", "zsh"):
            if shutil.which(shell):
                command = "curl " + " ".join(quoted(word) for word in NASTY)
                self.assertEqual(words(command, shell), list(NASTY), shell)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.binary(max_size=30).filter(lambda data: b"\0" not in data), min_size=1))
    def test_any_words(self, given_words: list[bytes]) -> None:
        command = "curl " + " ".join(quoted(word) for word in given_words)
        self.assertTrue(command.isprintable() and command.isascii())
        self.assertEqual(words(command, "bash"), given_words)


class CurlTests(TestCase):
    def command(self, request: bytes, *, reveal: bool = True) -> list[bytes]:
        capture = Capture()
        one = capture.pass_(request)
        return words(curl(one, request_content(one), reveal=reveal), "bash")

    def test_what_was_asked(self) -> None:
        self.assertEqual(
            self.command(
                get(
                    "/a?b='$(x)",
                    "X-Forwarded-Proto: https",
                    "X-Forwarded-Host: web.example.com",
                    "Connection: keep-alive",
                    "X-Empty:",
                    "Accept-Encoding: gzip",
                )
            ),
            [b"https://web.example.com/a?b='$(x)", b"--compressed", b"-H", b"X-Empty;"],
        )

    def test_a_body(self) -> None:
        post = get("/p", "Content-Type: text/x", "Content-Length: 6").replace(b"GET", b"POST")
        self.assertEqual(
            self.command(post + b"@a'b\nc"),
            [
                b"http://web.example.com/p",
                b"-H",
                b"Content-Type: text/x",
                b"--data-raw",
                b"@a'b\nc",
            ],
        )
        untold = get("/p", "Content-Length: 1").replace(b"GET", b"PUT") + b"x"
        self.assertEqual(
            self.command(untold),
            [
                b"-X",
                b"PUT",
                b"http://web.example.com/p",
                b"-H",
                b"Content-Type:",
                b"--data-raw",
                b"x",
            ],
        )

    def test_curls_own_signs_mean_nothing(self) -> None:
        found = self.command(get("/{a,b}[1-9]/../x"))
        self.assertEqual(found[:2], [b"--globoff", b"--path-as-is"])

    def test_a_scheme_that_a_visitor_made_up(self) -> None:
        """Stock servers pass that field on as it came."""
        for scheme in ("-o/etc/passwd#", "file", "HTTPS"):
            found = self.command(get("/a", f"X-Forwarded-Proto: {scheme}"))
            known = b"https" if scheme == "HTTPS" else b"http"
            self.assertEqual(found, [known + b"://web.example.com/a"])

    def test_secrets(self) -> None:
        request = get("/", "Authorization: Bearer s3cret", "Cookie: s3cret")
        self.assertNotIn(b"s3cret", b"".join(self.command(request, reveal=False)))
        self.assertIn(b"Authorization: Bearer s3cret", self.command(request))
