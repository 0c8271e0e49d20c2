"""What a circuit suffers on a device, and how calibrated figures make it up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from qonverge.devices import Qubit


@dataclass(frozen=True, slots=True)
class Load:
    """What a circuit suffers on a device; errors are expected numbers."""

    gates: float
    """Pauli errors of gates on two qubits, beyond relaxation."""
    pulses: float
    """Pauli errors of gates on one, beyond relaxation."""
    resets: float
    """Qubits that fall to 0."""
    phases: float
    """Qubits that are dephased, beyond what falling does."""
    flips: float
    """Mean probability that a measured bit is misread."""
    seconds: float
    """Duration of one run."""

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Decay:
    """Rates of a qubit's errors of time, per second.

    For T2 <= T1, relaxation and dephasing for a time t is a reset with probability 1 - exp(-t/T1) and else a Z with
    probability (1 - exp(-t (1/T2 - 1/T1))) / 2; for longer T2, resets alone dephase a little too much.
    """

    resets: float
    phases: float

    @classmethod
    def of(cls, qubit: Qubit) -> Decay:
        """Return the rates of a qubit; a time that was not measured counts as infinite."""
        resets = 1 / qubit.t1 if qubit.t1 else 0.0
        return cls(resets, max(0.0, (1 / qubit.t2 if qubit.t2 else 0.0) - resets) / 2)

    def infidelity(self, seconds: float) -> float:
        """Return how much of the process is lost in a time: 1 - F_pro."""
        stays = math.exp(-seconds * self.resets)
        return 1 - (1 + stays) ** 2 / 4 + stays * (1 - math.exp(-2 * seconds * self.phases)) / 2


def pauli_error(error: float, seconds: float, decays: Iterable[Decay]) -> float:
    """Return the probability of a Pauli error of a gate beyond what its qubits suffer by lasting so long.

    An average infidelity e on d levels is a process infidelity of e (d + 1) / d (Nielsen, Phys. Lett. A 303, 249,
    2002).
    """
    over = list(decays)
    size = 1 << len(over)
    kept: float = math.prod(1 - decay.infidelity(seconds) for decay in over)
    return max(0.0, error * (size + 1) / size - (1 - kept))
