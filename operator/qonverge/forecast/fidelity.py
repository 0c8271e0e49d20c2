"""Forecast of a circuit's Hellinger fidelity on a device, from its profile and the device's calibration.

Expected Pauli errors E are summed over the circuit as it would lie on the device:

    E = a sum over CX, those of SWAPs included, of 5/4 e + b sum over pulses of 3/2 e
      + c sum over waiting qubits of [(1 - exp(-t/T1)) / 4 + (1 - exp(-t/T2)) / 2]

with average gate infidelities e, and the Pauli errors into which twirling turns relaxation for a time t (Ghosh et al.,
PRA 86, 062318, 2012; 2 p_X + p_Z with p_X = p_Y = (1 - exp(-t/T1)) / 4, p_Z = (1 - exp(-t/T2)) / 2 - p_X). Misreading
is the mean r of the probabilities that each measured bit is flipped, weighed by how often it is 1. The circuit's own
response F(E, r) (circuits.response) is the forecast. Few numbers are fitted: see ``Tuning``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qonverge.circuits.load import Load, waiting_errors
from qonverge.circuits.profile import CircuitProfile
from qonverge.devices import Calibration
from qonverge.forecast.device import Device, Devices, Floats
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.placing import SWAP, Pattern, pattern, place


@dataclass(frozen=True, slots=True)
class Interval:
    """A forecast and the bounds between which 80 % of outcomes lie."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is fitted, on the tuning half of ``bench.fidelity``."""

    swapping: float = 0.6
    """SWAPs for each coupling between the qubits of a CX beyond the first: later CX profit from a SWAP too."""
    gates: float = 1.0
    pulses: float = 1.0
    idle: float = 1.0
    flips: float = 1.0
    below: float = 0.3
    """The interval's lower end, as the logarithm of a factor on the infidelity."""
    above: float = 0.3


FAST = Tuning()


class Forecaster:
    """Forecasts fidelities; keeps what it made of calibrations."""

    def __init__(self, tuning: Tuning = FAST) -> None:
        """Take what was fitted."""
        self._tuning = tuning
        self._devices = Devices()

    def estimate(self, profile: CircuitProfile, calibrations: Sequence[Calibration]) -> list[Interval | DoesNotFit]:
        """Return the forecast for each device, or why the circuit can't run there."""
        wanted = pattern(profile)
        found: list[Interval | DoesNotFit] = []
        for calibration in calibrations:
            try:
                found.append(interval(profile, self.load(profile, calibration, wanted), self._tuning))
            except DoesNotFit as problem:
                found.append(problem)
        return found

    def load(self, profile: CircuitProfile, calibration: Calibration, wanted: Pattern | None = None) -> Load:
        """Return what the circuit suffers on a device.

        Raises:
            DoesNotFit: the device has too few qubits that work and are coupled.
        """
        wanted = wanted or pattern(profile)
        device = self._devices.of(calibration)
        if len(wanted.order) > device.size:
            raise DoesNotFit(
                f"{calibration.name} has {device.size} qubits that work and are coupled; the circuit needs "
                f"{len(wanted.order)}"
            )
        return _load(profile, wanted, device, self._tuning.swapping)


def interval(profile: CircuitProfile, load: Load, tuning: Tuning) -> Interval:
    """Return the forecast for a load."""
    errors = tuning.gates * load.gates + tuning.pulses * load.pulses + tuning.idle * load.idle
    mid = profile.response.at(errors, tuning.flips * load.flips)
    low = 1 - (1 - mid) * math.exp(tuning.below)
    high = 1 - (1 - mid) * math.exp(-tuning.above)
    return Interval(max(0.0, low), mid, high)


def _load(profile: CircuitProfile, wanted: Pattern, device: Device, swapping: float) -> Load:
    layout = place(wanted, device, swapping)
    first, second = np.nonzero(np.triu(wanted.weights))
    count = wanted.weights[first, second]
    a, b = layout[first], layout[second]
    per_cx = swapping * np.maximum(device.hops[a, b] - 1, 0)
    swaps = float(per_cx @ count)
    cx = float(count.sum())
    gates = float((device.hop_cost[a, b] * (1 + SWAP * per_cx)) @ count)
    # SWAPs run beside other gates, so they lengthen the circuit as they lengthen the list of its gates.
    stretch = 1 + SWAP * swaps / cx if cx else 1.0
    pulses = wanted.pulses + device.extra_pulses * wanted.weights.sum(axis=1) * stretch
    depth, depth_pulses = profile.depth
    waiting = wanted.idle * stretch * device.cx_seconds
    flips = device.read_1_as_0, device.read_0_as_1
    return Load(
        gates,
        float(pulses @ device.pulse[layout]),
        float(waiting_errors(waiting, device.rate_t1[layout], device.rate_t2[layout]).sum()),
        _flips(profile, wanted, layout, *flips),
        depth * stretch * device.cx_seconds + depth_pulses * device.pulse_seconds + device.readout_seconds,
    )


def _flips(profile: CircuitProfile, wanted: Pattern, layout: Floats, read_1_as_0: Floats, read_0_as_1: Floats) -> float:
    place_of = dict(zip(wanted.order, layout.tolist(), strict=True))
    total = 0.0
    for (qubit, times), one in zip(profile.measured, profile.response.ones, strict=True):
        at = place_of[qubit]
        total += times * (one * read_1_as_0[at] + (1 - one) * read_0_as_1[at])
    return float(total / len(profile.measured)) if profile.measured else 0.0
