"""What no policy can beat, even one that knows every arrival, run time and fidelity beforehand.

Each device runs one job at a time. That constraint is priced instead of kept: every second of a device has a price, and
each job by itself chooses the cheapest device and start. What all of that costs, less the prices of all seconds, is not
above the cost of any schedule, whatever the prices are (weak duality). So the result is right even where the search for
prices stops early. The best prices give the value of the time-indexed linear program (Dyer and Wolsey, Discrete Applied
Mathematics 26 (1990) 255).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.placement.fleet import Fleet, Floats
from bench.placement.trace import Trace
from bench.placement.world import STEP, World

_SLOT = 3.0
"""A price holds for so long, seconds."""
_WINDOW = 180.0
"""Starts that are looked at one by one, seconds from a job's arrival; all later ones have a common bound."""
_TEMPERATURES = (2.0, 0.25)
"""A job chooses softly while prices are sought, so that there is a gradient: seconds, one after the other."""
_ITERATIONS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What J jobs really take and give on B devices; what does not fit is NaN."""

    arrivals: Floats
    """(J,), seconds."""
    run: Floats
    """(J, B), seconds."""
    fidelity: Floats
    """(J, B, S): of a start in each step of ``STEP`` seconds; the last one stands for all later ones as well."""

    @classmethod
    def of(cls, fleet: Fleet, trace: Trace, world: World) -> Work:
        """Return what is true of a trace in a world whose devices do not shift."""
        circuits = [fleet.circuits.index(arrival.program) for arrival in trace.arrivals]
        steps = int(2 * (trace.arrivals[-1].seconds + _WINDOW) / STEP) + 1
        shape = len(circuits), len(fleet.devices)
        run, fidelity = np.full(shape, np.nan), np.full((*shape, steps), np.nan)
        for job, device in zip(*np.nonzero(fleet.fits[circuits]), strict=True):
            arrival, circuit = trace.arrivals[job], circuits[job]
            run[job, device] = world.run_seconds(job, circuit, arrival.shots, device, arrival.seconds)
            fidelity[job, device] = [world.fidelity(job, circuit, device, step * STEP) for step in range(steps)]
        return cls(np.array([arrival.seconds for arrival in trace.arrivals]), run, fidelity)


class Relaxed:
    """Schedules of some work with time on devices priced instead of reserved; prices are kept from call to call."""

    def __init__(self, work: Work) -> None:
        """List the starts at which a job may be cheapest.

        Between two of them the cost is linear in the start: where it is early or late in a slot, and where its end is.
        A start just before fidelities change counts with the better one of both.
        """
        jobs, devices = work.run.shape
        self._work = work
        longest = float(np.nanmax(work.run))
        self._slots = int((work.arrivals[-1] + _WINDOW + 2 * longest) / _SLOT) + 2
        ahead = np.arange(int(_WINDOW / _SLOT)) * _SLOT
        run = np.where(np.isnan(work.run), longest, work.run)[:, :, None]
        came = work.arrivals[:, None, None]
        begun = np.ceil(came / _SLOT) * _SLOT + ahead
        ended = np.ceil((came + run) / _SLOT) * _SLOT + ahead - run
        start = np.concatenate(
            [np.broadcast_to(came, (jobs, devices, 1)), np.broadcast_to(begun, (jobs, devices, len(ahead))), ended],
            axis=2,
        )
        self._fidelity = np.maximum(self._fidelities(start, 1e-6), self._fidelities(start, -1e-6))
        self._end = np.where(np.isnan(self._fidelity), np.inf, start + run)
        self._from, self._to = self._places(start), self._places(np.minimum(start + run, 1e300))
        self.prices: Floats = np.zeros(devices * self._slots)

    def _fidelities(self, start: Floats, later: float) -> Floats:
        steps = self._work.fidelity.shape[2]
        at = np.clip(((start + later) / STEP).astype(np.intp), 0, steps - 1)
        found: Floats = np.take_along_axis(self._work.fidelity, at, axis=2)
        return found

    def _places(self, times: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Return the slot of each time, counted through all devices, and which part of it has gone."""
        slot = np.floor(times / _SLOT)
        first = (np.arange(times.shape[1]) * self._slots)[:, None]
        return (slot.astype(np.intp) + first), times / _SLOT - slot

    def bound(self, worth: float) -> float:
        """Return what no schedule's mean of completion time less ``worth`` times fidelity is below, seconds."""
        cost = self._end - self._work.arrivals[:, None, None] - worth * np.nan_to_num(self._fidelity)
        least_run = np.nanmin(self._work.run, axis=1)
        best = np.nanmax(self._work.fidelity, axis=(1, 2))
        after = _WINDOW - _SLOT + least_run - worth * best
        for temperature in _TEMPERATURES:
            found = minimize(
                self._softly,
                self.prices,
                (cost, after, temperature),
                method="L-BFGS-B",
                jac=True,
                bounds=[(0, None)] * len(self.prices),
                options={"maxiter": _ITERATIONS},
            )
            self.prices = found.x
        least = np.minimum(self._priced(cost, self.prices).min(axis=(1, 2)), after)
        return float((least.sum() - _SLOT * self.prices.sum()) / len(least))

    def _priced(self, cost: Floats, prices: Floats) -> Floats:
        """Return the cost with what a run pays."""
        paid = np.concatenate([[0.0], np.cumsum(prices)])
        (begin, part), (end, rest) = self._from, self._to
        until: Floats = paid[end] + rest * prices[end]
        found: Floats = cost + _SLOT * (until - paid[begin] - part * prices[begin])
        return found

    def _softly(self, prices: Floats, cost: Floats, after: Floats, temperature: float) -> tuple[float, Floats]:
        """Return the bound of soft choices and its gradient, both with the sign that a minimiser wants."""
        priced = self._priced(cost, prices)
        least = np.minimum(priced.min(axis=(1, 2)), after)
        odds = np.exp((least[:, None, None] - priced) / temperature)
        total = odds.sum(axis=(1, 2)) + np.exp((least - after) / temperature)
        odds /= total[:, None, None]
        value = float((least - temperature * np.log(total)).sum()) - _SLOT * float(prices.sum())
        gradient = self._occupied(self._to, odds) - self._occupied(self._from, odds) - _SLOT
        return -value, -gradient

    def _occupied(self, places: tuple[NDArray[np.intp], Floats], odds: Floats) -> Floats:
        """Return how the prices paid from the first slot on to these places depend on each price."""
        slot, part = (each.ravel() for each in places)
        size = len(self.prices)
        here = np.bincount(slot, odds.ravel(), size)
        partly = np.bincount(slot, odds.ravel() * part, size)
        behind = here.sum() - np.cumsum(here)
        found: Floats = _SLOT * (behind + partly)
        return found
