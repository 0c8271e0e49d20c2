"""Values as the bytes of a checkpoint: msgpack, arrays as their memory, behind a digest. Nothing in it runs code."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

_MAGIC = b"qonverge-checkpoint-1\n"
_DIGEST_BYTES = 32
_ARRAY, _INTEGER, _COMPLEX = 1, 2, 3
# Booleans and numbers; arrays of objects would be a way to run code.
_KINDS = "biufc"


def to_bytes(value: Any) -> bytes:
    """Return a value as bytes.

    Raises:
        TypeError: it holds something that has no form; the message names it.
    """
    import msgpack

    body: bytes = msgpack.packb(_plain(value, "the value"))
    return _MAGIC + hashlib.sha256(body).digest() + body


def from_bytes(data: bytes) -> Any:
    """Return the value that ``to_bytes`` was given; arrays can be written to.

    Raises:
        ValueError: the bytes are not whole, or something else.
    """
    import msgpack

    begin = len(_MAGIC) + _DIGEST_BYTES
    body = memoryview(data)[begin:]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != data[len(_MAGIC) : begin]:
        raise ValueError(f"{len(data)} bytes are no checkpoint, or not all of one")
    return msgpack.unpackb(body, ext_hook=_special, strict_map_key=False, max_ext_len=len(body))


def _plain(value: Any, path: str) -> Any:
    """Return a value in the forms of msgpack."""
    import msgpack
    import numpy as np

    if value is None or isinstance(value, bool | str | bytes):
        return value
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return int(value)
        # The state of numpy's generators has numbers of 128 bits.
        size = value.bit_length() // 8 + 1
        return msgpack.ExtType(_INTEGER, int(value).to_bytes(size, "big", signed=True))
    if isinstance(value, np.generic) and value.dtype.kind in _KINDS and not isinstance(value, float | complex):
        return _plain(value.item(), path)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return msgpack.ExtType(_COMPLEX, msgpack.packb((value.real, value.imag)))
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"{path} is an array of type {value.dtype}: a checkpoint has arrays of numbers or booleans")
        head = msgpack.packb((value.dtype.str, value.shape))
        return msgpack.ExtType(_ARRAY, len(head).to_bytes(4, "big") + head + value.tobytes())
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int | bytes) or isinstance(key, bool):
                raise TypeError(f"{path} has the key {key!r}: keys are texts, whole numbers or bytes")
        return {key: _plain(item, f"{path}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{number}]") for number, item in enumerate(value)]
    raise TypeError(
        f"{path} is a {type(value).__name__}, for which a checkpoint has no form: save numbers, texts, bytes, arrays "
        "of numpy, and lists and dictionaries of them, such as rng.bit_generator.state in place of rng"
    )


def _special(code: int, data: bytes) -> Any:
    import msgpack
    import numpy as np

    if code == _INTEGER:
        return int.from_bytes(data, "big", signed=True)
    if code == _COMPLEX:
        return complex(*msgpack.unpackb(data))
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    length = int.from_bytes(data[:4], "big")
    name, shape = msgpack.unpackb(data[4 : 4 + length])
    dtype = np.dtype(name)
    if dtype.kind not in _KINDS or len(data) - 4 - length != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of type {name} and shape {shape} is not what its bytes are")
    return np.frombuffer(data[4 + length :], dtype).reshape(shape).copy()
