"""Jobs arrive, wait, run and end on a virtual clock; a policy says where each goes."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.placement.fleet import Fleet
from bench.placement.known import Known
from bench.placement.nature import Nature
from bench.placement.trace import Arrival, Trace
from bench.placement.world import World
from qonverge.forecast.intervals import Interval
from qonverge.scheduling import Share, Shares


class Stuck(Exception):
    """Jobs wait, nothing runs, and the policy sends none of them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job."""

    device: int
    start: float
    end: float
    fidelity: float
    run: Interval
    """Its forecast when it was sent, seconds."""
    promised_fidelity: Interval
    """Its forecast when it was sent."""


@dataclass(frozen=True, slots=True)
class WaitForecast:
    """How long a job is told to wait when it is first planned."""

    at: float
    planned: float
    """Seconds, as planned."""
    wait: Interval
    """Seconds, as forecast from that."""


@dataclass(slots=True)
class Device:
    """A device's one worker, and what was sent there."""

    queue: deque[int] = field(default_factory=deque)
    running: int | None = None
    since: float = 0.0
    ends: float = 0.0
    """Known to nobody before."""

    @property
    def sent(self) -> int:
        """Jobs that it has."""
        return len(self.queue) + (self.running is not None)


@dataclass(slots=True)
class State:
    """What a policy sees; it changes nothing but its ``promises``."""

    arrivals: Sequence[Arrival]
    known: Known
    devices: list[Device]
    shares: Shares
    now: float = 0.0
    waiting: list[int] = field(default_factory=list)
    """Jobs that were not sent anywhere, in order of arrival."""
    promises: dict[int, WaitForecast] = field(default_factory=dict)

    def allowed(self, job: int) -> NDArray[np.bool_]:
        """Return which devices fit the job and have no larger errors than it takes, by their last calibration, (B,)."""
        arrival = self.arrivals[job]
        fits: NDArray[np.bool_] = self.known.fits[job]
        if arrival.max_errors is None:
            return fits
        most = [1.0 if m is None else m for m in (arrival.max_errors.two_qubit, arrival.max_errors.readout)]
        # An error that is not known is too much.
        errors = np.nan_to_num(self.known.errors(self.now), nan=1.0)
        kept: NDArray[np.bool_] = fits & np.all(errors <= np.array(most)[:, None], axis=0)
        return kept

    def eligible(self, job: int) -> NDArray[np.bool_]:
        """Return where the job may go now: devices that are allowed and forecast to keep its least fidelity, (B,)."""
        least = self.arrivals[job].min_fidelity
        allowed = self.allowed(job)
        if least is None:
            return allowed
        found: NDArray[np.bool_] = allowed & (self.known.fidelity(self.now)[1, self.known.circuits[job]] >= least)
        return found

    def free_in(self, device: int) -> float:
        """Return the seconds until a device will have done what it has, as forecast."""
        of = self.devices[device]
        seconds = sum(self.known.run(job, device).mid for job in of.queue)
        if of.running is not None:
            seconds += max(0.0, of.since + self.known.run(of.running, device).mid - self.now)
        return seconds


class Policy(Protocol):
    """Decides where jobs go."""

    @property
    def name(self) -> str:
        """As in tables."""

    def decide(self, state: State) -> list[tuple[int, int]]:
        """Return the jobs to send now, each with its device; called whenever something happened while jobs wait."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A trace under a policy."""

    policy: str
    trace: Trace
    fleet: Fleet
    outcomes: tuple[Outcome, ...]
    """In order of arrival."""
    promises: dict[int, WaitForecast]
    fastest: tuple[float, ...]
    """Run time of each job, seconds, on the device that would have run it fastest when it came."""
    rounds: int
    unserved: int = 0
    """Jobs whose least fidelity or largest errors no device kept; the trace is without them."""


