"""Measured bits, shot by shot, as outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def outcomes_of(bits: Sequence[tuple[int, NDArray[np.uint8]]]) -> list[int]:
    """Return each shot as a number; bit k of it is that of the circuit's classical bit k.

    Args:
        bits: for each bit of the circuit that was measured, its number and its values of 0 and 1, shape (shots,).
    """
    width = -(-(max(bit for bit, _ in bits) + 1) // 8) * 8
    wide = np.zeros((len(bits[0][1]), width), dtype=np.uint8)
    for bit, values in bits:
        wide[:, width - 1 - bit] = values
    return [int.from_bytes(row.tobytes(), "big") for row in np.packbits(wide, axis=1)]
