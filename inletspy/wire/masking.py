"""WebSocket masking (RFC 6455, 5.3): the XOR of a payload with a four-byte key.

autobahn's native masker is called without its wrapper objects, which cost more than
the masking of a small message. Where it was not built, Python's long integers do the
same at a tenth of the speed; `native` tells which it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["mask", "native", "new_key"]

Buffer = bytes | memoryview

try:
    from _nvx_xormasker import ffi as _ffi
    from _nvx_xormasker import lib as _lib

    native = True
except ImportError:
    native = False


def _mask_native(data: Buffer, key: bytes) -> bytearray:
    buffer = bytearray(data)
    masker = _lib.nvx_xormask_new(key)
    _lib.nvx_xormask_process(masker, _ffi.from_buffer("uint8_t[]", buffer), len(buffer))
    _lib.nvx_xormask_free(masker)
    return buffer


def _mask_portable(data: Buffer, key: bytes) -> bytearray:
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(data, "big") ^ int.from_bytes(keys, "big")
    return bytearray(masked.to_bytes(size, "big"))


def mask(data: Buffer, key: bytes) -> bytearray:
    """`data` masked, or unmasked, with a key of four bytes; a copy, which is the only one."""
    return _mask_native(data, key) if native else _mask_portable(data, key)


def _keys() -> Iterator[bytes]:
    # One system call gives many keys; they must be unpredictable (RFC 6455, 10.3).
    while True:
        block = os.urandom(4096)
        for start in range(0, 4096, 4):
            yield block[start : start + 4]


#: A fresh masking key, from the operating system's source of randomness.
new_key = _keys().__next__
