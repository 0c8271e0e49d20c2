"""Which larger sizes of pods a backend has. Pure."""

from __future__ import annotations

_STEP = 2
"""Between sizes: a further qubit doubles a statevector."""


def larger_sizes(usual: int, most: int) -> tuple[int, ...]:
    """Return the memory of pods of each larger size, bytes: multiples of the usual one, and the most."""
    sizes, size = [], _STEP * usual
    while size < most:
        sizes.append(size)
        size *= _STEP
    return (*sizes, most) if most > usual else ()
