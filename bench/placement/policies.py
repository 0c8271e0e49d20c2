"""The scheduler as the operator calls it, and the simpler policies beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.placement.fleet import Fleet, Floats
from bench.placement.simulate import Policy as AnyPolicy
from bench.placement.simulate import Promise, State
from qonverge.scheduling import Backend, Estimates, Job, Needs, Policy, Snapshot, plan
from qonverge.scheduling.model import Terms, Weights


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
            # Nothing could be sent.
            return []
        made = plan(self._snapshot(state, jobs), self.policy)
        decided = list(zip(jobs, made.decisions, strict=True))
        late = {job for job, decision in decided if decision.impossible}
        if late:
            # A person would send such a job again, without the deadline that it misses anyway.
            self._too_late |= late
            return self.decide(state)
        for job, decision in decided:
            if job not in state.promises and decision.expected_start is not None:
                planned = 0.0 if decision.backend is not None else max(0.0, decision.expected_start - state.now)
                state.promises[job] = Promise(state.now, planned, state.known.wait(planned))
        columns = {name: column for column, name in enumerate(state.known.fleet.devices)}
        return [(job, columns[d.backend.name]) for job, d in decided if d.backend is not None]

    def _snapshot(self, state: State, jobs: list[int]) -> Snapshot:
        fleet = state.known.fleet
        low, mid, high = state.known.fidelity(state.now)[:, state.known.circuits[jobs]]
        run_low, run, run_high = state.known.runs(jobs)
        cost = np.zeros_like(run)
        backends = tuple(
            Backend(
                name,
                "lab",
                admits_all_namespaces=True,
                features=_fitting(fleet, device),
                load=float(of.sent),
                free_seconds=(state.free_in(device),),
                dispatch_depth=0,
            )
            for device, (name, of) in enumerate(zip(fleet.devices, state.devices, strict=True))
        )
        # Which circuits fit a device is told as what it can do.
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
        due = None if arrival.deadline is None or job in self._too_late else arrival.seconds + arrival.deadline
        return Job(
            f"{arrival.namespace}/{job:06}",
            arrival.namespace,
            arrival.seconds,
            Needs(
                width,
                arrival.shots,
                clifford=False,
                statevector_bytes=16 << width,
                features=frozenset((arrival.circuit,)),
            ),
            priority=arrival.priority,
            terms=Terms(weights=Weights.preset(arrival.objective)),
            deadline=due,
        )


def _fitting(fleet: Fleet, device: int) -> frozenset[str]:
    return frozenset(name for name, fits in zip(fleet.circuits, fleet.fits[:, device], strict=True) if fits)


def _greedy(policy):
    def cost(state, job):
        f = state.known.fidelity(state.now)[1, state.known.circuits[job]]
        f = np.where(state.known.fits[job], f, np.nan)
        loss = 1 - f / np.nanmax(f)
        c = np.array([state.free_in(d) for d in range(len(state.devices))]) + state.known.runs([job])[1][0]
        a = state.arrivals[job]
        late = 0 if a.deadline is None else 12 * policy.patience_seconds*(state.now + c > a.seconds + a.deadline)
        return loss * policy.patience_seconds + c + late
    return cost


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
            cost = np.where(state.known.fits[job], self.cost(state, job), math.inf)
            device = int(cost.argmin())
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
            devices = np.flatnonzero(state.known.fits[job])
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
            device = next((d for d in idle if state.known.fits[job, d]), None)
            if device is not None:
                idle.remove(device)
                sent.append((job, device))
        return sent


def _least_loaded(state: State, job: int) -> Floats:
    return np.array([state.free_in(device) for device in range(len(state.devices))])


def _static_best(state: State, job: int) -> Floats:
    return -state.known.fleet.quality


def _best_fidelity(state: State, job: int) -> Floats:
    mid: Floats = state.known.fidelity(state.now)[1, state.known.circuits[job]]
    return -mid


FCFS = "FCFS by fidelity"
STATIC = "static-best"


def every(policy: Policy | None = None) -> list[AnyPolicy]:
    """Return a fresh one of each policy, ours first."""
    return [
        Qonverge(policy or Policy()),
        AtOnce(FCFS, _best_fidelity),
        AtOnce(STATIC, _static_best),
        AtOnce("least-loaded", _least_loaded),
        RoundRobin(),
        FirstFit(),
    ]
