"""Seeds: of a client, of the job around it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from qonverge.client.numbers import whole

if TYPE_CHECKING:
    import numpy as np

MAX_SEED = 2**32 - 1

Seed: TypeAlias = "int | np.random.Generator | np.random.RandomState | None"


def seed_from_environment() -> int | None:
    """Return the job's seed; each rank of a parallel program, and each point of a sweep, has its own that follows."""
    text, number = os.environ.get("QONVERGE_SEED"), int(os.environ.get("QONVERGE_RANK", "0"))
    number = int(os.environ.get("QONVERGE_INDEX", number))
    if not text:
        return None
    if number == 0:
        return int(text)
    import numpy as np

    # With one seed for all, the shots of all would be off in the same way, and averaging them help nothing.
    return int(np.random.SeedSequence(int(text), spawn_key=(number,)).generate_state(1)[0])


def checked_seed(seed: Any, name: str = "seed") -> Seed:
    """Return a seed as it was given, numpy's integers as Python's.

    Raises:
        TypeError: it is neither a number nor one of numpy's generators.
        ValueError: it is below 0 or above ``MAX_SEED``.
    """
    if seed is None or hasattr(seed, "integers") or hasattr(seed, "randint"):
        return seed  # type: ignore[no-any-return]  # numpy's generators have these methods
    return whole(name, seed, 0, MAX_SEED, ", or a numpy Generator")


def seed_of_task(seed: Seed) -> int | None:
    """Return the seed of the next task: the same number each time, or the next one that a generator draws."""
    if seed is None:
        return seed_from_environment()
    if isinstance(seed, int):
        return seed
    return int(seed.integers(2**32) if hasattr(seed, "integers") else seed.randint(2**32, dtype="uint64"))


def generator_of(seed: Any) -> Seed:
    """Return what draws the seed of each task, so that two runs differ; None where the backend draws it.

    A number, or without one the job's seed, begins a generator of its own.

    Raises:
        TypeError, ValueError: as ``checked_seed``.
    """
    import numpy as np

    checked = seed_from_environment() if seed is None else checked_seed(seed)
    return np.random.default_rng(checked) if isinstance(checked, int) else checked
