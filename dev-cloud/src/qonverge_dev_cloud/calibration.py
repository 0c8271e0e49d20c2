"""How well each part of a device works at a time. Pure: drawn from the seed, the device and the time."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qonverge_dev_cloud.chips import Chip, Edge
from qonverge_dev_cloud.scenario import Drift

# Standard deviation of the logarithm of error rates over a chip.
_SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class Calibration:
    """Average gate fidelities and readout fidelities, in [0.5, 1]."""

    epoch: int
    """Which one it is since the start, from 0."""
    time: float
    """Seconds since the start."""
    single: Mapping[int, float]
    pairs: Mapping[Edge, float]
    """By the pairs of the device's edges."""
    readout: Mapping[int, float]

    def pair(self, one: int, other: int) -> float | None:
        """Return the fidelity of a gate on two qubits, whichever comes first; None where they are not coupled."""
        return self.pairs.get((one, other)) or self.pairs.get((other, one))


def calibration(chip: Chip, drift: Drift | None, seed: int, elapsed: float) -> Calibration:
    """Return the calibration in force.

    Args:
        chip: of a QPU.
        drift: None: the first one holds for ever.
        seed: of the scenario.
        elapsed: seconds since the start.
    """
    epoch = 0 if drift is None else int(elapsed // drift.seconds)

    def drawn(fidelity: float, part: str) -> float:
        logarithm = random.Random(f"{seed}/{chip.name}/{part}").gauss(0, _SPREAD)  # noqa: S311 - nothing secret
        if drift is not None and epoch:
            logarithm += random.Random(f"{seed}/{chip.name}/{part}/{epoch}").gauss(0, drift.spread)  # noqa: S311
        return round(1 - min((1 - fidelity) * math.exp(logarithm), 0.5), 6)

    single, pair, readout = chip.fidelities
    # A device whose ions share one chain publishes one figure for all pairs.
    shared = drawn(pair, "pair")
    return Calibration(
        epoch=epoch,
        time=0.0 if drift is None else epoch * drift.seconds,
        single=MappingProxyType({qubit: drawn(single, f"single/{qubit}") for qubit in chip.qubits}),
        pairs=MappingProxyType(
            {edge: shared if chip.fully_connected else drawn(pair, f"pair/{edge}") for edge in chip.edges}
        ),
        readout=MappingProxyType({qubit: drawn(readout, f"readout/{qubit}") for qubit in chip.qubits}),
    )