def simulate(
    fleet: Fleet,
    trace: Trace,
    policy: Policy,
    nature: Nature | None = None,
    seed: int = 0,
    known: type[Known] = Known,
) -> Run:
    """Run a trace until its last job has ended; jobs whose terms no device has kept until then are not served.

    Raises:
        Stuck: the policy leaves jobs waiting for nothing.
    """
    world = World(fleet, trace, nature or trace.world, seed)
    told = known(fleet, trace, world)
    weights = {name: Share(weight) for name, weight in trace.shares.items()}
    state = State(trace.arrivals, told, [Device() for _ in fleet.devices], Shares(weights))
    done: dict[int, Outcome] = {}
    running: dict[int, tuple[Interval, Interval]] = {}
    events = [(arrival.seconds, job, -1) for job, arrival in enumerate(trace.arrivals)]
    heapq.heapify(events)
    rounds = 0
    while events:
        now = events[0][0]
        state.shares = state.shares.later(now - state.now)
        state.now = now
        while events and events[0][0] == now:
            _, job, device = heapq.heappop(events)
            if device < 0:
                state.waiting.append(job)
            else:
                done[job] = _end(state, world, job, device, *running.pop(job))
        if state.waiting:
            rounds += 1
            sent = policy.decide(state)
            gone = {job for job, _ in sent}
            state.waiting = [job for job in state.waiting if job not in gone]
            for job, device in sent:
                state.devices[device].queue.append(job)
        for device, of in enumerate(state.devices):
            if of.running is None and of.queue:
                job = of.queue.popleft()
                running[job] = _start(state, world, job, device)
                heapq.heappush(events, (of.ends, job, device))
        if not events and any(state.eligible(job).any() for job in state.waiting):
            raise Stuck(f"{policy.name} sends none of {len(state.waiting)} jobs although every device is free")
    served = sorted(done)
    return Run(
        policy.name,
        replace(trace, arrivals=tuple(trace.arrivals[job] for job in served)),
        fleet,
        tuple(done[job] for job in served),
        {number: state.promises[job] for number, job in enumerate(served) if job in state.promises},
        tuple(_fastest(world, told, job, trace.arrivals[job]) for job in served),
        rounds,
        len(state.waiting),
    )


def _start(state: State, world: World, job: int, device: int) -> tuple[Interval, Interval]:
    arrival, circuit = state.arrivals[job], int(state.known.circuits[job])
    forecast = state.known.run(job, device)
    low, mid, high = state.known.fidelity(state.now)[:, circuit, device].tolist()
    of = state.devices[device]
    of.running, of.since = job, state.now
    of.ends = state.now + world.run_seconds(job, circuit, arrival.shots, device, state.now)
    state.shares = state.shares.charged(arrival.namespace, forecast.mid)
    promise = state.promises.get(job)
    if promise is not None:
        state.known.started(promise.planned, promise.wait, promise.at, state.now - promise.at)
    return forecast, Interval(low, mid, high)


def _end(state: State, world: World, job: int, device: int, run: Interval, fidelity: Interval) -> Outcome:
    of = state.devices[device]
    seconds = state.now - of.since
    state.known.ended(job, device, seconds, state.now, run)
    # What was charged at the start was a forecast.
    state.shares = state.shares.charged(state.arrivals[job].namespace, seconds - run.mid)
    of.running = None
    circuit = int(state.known.circuits[job])
    got = world.fidelity(job, circuit, device, of.since)
    seen = world.observed(job, circuit, state.arrivals[job].shots, got)
    if seen is not None:
        state.known.gave(circuit, device, seen, state.now, fidelity)
    return Outcome(device, of.since, state.now, got, run, fidelity)


def _fastest(world: World, known: Known, job: int, arrival: Arrival) -> float:
    circuit = int(known.circuits[job])
    fits = np.flatnonzero(known.fits[job]).tolist()
    return min(world.run_seconds(job, circuit, arrival.shots, device, arrival.seconds) for device in fits)
