"""Bodies as a person sees them, and heads: whatever they claim to be."""

from __future__ import annotations

import gzip
import time
import zlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.client.inspector import heads
from inletspy.client.inspector.bodies import MAX_DECODED, content_of, form_of, shown_body


def head(*fields: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *fields, "")).encode("latin-1")


def shown(kind: str, data: bytes, *fields: str, cut: bool = False) -> dict[str, Any]:
    lines = (f"Content-Type: {kind}", *fields) if kind else fields
    content = content_of(head(*lines), data, cut=cut)
    return shown_body(content, len(data), len(data))


class TypeTests(TestCase):
    def test_by_type(self) -> None:
        for kind, data, expected in (
            ("application/json", b'{"a": 1}', "json"),
            ("application/problem+json; charset=utf-8", b"{}", "json"),
            ("", b" [1]", "json"),
            ("text/html", b"<script>alert(1)</script>", "text"),
            ("image/svg+xml", b"<svg onload='x'/>", "text"),
            ("application/x-www-form-urlencoded", b"a=b", "form"),
            ("image/png", b"\x89PNG\0", "image"),
            ("image/png", b"", "empty"),
            ("application/octet-stream", b"\0\1", "binary"),
            ("", b"just text", "text"),
            ("text/plain; charset=iso-8859-1", b"gr\xfc\xdf", "text"),
            ("text/plain", b"\xff\xfe", "text"),
            ("", b"\xff\xfe", "binary"),
            ("application/pdf", b"%PDF \xff", "binary"),
        ):
            self.assertEqual(shown(kind, data)["type"], expected, (kind, data))

    def test_charsets(self) -> None:
        self.assertEqual(shown("text/plain; charset=ISO-8859-1", b"\xfc")["text"], "ü")
        self.assertEqual(shown('text/plain; charset="utf-16"', "ü".encode("utf-16"))["text"], "ü")
        # Python knows codecs that are no text, or that run something.
        for charset in ("zlib", "hex", "unicode_escape", "idna", "punycode", "latin-99", "x" * 999):
            found = shown(f"text/plain; charset={charset}", b"\\x41 a")
            self.assertEqual(found["text"], "\\x41 a", charset)

    def test_half_a_character(self) -> None:
        found = shown("text/plain", "grüß".encode()[:-1], cut=True)
        self.assertEqual((found["text"], found["cut"]), ("grü", True))

    def test_compressed(self) -> None:
        for coding, data in (
            ("gzip", gzip.compress(b'{"a":1}')),
            ("deflate", zlib.compress(b'{"a":1}')),
            ("deflate", zlib.compress(b'{"a":1}')[2:-4]),
        ):
            found = shown("application/json", data, f"Content-Encoding: {coding}")
            self.assertEqual((found["text"], found["decoded"]), ('{"a":1}', True), coding)
            self.assertEqual((found["size"], found["content_size"]), (len(data), 7))
        half = gzip.compress(bytes(range(256)) * 99)[:300]
        self.assertTrue(shown("text/plain", half, "Content-Encoding: gzip")["cut"])
        for coding in ("br", "zstd", "gzip, gzip"):
            found = shown("application/json", b"\x0b\x02\x80", f"Content-Encoding: {coding}")
            self.assertEqual(
                (found["type"], found["decoded"], found["content_encoding"]),
                ("binary", False, coding),
            )

    def test_no_compression_where_it_is_claimed(self) -> None:
        found = shown("text/plain", b"plain", "Content-Encoding: gzip")
        self.assertEqual((found["type"], found["decoded"]), ("binary", False))

    def test_a_bomb(self) -> None:
        bomb = gzip.compress(b"\0" * (64 << 20))
        found = shown("text/plain", bomb, "Content-Encoding: gzip")
        self.assertEqual((found["content_size"], found["cut"]), (MAX_DECODED, True))

    @given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", ""]), st.text())
    def test_whatever_it_is(self, data: bytes, coding: str, kind: str) -> None:
        lines = [f"Content-Type: {kind.encode('unicode_escape').decode()}"]
        lines += [f"Content-Encoding: {coding}", "Transfer-Encoding: chunked"]
        content = content_of(head(*lines), data, cut=False)
        shown_body(content, len(data), len(data))
        form_of(head(*lines), content)


