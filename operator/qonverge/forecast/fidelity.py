"""Forecast of a circuit's Hellinger fidelity on a device, from its profile and the device's calibration.

The circuit's gates, those of SWAPs included, are laid on the device, and what happens to it there is summed: see
``circuits.load.Load``. The circuit's own response F (``circuits.response``) makes a fidelity of it:

    F(a gates + b pulses, c resets, d phases, e flips)

with numbers near 1 that are fitted, since SWAPs, the transpiler and unequal places are not followed step by step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.load import Load
from qonverge.circuits.profile import CircuitProfile
from qonverge.devices import Calibration
from qonverge.forecast.device import Device, Devices
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
    stretch: float = 1.0
    """How much SWAPs lengthen a circuit, by how much they lengthen the list of its gates."""
    gates: float = 1.0
    pulses: float = 1.0
    resets: float = 1.0
    phases: float = 1.0
    flips: float = 1.0
    below: float = 0.3
    """The interval's lower end, as the logarithm of a factor on the infidelity."""
    above: float = 0.3


FAST = Tuning()
EXACT = Tuning()


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
        return _load(profile, wanted, device, self._tuning)


def interval(profile: CircuitProfile, load: Load, tuning: Tuning) -> Interval:
    """Return the forecast for a load."""
    mid = profile.response.at(
        tuning.gates * load.gates + tuning.pulses * load.pulses,
        tuning.resets * load.resets,
        tuning.phases * load.phases,
        tuning.flips * load.flips,
    )
    low = 1 - (1 - mid) * math.exp(tuning.below)
    high = 1 - (1 - mid) * math.exp(-tuning.above)
    return Interval(max(0.0, low), mid, high)


def _load(profile: CircuitProfile, wanted: Pattern, device: Device, tuning: Tuning) -> Load:
    layout = place(wanted, device, tuning.swapping)
    first, second = np.nonzero(np.triu(wanted.weights))
    count = wanted.weights[first, second]
    a, b = layout[first], layout[second]
    per_cx = tuning.swapping * np.maximum(device.hops[a, b] - 1, 0)
    longer = SWAP * float(per_cx @ count) / max(1.0, float(count.sum()))
    pulses = wanted.pulses + device.extra_pulses * wanted.weights.sum(axis=1) * (1 + longer)
    stretch = 1 + tuning.stretch * longer
    depth, depth_pulses = profile.depth
    cx = count * (1 + SWAP * per_cx)
    layer = float(device.hop_seconds[a, b] @ cx) / max(1.0, float(cx.sum()))
    alive = wanted.alive * stretch * layer + pulses * device.pulse_seconds
    return Load(
        float(device.hop_cost[a, b] @ cx),
        float(pulses @ device.pulse[layout]),
        float(alive @ device.resets[layout]),
        float(alive @ device.phases[layout]),
        _flips(profile, wanted, layout, device),
        depth * stretch * layer + depth_pulses * device.pulse_seconds + device.readout_seconds,
    )


def _flips(profile: CircuitProfile, wanted: Pattern, layout: NDArray[np.int64], device: Device) -> float:
    place_of = dict(zip(wanted.order, layout.tolist(), strict=True))
    total = 0.0
    for (qubit, _), one in zip(profile.measured, profile.response.ones, strict=True):
        at = place_of[qubit]
        total += one * device.read_1_as_0[at] + (1 - one) * device.read_0_as_1[at]
    return float(total / len(profile.measured))
