"""Masking, native and portable alike."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, TestCase

from inletspy.wire import masking
from tests.properties import repeatable

KEY = b"\x37\xfa\x21\x3d"


class MaskingTests(TestCase):
    def test_the_example_of_the_standard(self) -> None:
        """RFC 6455, 5.7: a single-frame masked text message."""
        for mask in (masking.mask, masking._mask_portable):
            self.assertEqual(mask(b"Hello", KEY), bytes.fromhex("7f9f4d5158"))

    def test_lengths_around_the_words_of_a_machine(self) -> None:
        for size in (*range(70), 4095, 4096, 65_535, 65_536, 65_537):
            data = bytes(i * 7 & 0xFF for i in range(size))
            expected = bytes(byte ^ KEY[i % 4] for i, byte in enumerate(data))
            self.assertEqual(masking.mask(data, KEY), expected, size)
            self.assertEqual(masking._mask_portable(data, KEY), expected, size)

    @repeatable
    @given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
    def test_native_and_portable_are_one(self, data: bytes, key: bytes) -> None:
        if not masking.native:
            raise SkipTest("the native masker is not there")
        masked = masking._mask_native(data, key)
        self.assertEqual(masked, masking._mask_portable(data, key))
        self.assertIsInstance(masked, bytearray)
        self.assertEqual(masking._mask_native(bytes(masked), key), data)

    def test_without_the_native_masker(self) -> None:
        """On a machine where it could not be built all is the same, but slower."""
        program = (
            "import sys\n"
            "sys.modules['_nvx_xormasker'] = None\n"
            "from inletspy.wire import masking\n"
            "assert not masking.native\n"
            f"print(masking.mask(b'Hello', {KEY!r}).hex())\n"
        )
        answer = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        self.assertEqual(answer.stdout, "7f9f4d5158\n")


class KeyTests(TestCase):
    def test_each_is_new(self) -> None:
        keys = [masking.new_key() for _ in range(3000)]  # more than one block of them
        self.assertEqual({len(key) for key in keys}, {4})
        # By chance two of them are the same in one run out of a thousand, five never.
        self.assertGreater(len(set(keys)), 2990)
