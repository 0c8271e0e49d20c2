"""What really happens: how long jobs run and what they give, on devices that drift away from their calibration.

The forecasts see none of this but what ended: a device's fidelity as it was when it was last calibrated, and run times
of jobs that it has run. All draws belong to the job or to the device, not to a policy, so that policies meet the same
world.
"""

from __future__ import annotations

import numpy as np

from bench.placement.counts import drawn
from bench.placement.fleet import Fleet, Floats
from bench.placement.nature import Nature
from bench.placement.trace import Trace
from qonverge.forecast.observed import Observed

STEP = 60.0
"""Errors are constant for so long, seconds."""


class World:
    """The truth of one trace on one fleet."""

    def __init__(self, fleet: Fleet, trace: Trace, nature: Nature, seed: int) -> None:
        """Draw everything."""
        random = np.random.default_rng(seed)
        devices = len(fleet.devices)
        self._fleet, self._trace, self._nature, self._seed = fleet, trace, nature, seed
        self._speed = np.exp(random.normal(0, nature.speed_spread, devices))
        self._run_noise = np.exp(random.normal(0, nature.run_noise, len(trace.arrivals)))
        self._error_noise = np.exp(random.normal(0, nature.error_noise, len(trace.arrivals)))
        self._calibrated_first = random.uniform(0, nature.calibrated_every, devices)
        # Devices were calibrated before the trace began, and have drifted since; drifts go on for as long as anything
        # might run, which may be longer than the trace.
        self._began = -nature.calibrated_every
        steps = int((4 * (trace.arrivals[-1].seconds + 7200) - self._began) / STEP)
        keep = np.exp(-STEP / nature.drift_seconds)
        kicks = random.normal(0, nature.drift * np.sqrt(1 - keep**2), (steps, devices))
        # Stationary from the first step on.
        drift = np.empty((steps, devices))
        drift[0] = random.normal(0, nature.drift, devices)
        for step in range(1, steps):
            drift[step] = keep * drift[step - 1] + kicks[step]
        self._shifted = np.arange(devices) % 3 == int(random.integers(3))
        self._drift = drift

    def run_seconds(self, job: int, circuit: int, shots: int, device: int, at: float) -> float:
        """Return how long the job runs there."""
        given = self._trace.arrivals[job].service_on(self._fleet.devices[device])
        if given is not None:
            return given
        nature = self._nature
        each = self._fleet.shot_seconds[circuit, device] + nature.reset_seconds
        shift = np.exp(nature.shift_speed * self._is_shifted(device, at))
        return float((nature.job_overhead + shots * each) * self._speed[device] * shift * self._run_noise[job])

    def fidelity(self, job: int, circuit: int, device: int, at: float) -> float:
        """Return what the job gives there; errors that grow by a factor make a power of the fidelity."""
        errors = np.exp(self._log_errors(device, at)) * self._error_noise[job]
        return float(self._fleet.at(at).true[circuit, device] ** errors)

    def observed(self, job: int, circuit: int, shots: int, fidelity: float) -> Observed | None:
        """Return what the job's counts show of its fidelity; None where they say too little."""
        ideal = self._fleet.ideals[circuit]
        return None if ideal is None else drawn(ideal, fidelity, shots, np.random.default_rng([self._seed, job]))

    def errors(self, at: float) -> Floats:
        """Return the factor of each device's errors, (B,)."""
        return np.exp([self._log_errors(device, at) for device in range(len(self._fleet.devices))])

    def calibrated(self, at: float) -> Floats:
        """Return the factor of each device's errors, (B,), as its last calibration has it."""
        every = self._nature.calibrated_every
        last = at - (at - self._calibrated_first) % every
        return np.exp([self._log_errors(device, when) for device, when in enumerate(last.tolist())])

    def next_calibration(self, at: float) -> float:
        """Return when the next device is calibrated, after this time."""
        every = self._nature.calibrated_every
        periodic = float(at + np.min(every - (at - self._calibrated_first) % every))
        return min([periodic, *(since for since, _ in self._fleet.later if since > at)])

    def _log_errors(self, device: int, at: float) -> float:
        step = min(int((at - self._began) / STEP), len(self._drift) - 1)
        return float(self._drift[step, device]) + self._nature.shift_errors * self._is_shifted(device, at)

    def _is_shifted(self, device: int, at: float) -> bool:
        return at >= self._nature.shift_at and bool(self._shifted[device])