class FormTests(TestCase):
    def form(self, kind: str, data: bytes) -> Any:
        lines = head(f"Content-Type: {kind}")
        return form_of(lines, content_of(lines, data, cut=False))

    def test_fields(self) -> None:
        found = self.form("application/x-www-form-urlencoded", b"a=1&b=x+y%21&a=&%ff")
        self.assertEqual(found, [["a", "1"], ["b", "x y!"], ["a", ""], ["\ufffd", ""]])

    def test_files(self) -> None:
        data = (
            b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\ntwo\r\n'
            b'--xx\r\nContent-Disposition: form-data; name="f"; filename="../<b>.png"\r\n'
            b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--xx--\r\n"
        )
        self.assertEqual(
            self.form('multipart/form-data; boundary="xx"', data),
            [
                ["a", "one\r\ntwo"],
                {
                    "name": "f",
                    "filename": "../<b>.png",
                    "content_type": "image/png",
                    "size": 4,
                },
            ],
        )

    def test_parameters(self) -> None:
        for told, name, filename in (
            ('FORM-DATA; NAME=a; FileName="b.txt"', "a", "b.txt"),
            ('form-data; filename="a;name=b\\".txt"; name="c"', "c", 'a;name=b".txt'),
            ('form-data; name="ä"; filename="C:\\x\\y"', "ä", "C:\\x\\y"),
            ("form-data; filename=", "", ""),
        ):
            data = f"--x\r\nContent-Disposition: {told}\r\n\r\nd\r\n--x--".encode()
            (found,) = self.form("multipart/form-data; charset=utf-8;boundary=x", data)
            self.assertEqual((found["name"], found["filename"]), (name, filename), told)

    def test_parameters_without_end(self) -> None:
        """Whoever sends a form must not have the tunnel stand still when a person looks at it."""
        for start, part in (('x="', ";"), ("", ';a="'), ('a="', '\\"'), ("", "; "), ("", ";a=")):
            told = ("form-data; " + start + part * (900_000 // len(part))).encode()
            data = b"--x\r\nContent-Disposition: " + told + b"\r\n\r\nd\r\n--x--"
            began = time.process_time()
            self.form("multipart/form-data; boundary=x", data)
            self.assertLess(time.process_time() - began, 3, part)

    def test_what_is_none(self) -> None:
        self.assertIsNone(self.form("multipart/form-data", b"x"))
        self.assertIsNone(self.form("text/plain", b"a=b"))
        self.assertEqual(self.form("multipart/form-data; boundary=x", b"--x\r\nrubbish"), [])
        many = self.form("application/x-www-form-urlencoded", b"a=1&" * 50_000)
        self.assertLessEqual(len(many), heads.MAX_PAIRS)


class HeadTests(TestCase):
    def test_secrets_are_hidden(self) -> None:
        pairs = heads.fields(
            head("Set-Cookie: a=b", "COOKIE: c", "x-tunnel-token: d", "Authorization: e", "X: f")
        )
        shown, hidden = heads.masked(pairs, reveal=False)
        self.assertEqual({value for _, value in shown}, {heads.MASK, "f"})
        self.assertEqual(hidden, ["Set-Cookie", "COOKIE", "x-tunnel-token", "Authorization"])
        self.assertEqual(heads.masked(pairs, reveal=True)[0][0], ["Set-Cookie", "a=b"])

    def test_bytes_that_are_no_text(self) -> None:
        self.assertEqual(heads.fields(head("X: gr\xfc\xdf")), [("X", "grüß")])
        self.assertEqual(heads.fields(b"GET / HTTP/1.1\r\nX: \xc3\xbc\r\n\r\n"), [("X", "ü")])

    def test_query(self) -> None:
        self.assertEqual(heads.query(b"/a?b=1&c&d=%3Cx%3E"), [["b", "1"], ["c", ""], ["d", "<x>"]])
        self.assertEqual(heads.query(b"/a"), [])
