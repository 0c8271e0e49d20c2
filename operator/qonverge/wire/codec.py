"""Values as bytes: a head of msgpack, and behind it the raw memory of the arrays, in the order in which it names them.

A message without arrays is msgpack and nothing else. One with arrays begins with the byte 0xC9, the head's length in
four bytes (big-endian) and the byte 0x02, which is how msgpack begins an extension; arrays begin at multiples of 16.
An array in the head is an extension of its own that holds its type and shape. Its place follows from those before it,
so no head can point anywhere.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview

_ARRAY = 1
_PREFIX = struct.Struct(">BIB")
_MARK = (0xC9, 2)
_ALIGNMENT = 16
_MOST_DIMENSIONS = 32
# Arrays of anything else have no business in a task, and object arrays would be a way to run code.
_DTYPES = {dtype: np.dtype(dtype) for dtype in ("<f8", "<i4", "<i8", "<c16", "|u1")}
# An empty list takes one byte in a head and 64 in memory: heads above the first size are counted, up to so many.
_UNCOUNTED_HEAD = 64 * 1024
MOST_OBJECTS = 500_000


def parts(value: Any) -> list[Buffer]:
    """Return the value as buffers to be sent one after the other; those of arrays are the arrays' own memory.

    Raises:
        TypeError: it holds something that cannot travel.
    """
    arrays: list[NDArray[Any]] = []

    def special(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            if item.dtype.str not in _DTYPES:
                raise TypeError(f"arrays of type {item.dtype.str!r} cannot travel")
            arrays.append(np.ascontiguousarray(item))
            return _description(item.dtype.str, item.shape)
        if isinstance(item, np.generic):
            return item.item()
        raise TypeError(f"a {type(item).__name__} cannot travel")

    head: bytes = msgpack.packb(value, default=special)
    if not arrays:
        return [head]
    place = _PREFIX.size + len(head)
    buffers: list[Buffer] = [_PREFIX.pack(_MARK[0], len(head), _MARK[1]) + head]
    for array in arrays:
        gap = -place % _ALIGNMENT
        if gap:
            buffers.append(bytes(gap))
        if array.nbytes:
            buffers.append(array.reshape(-1).view(np.uint8).data)
        place += gap + array.nbytes
    return buffers


def pack(value: Any) -> bytes:
    """Return the value as bytes, for small ones: ``parts`` does not copy arrays."""
    return b"".join(parts(value))


def unpack(data: Buffer, *, most_head: int | None = None) -> Any:
    """Return the value that ``parts`` gave; its arrays are read-only views of the data.

    Args:
        data: the whole message.
        most_head: bytes that the head may have, where the sender is not trusted; what it may unfold to is limited too.

    Raises:
        ValueError: when the bytes are anything else. Nothing is allocated for what they only announce.
    """
    view = memoryview(data).toreadonly()
    head, place = view, len(view)
    if len(view) >= _PREFIX.size and view[0] == _MARK[0] and view[5] == _MARK[1]:
        _, length, _ = _PREFIX.unpack_from(view)
        place = _PREFIX.size + length
        if place > len(view):
            raise ValueError(f"not a message: its head has {length} bytes and {len(view)} came in all")
        head = view[_PREFIX.size : place]
    if most_head is not None and len(head) > most_head:
        raise ValueError(
            f"not a message: {len(head)} bytes without its arrays are over the limit of {most_head}: send values as "
            "arrays, or split the task"
        )

    def array(code: int, described: bytes) -> NDArray[Any]:
        nonlocal place
        if code != _ARRAY:
            raise ValueError(f"unknown extension {code}")
        dtype, shape = _described(described)
        size = math.prod(shape) * dtype.itemsize
        begin = place + -place % _ALIGNMENT
        if begin + size > len(view):
            raise ValueError(f"an array of shape {shape} needs {size} bytes and {max(0, len(view) - begin)} are left")
        place = begin + size
        # An empty array may end where the data does, which frombuffer refuses.
        values = np.frombuffer(view[begin:place], dtype) if size else np.empty(0, dtype)
        values.flags.writeable = False
        return values.reshape(shape)

    counted = {} if most_head is None or len(head) <= _UNCOUNTED_HEAD else _counting()
    try:
        value = msgpack.unpackb(head, ext_hook=array, strict_map_key=False, **counted)
    except (ValueError, TypeError, OverflowError, MemoryError, msgpack.UnpackException, RecursionError) as error:
        raise ValueError(f"not a message: {error}") from None
    if place != len(view):
        raise ValueError(f"not a message: {len(view) - place} bytes are behind its arrays")
    return value


# Messages have many small arrays of few shapes, whose descriptions would take longer than their values.
@lru_cache(1024)
def _description(dtype: str, shape: tuple[int, ...]) -> msgpack.ExtType:
    return msgpack.ExtType(_ARRAY, msgpack.packb((dtype, shape)))


@lru_cache(1024)
def _described(data: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    name, shape = msgpack.unpackb(data)
    dtype = _DTYPES.get(name)
    if dtype is None:
        raise ValueError(f"arrays of type {name!r} cannot travel")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"an array has at most {_MOST_DIMENSIONS} dimensions")
    for length in shape:
        if type(length) is not int or not 0 <= length < 2**63:
            raise ValueError(f"{length!r} is not the length of an array's axis")
    return dtype, tuple(shape)


def _counting() -> dict[str, Callable[[Any], Any]]:
    """Return hooks that end the reading of a head with too many objects."""
    seen = 0

    def count(value: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen > MOST_OBJECTS:
            raise ValueError(f"more than {MOST_OBJECTS} lists and objects: send values as arrays, or split the task")
        return value

    return {"list_hook": count, "object_hook": count}
