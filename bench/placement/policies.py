"""The scheduler as the operator calls it, and the simpler policies beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.placement.fleet import Floats
from bench.placement.simulate import Policy as AnyPolicy
from bench.placement.simulate import State, WaitForecast
from bench.placement.trace import MaxErrors
from qonverge.scheduling import Backend, Estimates, Job, Needs, Policy, Snapshot, plan
from qonverge.scheduling.model import Terms


@dataclass(slots=True)
class Qonverge:
    """``scheduling.plan`` over all that waits, whenever something happened; what it holds back is planned again."""

    policy: Policy = field(default_factory=Policy)
    name: str = "Qonverge"
    _too_late: set[int] = field(default_factory=set)

    def decide(self, state: State) -> list[tuple[int, int]]:
        """Return what the plan sends."""
        jobs = list(state.waiting)
        if all(of.sent for of in state.devices):
            return []
        made = plan(self._snapshot(state, jobs), self.policy)
        decided = list(zip(jobs, made.decisions, strict=True))
        late = {job for job, d in decided if d.backend is None and d.planned is None and self._misses(state, job)}
        if late:
            # A person would send such a job again, without the deadline that it misses anyway.
            self._too_late |= late
            return self.decide(state)
        for job, decision in decided:
            if job not in state.promises and decision.expected_start is not None:
                planned = 0.0 if decision.backend is not None else max(0.0, decision.expected_start - state.now)
                state.promises[job] = WaitForecast(state.now, planned, state.known.wait(planned))
        columns = {name: column for column, name in enumerate(state.known.fleet.devices)}
        return [(job, columns[d.backend.name]) for job, d in decided if d.backend is not None]

    def _misses(self, state: State, job: int) -> bool:
        """Return whether the job's deadline is missed on every device that keeps its other terms."""
        due, eligible = self._due(state, job), state.eligible(job)
        if due is None or not eligible.any():
            return False
        return bool(state.now + state.known.runs([job])[1][0][eligible].min() > due)

    def _due(self, state: State, job: int) -> float | None:
        arrival = state.arrivals[job]
        return None if arrival.deadline is None or job in self._too_late else arrival.seconds + arrival.deadline

    def _snapshot(self, state: State, jobs: list[int]) -> Snapshot:
        fleet = state.known.fleet
        low, mid, high = state.known.fidelity(state.now)[:, state.known.circuits[jobs]]
        run_low, run, run_high = state.known.runs(jobs)
        cost = np.zeros_like(run)
        fits = state.known.fits[jobs]
        errors = state.known.errors(state.now).tolist()
        backends = tuple(
            Backend(
                name,
                "lab",
                admits_all_namespaces=True,
                features=frozenset(_named(job) for job, can in zip(jobs, fits[:, device], strict=True) if can),
                load=float(of.sent),
                free_seconds=(state.free_in(device),),
                dispatch_depth=0,
                two_qubit_error=None if math.isnan(two_qubit) else two_qubit,
                readout_error=None if math.isnan(readout) else readout,
            )
            for device, (name, of, two_qubit, readout) in enumerate(
                zip(fleet.devices, state.devices, *errors, strict=True)
            )
        )
        # Which jobs fit a device is told as what it can do.
        return Snapshot(
            tuple(self._job(state, job) for job in jobs),
            backends,
            state.now,
            Estimates(mid, low, high, run, run_low, run_high, cost, cost, cost),
            state.shares,
        )

    def _job(self, state: State, job: int) -> Job:
        arrival = state.arrivals[job]
        width = state.known.fleet.widths[int(state.known.circuits[job])]
        most = arrival.max_errors or MaxErrors()
        return Job(
            f"{arrival.namespace}/{job:06}",
            arrival.namespace,
            arrival.seconds,
            Needs(
                width,
                arrival.shots,
                clifford=False,
                statevector_bytes=16 << width,
                features=frozenset((_named(job),)),
            ),
            priority=arrival.priority,
            terms=Terms(
                weights=arrival.weights,
                min_fidelity=arrival.min_fidelity,
                max_two_qubit_error=most.two_qubit,
                max_readout_error=most.readout,
            ),
            deadline=self._due(state, job),
        )


