"""Forecast of a circuit's Hellinger fidelity on a device, from its profile and the device's calibration.

The circuit's gates, those of SWAPs included, are laid on the device, and what happens to it there is summed (see
``circuits.load``). The circuit's own response to that much is the forecast (see ``circuits.response``). One number is
fitted, and the widths of intervals, all on one half of the circuits and devices of ``bench.fidelity``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.error_response.accumulated_errors import Load
from qonverge.circuits.error_response.error_response import Basis
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.devices import Calibration, Layout
from qonverge.devices.layout import misfit
from qonverge.forecast.device import Device, Devices
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.initial_layout import SWAP, Pattern, pattern, place
from qonverge.forecast.intervals import Interval


@dataclass(frozen=True, slots=True)
class Spread:
    """How far outcomes lie from forecasts: logarithms of factors on the infidelity, between which 80 % are found."""

    less: float
    more: float

    def around(self, mid: float) -> Interval:
        """Return the interval around a forecast."""
        low, high = (1 + LEAST - (1 - mid + LEAST) * math.exp(end) for end in (self.more, self.less))
        return Interval(max(0.0, min(mid, low)), mid, min(1.0, max(mid, high)))

    @staticmethod
    def score(mid: float, outcome: float) -> float:
        """Return the logarithm of the factor between an outcome and its forecast."""
        return math.log((1 - outcome + LEAST) / (1 - mid + LEAST))


LEAST = 0.003
"""An infidelity that means nothing: factors on less are not to count."""
SWAPPING = 0.3
"""SWAPs for each coupling between the qubits of a CX beyond the first: later CX profit from a SWAP too. Fitted."""
_SIMULATED_FAST = Spread(-0.253, 0.405)
_SIMULATED_EXACT = Spread(-0.319, 0.205)
# The nearest Clifford circuit may have far fewer outcomes than the circuit itself, and does not say how many: the lower
# end is fitted, and the upper end is near 1, so these intervals hold more than 80 %.
_NEAR = Spread(-4.0, 0.7)
FAST: Mapping[Basis, Spread] = {
    "Simulated": _SIMULATED_FAST,
    "Stabilizer": _SIMULATED_FAST,
    "NearStabilizer": _NEAR,
}
"""Of forecasts from a quick layout, by what the circuit's response is made of. Fitted."""
EXACT: Mapping[Basis, Spread] = {
    "Simulated": _SIMULATED_EXACT,
    "Stabilizer": _SIMULATED_EXACT,
    "NearStabilizer": _NEAR,
}
"""Of forecasts from the transpiled circuit. Fitted."""


class Forecaster:
    """Forecasts fidelities; keeps what it made of calibrations."""

    def __init__(self) -> None:
        self._devices = Devices()

    def estimate(
        self, profile: CircuitProfile, calibrations: Sequence[Calibration], layout: Layout | None = None
    ) -> list[Interval | DoesNotFit]:
        """Return the forecast for each device, or why the circuit can't run there."""
        wanted = pattern(profile)
        found: list[Interval | DoesNotFit] = []
        for calibration in calibrations:
            try:
                found.append(interval(profile, self.load(profile, calibration, wanted, layout), FAST))
            except DoesNotFit as problem:
                found.append(problem)
        return found

    def load(
        self,
        profile: CircuitProfile,
        calibration: Calibration,
        wanted: Pattern | None = None,
        layout: Layout | None = None,
    ) -> Load:
        """Return what the circuit suffers on a device.

        Args:
            profile: the circuit's.
            calibration: the device's.
            wanted: the circuit's pattern, where it is known.
            layout: where the circuit lies; None for where it lies best.

        Raises:
            DoesNotFit: the device has too few qubits that work and are connected, or the circuit does not fit on those
                of the layout.
        """
        wanted = wanted or pattern(profile)
        if layout is not None:
            return self._laid_out(profile, calibration, wanted, layout)
        device = self._devices.of(calibration)
        if len(wanted.order) > device.size:
            raise DoesNotFit(
                f"{calibration.name} has {device.size} qubits that work and are connected; the circuit needs "
                f"{len(wanted.order)}"
            )
        return _load(profile, wanted, device, place(wanted, device))

    def _laid_out(self, profile: CircuitProfile, calibration: Calibration, wanted: Pattern, layout: Layout) -> Load:
        pairs = [(a, b) for a, b, _ in profile.pairs]
        if (found := misfit(layout, wanted.order, pairs, calibration)) is not None:
            raise DoesNotFit(found.reason)
        places = [layout.qubits[qubit] for qubit in wanted.order]
        parts = [part for part in calibration.parts if not set(part).isdisjoint(places)]
        members = tuple(sorted(qubit for part in parts for qubit in part))
        device = self._devices.of(calibration, members)
        return _load(profile, wanted, device, np.searchsorted(device.places, places))


def interval(profile: CircuitProfile, load: Load, spreads: Mapping[Basis, Spread]) -> Interval:
    """Return the forecast for a load; where the response is not known, anything better is possible."""
    response = profile.response
    mid = response.at(load.gates + load.pulses, load.resets, load.phases, load.flips)
    spread = spreads.get(response.basis)
    return Interval(0.0, mid, 1.0) if spread is None else spread.around(mid)


def _load(profile: CircuitProfile, wanted: Pattern, device: Device, layout: NDArray[np.int64]) -> Load:
    first, second = np.nonzero(np.triu(wanted.weights))
    count = wanted.weights[first, second]
    a, b = layout[first], layout[second]
    per_cx = SWAPPING * np.maximum(device.hops[a, b] - 1, 0)
    longer = SWAP * float(per_cx @ count) / max(1.0, float(count.sum()))
    pulses = wanted.pulses + device.extra_pulses * wanted.weights.sum(axis=1) * (1 + longer)
    # SWAPs lengthen a circuit as they lengthen the list of its gates.
    stretch = 1 + longer
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
