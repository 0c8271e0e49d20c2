"""Messages between a process and its child: each a value behind its length in eight bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    # Loads numpy, and a server begins its first worker before that: with the first message.
    from qonverge.wire.codec import Buffer

HEADER_BYTES = 8
AT_ONCE_BYTES = 64 * 1024
"""What fits here is read at once with its header, which halves the calls for small messages."""


def read_frame(stream: BinaryIO) -> Any | None:
    """Return the next value, or None at the end of the stream."""
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    return value_in(stream.read(int.from_bytes(header, "big")))


def write_frame(stream: BinaryIO, value: Any) -> None:
    """Write a value with its length in front."""
    for part in frame(value):
        stream.write(part)
    stream.flush()


def frame(value: Any) -> list[Buffer]:
    """Return the buffers of a frame; small ones are joined."""
    from qonverge.wire.codec import parts

    body = parts(value)
    size = sum(len(part) for part in body)
    header = size.to_bytes(HEADER_BYTES, "big")
    return [header + b"".join(body)] if size <= AT_ONCE_BYTES else [header, *body]


def value_in(body: Buffer) -> Any:
    """Return the value behind a frame's length."""
    from qonverge.wire.codec import unpack

    return unpack(body)
