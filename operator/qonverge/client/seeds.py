"""Seeds: of a primitive, of the job around it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def seed_from_environment() -> int | None:
    """Return the job's seed."""
    text = os.environ.get("QONVERGE_SEED")
    return int(text) if text else None


def seed_of_task(seed: int | np.random.Generator | None) -> int | None:
    """Return the seed of the next task: the same number each time, or the next one that a generator draws."""
    if seed is None:
        return seed_from_environment()
    return seed if isinstance(seed, int) else int(seed.integers(2**32))
