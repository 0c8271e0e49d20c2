"""Values as bytes: msgpack, with arrays as raw memory."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

_ARRAY = 1
# Arrays of anything else have no business in a task, and object arrays would be a way to run code.
_DTYPES = frozenset(("<f8", "<i4", "<i8", "<c16", "|u1"))


def _pack_special(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        contiguous = np.ascontiguousarray(value)
        head = msgpack.packb((contiguous.dtype.str, contiguous.shape))
        return msgpack.ExtType(_ARRAY, head + contiguous.tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot travel")


def _unpack_special(code: int, data: bytes) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[:4096])
    dtype, shape = unpacker.unpack()
    if dtype not in _DTYPES:
        raise ValueError(f"arrays of type {dtype!r} cannot travel")
    return np.frombuffer(data, dtype=dtype, offset=unpacker.tell()).reshape(shape)


def pack(value: Any) -> bytes:
    """Return the value as bytes."""
    packed: bytes = msgpack.packb(value, default=_pack_special)
    return packed


def unpack(data: bytes) -> Any:
    """Return the value that ``pack`` gave.

    Raises:
        ValueError: when the bytes are anything else.
    """
    try:
        return msgpack.unpackb(data, ext_hook=_unpack_special, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise ValueError(f"not a message: {error}") from None
