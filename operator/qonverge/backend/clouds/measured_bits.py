"""Tables of measured bits as outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def outcomes_of(table: NDArray[np.uint8], bits: Sequence[tuple[int, int]]) -> list[int]:
    """Return each row of 0 and 1 as a number.

    Args:
        table: shape (shots, columns).
        bits: for each bit of the circuit that was measured, its number and the column that has it.
    """
    width = -(-(max(bit for bit, _ in bits) + 1) // 8) * 8
    wide = np.zeros((len(table), width), dtype=np.uint8)
    for bit, column in bits:
        wide[:, width - 1 - bit] = table[:, column]
    return [int.from_bytes(row.tobytes(), "big") for row in np.packbits(wide, axis=1)]
