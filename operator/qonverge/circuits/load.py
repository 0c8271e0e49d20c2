"""What a circuit suffers on a device, and the errors that make it up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Average infidelity e of a depolarising error on d levels is a Pauli error with probability e (d + 1) / d (Nielsen,
# Phys. Lett. A 303, 249, 2002).
PAULI_1Q, PAULI_2Q = 3 / 2, 5 / 4


@dataclass(frozen=True, slots=True)
class Load:
    """What a circuit suffers on a device."""

    gates: float
    """Expected Pauli errors of gates on two qubits."""
    pulses: float
    """Expected Pauli errors of gates on one."""
    idle: float
    """Expected Pauli errors of waiting."""
    flips: float
    """Mean probability that a measured bit is misread."""
    seconds: float
    """Duration of one run."""

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return asdict(self)


def waiting_errors(seconds: Floats, rate_t1: Floats, rate_t2: Floats) -> Floats:
    """Return the probability of a Pauli error while a qubit waits.

    Twirling makes Pauli errors of relaxation (Ghosh et al., PRA 86, 062318, 2012): X and Y with (1 - exp(-t/T1)) / 4
    each, Z with (1 - exp(-t/T2)) / 2 - (1 - exp(-t/T1)) / 4; the sum is returned.

    Args:
        seconds: t.
        rate_t1: 1/T1, per second; 0 for none.
        rate_t2: 1/T2, per second; 0 for none.
    """
    errors: Floats = (1 - np.exp(-seconds * rate_t1)) / 4 + (1 - np.exp(-seconds * rate_t2)) / 2
    return errors
