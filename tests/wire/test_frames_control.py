"""The native protocol: what is a control message, and what is none."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inletspy.errors import ProtocolViolation
from inletspy.wire.frames import (
    MAX_PAYLOAD,
    pack_frame,
)
from tests.properties import repeatable
from tests.wire.native import CONTROL, NativeTestCase


class ControlTests(NativeTestCase):
    def say(self, payload: bytes) -> None:
        self.client.mux.receive(pack_frame(0, CONTROL, payload))

    def test_there_and_back(self) -> None:
        message = {"type": "hello", "text": "w\xf6rd \U0001f600", "list": [1, None, {"a": 2.5}]}
        self.server.mux.send_control(message)
        self.pump()
        self.assertEqual(self.said, [message])

    def test_what_is_no_message(self) -> None:
        for payload in (
            b"",
            b" ",
            b"x",
            b"{",
            b'{"type":"a"}x',
            b'{"type":"a"}{"type":"b"}',
            b"null",
            b"1",
            b'"type"',
            b"[]",
            b'[{"type":"a"}]',
            b"{}",
            b'{"Type":"a"}',
            b'{"type":1}',
            b'{"type":null}',
            b'{"type":["a"]}',
            b"{'type':'a'}",
            b'{"type":"a",}',
            b'{"type":"a\n"}',
            b'{"type":"a","b":NaN}',
            b'{"type":"a","b":-Infinity}',
            b'{"type":"a","b":[Infinity]}',
            b'{"type":"a","b":' + b"1" * 5000 + b"}",
            b'{"type":"\xff"}',
            b"\xef\xbb\xbf" + b'{"type":"a"}',
            '{"type":"a"}'.encode("utf-16"),
            '{"type":"a"}'.encode("utf-32-be"),
            b"[" * 60_000,
            b'{"type":' * 8000,
            b'{"type":"a","b":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        ):
            with self.subTest(payload=payload[:60]):
                self.assertRaises(ProtocolViolation, self.say, payload)
        self.assertEqual(self.said, [])

    def test_a_huge_one(self) -> None:
        text = "x" * (MAX_PAYLOAD - len('{"type":""}'))
        self.server.mux.send_control({"type": text})
        self.pump()
        self.assertEqual(self.said, [{"type": text}])
        self.assertRaises(ValueError, self.server.mux.send_control, {"type": text + "x"})
        self.assertRaises(ValueError, self.server.mux.send_control, {"type": float("nan")})
        self.assertEqual(self.server.take(), [])

    def test_a_violation_in_what_is_said_ends_the_session(self) -> None:
        def violated(message: dict[str, Any]) -> None:
            raise ProtocolViolation("a second hello")

        self.client.mux.control = violated
        self.assertRaises(ProtocolViolation, self.say, b'{"type":"hello"}')

    @repeatable
    @given(
        st.dictionaries(
            st.text(max_size=5),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.text(max_size=5)
                | st.floats(allow_nan=False, allow_infinity=False),
                lambda items: (
                    st.lists(items, max_size=3)
                    | st.dictionaries(st.text(max_size=3), items, max_size=3)
                ),
                max_leaves=8,
            ),
            max_size=4,
        )
    )
    def test_any_message(self, fields: dict[str, Any]) -> None:
        NativeTestCase.setUp(self)
        message = {**fields, "type": "x"}
        self.server.mux.send_control(message)
        self.pump()
        self.assertEqual(self.said, [message])

    @repeatable
    @given(st.one_of(st.binary(max_size=30), st.text(max_size=30).map(str.encode)))
    def test_whatever_is_said(self, payload: bytes) -> None:
        NativeTestCase.setUp(self)
        try:
            self.say(payload)
        except ProtocolViolation:
            self.assertEqual(self.said, [])
        else:
            self.assertEqual(self.said, [json.loads(payload)])
