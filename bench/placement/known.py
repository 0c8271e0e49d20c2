"""What a policy may know: fidelities by the calibration and by what was seen since, run times and waits as learned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bench.placement.fleet import Fleet, Floats
from bench.placement.planned import PlannedWaits
from bench.placement.trace import Trace
from bench.placement.world import World
from qonverge.forecast.features import table
from qonverge.forecast.intervals import Interval, Intervals
from qonverge.forecast.learning_fidelity import FidelityModel
from qonverge.forecast.learning_models import RunTimeModel
from qonverge.forecast.observed import Observed


class Known:
    """Forecasts of a trace's jobs on a fleet, the same for every policy but for what it has seen of the devices."""

    def __init__(self, fleet: Fleet, trace: Trace, world: World) -> None:
        """Start with nothing learned."""
        self.fleet, self._world = fleet, world
        numbers = {name: number for number, name in enumerate(fleet.circuits)}
        self.circuits = np.array([numbers[arrival.program] for arrival in trace.arrivals])
        told = [[arrival.service_on(device) for device in fleet.devices] for arrival in trace.arrivals]
        self._told = np.array([[math.nan if each is None else each for each in row] for row in told])
        """Run times that are given."""
        self._is_told = np.array([arrival.service_seconds is not None for arrival in trace.arrivals])
        self.fits = fleet.fits[self.circuits] & (np.isfinite(self._told) | ~self._is_told[:, None])
        self._works = [
            replace(fleet.works[circuit], shots=arrival.shots)
            for circuit, arrival in zip(self.circuits.tolist(), trace.arrivals, strict=True)
        ]
        self._models = [RunTimeModel.cold("Device") for _ in fleet.devices]
        self._parts = self._models[0].parts(table(self._works))
        self._runs = [model.predict(self._parts) for model in self._models]
        self._waits = PlannedWaits.cold()
        self._renewed_at = -1.0
        self._given = self._fidelity = fleet.forecast
        self._devices = [FidelityModel.cold("") for _ in fleet.devices]

    def fidelity(self, now: float) -> Floats:
        """Return lower bounds, middles and upper bounds, (3, C, B)."""
        if now >= self._renewed_at:
            factors = self._world.calibrated(now)
            self._given = self.fleet.at(now).forecast ** factors
            self._fidelity = self._given.copy()
            for device, factor in enumerate(factors.tolist()):
                self._devices[device] = self._devices[device].on(repr(factor))
                self._correct(device)
            self._renewed_at = self._world.next_calibration(now)
        return self._fidelity

    def errors(self, now: float) -> Floats:
        """Return the median errors of gates on two qubits and of measurements by the last calibrations, (2, B)."""
        found: Floats = np.minimum(self.fleet.at(now).errors * self._world.calibrated(now), 1.0)
        return found

    def gave(self, circuit: int, device: int, seen: Observed, at: float, promised: Interval) -> None:
        """Learn a fidelity."""
        given = Interval(*self._given[:, circuit, device].tolist())
        self._devices[device] = self._devices[device].observe(given, seen, at, promised)
        self._correct(device)

    def _correct(self, device: int) -> None:
        corrected = self._devices[device].predict(Intervals(*self._given[:, :, device]))
        self._fidelity[:, :, device] = corrected.low, corrected.mid, corrected.high

    def runs(self, jobs: list[int]) -> tuple[Floats, Floats, Floats]:
        """Return lower bounds, medians and upper bounds of run times, seconds, (J, B) each; NaN where it can't run."""
        fits, told, is_told = self.fits[jobs], self._told[jobs], self._is_told[jobs][:, None]
        low, mid, high = (
            np.stack([getattr(runs, side)[jobs] for runs in self._runs], axis=1) for side in ("low", "mid", "high")
        )
        found = [np.where(fits, np.where(is_told, told, side), np.nan) for side in (low, mid, high)]
        return found[0], found[1], found[2]

    def run(self, job: int, device: int) -> Interval:
        """Return the run time of one job, seconds."""
        if self._is_told[job]:
            return Interval(*[float(self._told[job, device])] * 3)
        return self._runs[device][job]

    def ended(self, job: int, device: int, seconds: float, at: float, promised: Interval) -> None:
        """Learn a run time, unless it was told beforehand."""
        if self._is_told[job]:
            return
        model = self._models[device].observe((self._works[job],), seconds, at, promised)
        self._models[device] = model
        predicted: Intervals = model.predict(self._parts)
        self._runs[device] = predicted

    def wait(self, planned: float) -> Interval:
        """Return the interval of a wait that the plan expects to be so long, seconds."""
        return self._waits.predict(planned)

    def started(self, planned: float, promised: Interval, sent: float, waited: float) -> None:
        """Learn a wait."""
        self._waits = self._waits.observe(planned, promised, sent + waited, waited)


class ToldRuns(Known):
    """All run times, which nobody knows."""

    def __init__(self, fleet: Fleet, trace: Trace, world: World) -> None:
        """Ask the world how long each job runs."""
        super().__init__(fleet, trace, world)
        for job, (circuit, arrival) in enumerate(zip(self.circuits.tolist(), trace.arrivals, strict=True)):
            self._told[job] = [
                world.run_seconds(job, circuit, arrival.shots, device, arrival.seconds)
                for device in range(len(fleet.devices))
            ]
        self._is_told[:] = True


class ToldFidelities(Known):
    """The fidelities that devices give at the moment, which nobody knows."""

    def fidelity(self, now: float) -> Floats:
        """Return what devices give, but for what differs from job to job, three times."""
        now_true = self.fleet.at(now).true ** self._world.errors(now)
        return np.stack([now_true] * 3)

    def gave(self, circuit: int, device: int, seen: Observed, at: float, promised: Interval) -> None:
        """Learn nothing: all is known."""


class Informed(ToldRuns, ToldFidelities):
    """Both, and nothing of arrivals to come."""