def _named(job: int) -> str:
    return f"job {job}"


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Sends every job when it arrives to the device with the least cost; there it waits for those before it."""

    name: str
    cost: Callable[[State, int], Floats]
    """Of each device for a job, (B,); ties go to the first."""

    def decide(self, state: State) -> list[tuple[int, int]]:
        """Return the best device for each job in turn."""
        sent = []
        for job in state.waiting:
            eligible = state.eligible(job)
            if not eligible.any():
                continue
            device = int(np.where(eligible, self.cost(state, job), math.inf).argmin())
            sent.append((job, device))
            # The next one sees it.
            state.devices[device].queue.append(job)
        for _, device in sent:
            state.devices[device].queue.pop()
        return sent


@dataclass(slots=True)
class RoundRobin:
    """Sends every job when it arrives to the next device, in turn, that it fits."""

    name: str = "round-robin"
    _next: int = 0

    def decide(self, state: State) -> list[tuple[int, int]]:
        """Return the next devices."""
        sent = []
        for job in state.waiting:
            devices = np.flatnonzero(state.eligible(job))
            if not devices.size:
                continue
            device = int(devices[np.argmin((devices - self._next) % len(state.devices))])
            self._next = device + 1
            sent.append((job, device))
        return sent


@dataclass(frozen=True, slots=True)
class FirstFit:
    """Keeps jobs in order of arrival; each takes the first idle device that it fits, and others may pass it."""

    name: str = "first-fit"

    def decide(self, state: State) -> list[tuple[int, int]]:
        """Return jobs for idle devices."""
        idle = [device for device, of in enumerate(state.devices) if not of.sent]
        sent = []
        for job in state.waiting:
            eligible = state.eligible(job)
            device = next((d for d in idle if eligible[d]), None)
            if device is not None:
                idle.remove(device)
                sent.append((job, device))
        return sent


def _frees(state: State) -> Floats:
    return np.array([state.free_in(device) for device in range(len(state.devices))])


def _fidelities(state: State, job: int) -> Floats:
    """Forecasts, (B,); NaN where it does not fit."""
    mid: Floats = state.known.fidelity(state.now)[1, state.known.circuits[job]]
    return np.where(state.eligible(job), mid, np.nan)


def _least_loaded(state: State, job: int) -> Floats:
    return _frees(state)


def _static_best(state: State, job: int) -> Floats:
    return -state.known.fleet.quality


def _best_fidelity(state: State, job: int) -> Floats:
    return -_fidelities(state, job)


def _least_loaded_of_the_best(state: State, job: int) -> Floats:
    fidelity = _fidelities(state, job)
    return np.where(fidelity >= (1 - _NEARLY_BEST) * np.nanmax(fidelity), _frees(state), np.inf)


def _best_of_the_soon(state: State, job: int) -> Floats:
    frees = np.where(state.eligible(job), _frees(state), np.inf)
    return np.where(frees <= frees.min() + _SOON_SECONDS, -_fidelities(state, job), np.inf)


def greedy(policy: Policy, name: str = "greedy") -> AtOnce:
    """Return what sends each job when it comes to where its own part of the scheduler's objective is least."""

    def cost(state: State, job: int) -> Floats:
        arrival = state.arrivals[job]
        weights = arrival.weights
        fidelity = _fidelities(state, job)
        end = _frees(state) + state.known.runs([job])[1][0]
        due = math.inf if arrival.deadline is None else arrival.seconds + arrival.deadline - state.now
        found: Floats = (
            weights.fidelity * (1 - fidelity / np.nanmax(fidelity)) + weights.time * end / policy.patience_seconds
        ) / (weights.fidelity + weights.time + weights.cost) + policy.lateness * (end > due)
        return found

    return AtOnce(name, cost)


FCFS = "FCFS by fidelity"
STATIC = "static-best"
GREEDY = "greedy"
_NEARLY_BEST = 0.03
_SOON_SECONDS = 10.0


def every(policy: Policy | None = None) -> list[AnyPolicy]:
    """Return a fresh one of each policy, ours first."""
    policy = policy or Policy()
    return [
        Qonverge(policy),
        AtOnce(FCFS, _best_fidelity),
        AtOnce(STATIC, _static_best),
        greedy(policy, GREEDY),
        AtOnce("least-loaded within 3 %", _least_loaded_of_the_best),
        AtOnce("fidelity first, of the soon", _best_of_the_soon),
        AtOnce("least-loaded", _least_loaded),
        RoundRobin(),
        FirstFit(),
    ]
