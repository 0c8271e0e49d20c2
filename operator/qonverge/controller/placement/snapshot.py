"""What a round of placement sees, from what the operator knows. Pure."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from qonverge.amounts import format_bytes
from qonverge.api import QuantumBackend
from qonverge.api.quantity import bytes_of
from qonverge.backend.config import EngineConfig
from qonverge.controller.objects.object_names import backend_selector
from qonverge.controller.objects.pod_troubles import UNSCHEDULABLE
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.devices import beyond, measured, measured_by, pricing_of, task_watts
from qonverge.controller.store.pods import RATE_SECONDS, BackendPod, do_not_answer
from qonverge.controller.store.program_slots import free_seconds as slot_seconds
from qonverge.controller.store.program_slots import slots_of
from qonverge.controller.store.state import State
from qonverge.devices.noise import Noise
from qonverge.execution.placement import abilities, declared, device_errors, why_offline
from qonverge.forecast.intervals import Interval
from qonverge.scheduling import Backend
from qonverge.telemetry.figures import fresh
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.vendor import limits_of

# Work that each worker should have before it, so that it does not wait for the next round.
_AHEAD_SECONDS = 1.0
_MOST_AHEAD = 256
USUAL = Interval(0.01, 0.05, 0.5)
"""Run time that is assumed where none is forecast, seconds."""
_LATE_SHARE = 0.25
START_SECONDS = 10.0
"""How long a pod is taken to need from being made until it serves, where none was seen to start, seconds."""
_LEAST_START = 0.1


@dataclass(frozen=True, slots=True)
class PodTask:
    """A task that a pod has."""

    sent: float
    """When it was sent, Unix seconds."""
    run: Interval
    """How long it is forecast to run, seconds."""


def given_to_pods(state: State, now: float) -> dict[str, list[PodTask]]:
    """Return the tasks of each pod, by its uid, the oldest first: those under way, and those about to be sent."""
    tasks: defaultdict[str, list[PodTask]] = defaultdict(list)
    for flight in state.flights.values():
        for sent in flight.sent:
            tasks[sent.endpoint.pod].append(PodTask(sent.at, sent.run_seconds or USUAL))
    for given in tasks.values():
        given.sort(key=lambda task: task.sent)
    for flight in state.flights.values():
        decision = flight.proposal
        if decision is None or decision.backend is None or flight.checked is None:
            continue
        for placed in [part.backend for part in decision.parts] or [decision.backend]:
            pods = [pod.uid for pod in state.pods_of(placed.key)]
            if pods:
                tasks[min(pods, key=lambda pod: (len(tasks.get(pod, ())), pod))].append(PodTask(now, USUAL))
    return tasks


def free_seconds(workers: int, tasks: Sequence[PodTask], now: float) -> list[float]:
    """Return the seconds until each worker of a pod has done what the pod was given, in the order in which it came."""
    return _timetable(workers, tasks, now)[1]


def work_left(workers: int, tasks: Sequence[PodTask], now: float) -> tuple[list[float], list[float]]:
    """Return the seconds that each task still takes that runs on a pod, and those that each takes that waits there."""
    times = _timetable(workers, tasks, now)[0]
    running = [end - now for start, end in times if start <= now]
    return running, [end - start for start, end in times if start > now]


def _timetable(workers: int, tasks: Sequence[PodTask], now: float) -> tuple[list[tuple[float, float]], list[float]]:
    """Return when each task starts and ends, Unix seconds, and the seconds until each worker is free."""
    free, times = [0.0] * workers, []
    for task in tasks:
        start = max(heapq.heappop(free), task.sent)
        # Of a task that takes longer than forecast some part is still to come.
        least = now + task.run.mid * _LATE_SHARE if start <= now else start
        end = max(start + task.run.mid, least)
        heapq.heappush(free, end)
        times.append((start, end))
    return times, sorted(max(0.0, time - now) for time in free)


def seconds_to_start(state: State, backend: QuantumBackend, now: float) -> float:
    """Return the seconds until a pod of a backend without any that serves is forecast to serve.

    Those that were made are on their way; what takes longer than such pods did takes the longer the longer it has.
    """
    key = f"{backend.metadata.namespace}/{backend.metadata.name}"
    like = backend.size_of
    # Before one of a larger size was seen to start, it takes as long as those of the usual size.
    usual = (
        START_SECONDS
        if like is None
        else state.start_seconds.get(f"{backend.metadata.namespace}/{like.name}", START_SECONDS)
    )
    usual = state.start_seconds.get(key, usual)
    starting = [pod.created for pod in state.pods.of(backend_selector(backend)) if not pod.admitted]
    if not starting:
        return usual
    elapsed = now - min(starting)
    return max(usual - elapsed, _LATE_SHARE * elapsed, _LEAST_START)


def seen(
    state: State,
    cluster: Cluster,
    backend: QuantumBackend,
    tasks: Mapping[str, Sequence[PodTask]],
    now: float,
    stale: str = "",
    device_wait: float | None = None,
    held: Sequence[float] = (),
) -> Backend:
    """Return a backend as placement sees it.

    Args:
        state: what is known.
        cluster: labels of namespaces.
        backend: the resource.
        tasks: what each pod was given, by its uid.
        now: Unix seconds.
        stale: why its calibration can't be trusted, if it can't.
        device_wait: forecast wait in the queue of a device elsewhere, seconds; None of a simulator.
        held: of each program that holds one of its slots, for how long it is forecast to, seconds.
    """
    spec, metadata = backend.spec, backend.metadata
    source = spec.source
    able, calibrated = abilities(source), state.calibrations.get(f"{metadata.namespace}/{metadata.name}")
    noise = None if calibrated is None else calibrated.noise
    known = measured(state.pods, backend, now)
    device = known.device
    two_qubit, readout = device_errors(source, noise, ideal=device is not None and device.ideal)
    pods = state.pods.accepting(backend_selector(backend))
    infos = [(pod, pod.info) for pod in pods if pod.info is not None]
    given = [len(tasks.get(pod.uid, ())) for pod in pods]
    free = [
        time for pod, info in infos for time in free_seconds(max(1, info.workers), tasks.get(pod.uid, ()), now)
    ] or [0.0] * len(pods)
    view, may_offer = declared(backend), cluster.may_offer(metadata.namespace)
    pricing, offline = pricing_of(state.pods, backend), why_offline(device)
    watts, power = task_watts(state.powers, backend, now)
    not_serving = f"its device runs nothing now: {offline}" if offline else ""
    starting = ""
    ahead = math.inf if able.descriptor.takes_long or device_wait is not None else _AHEAD_SECONDS
    if not pods and (not_serving := _why_none(state, backend)) == "":
        # A job that is held for it has a pod started, and goes there once that serves.
        free, ahead = [seconds_to_start(state, backend, now)] * (spec.capacity.concurrency or 1), 0.0
        starting = _starting(state, backend)
    workers = max(1, len(free))
    return replace(
        view,
        admits_all_namespaces=view.admits_all_namespaces and may_offer,
        offer_withheld=backend.is_offered and not may_offer,
        serving=view.serving and not not_serving and not metadata.deletion_timestamp,
        not_serving_reason=not_serving if view.serving else view.not_serving_reason,
        load=sum(given) / workers,
        room=sum(max(0, spec.capacity.queue_limit - count) for count in given) if given else None,
        max_qubits=_widest(spec.capacity.max_qubits, noise, infos if source.elsewhere else ()),
        max_shots=min([spec.capacity.max_shots, *(info.max_shots for _, info in infos if source.elsewhere)]),
        memory_bytes=None if source.elsewhere else able.memory(_circuit_bytes(backend, [info for _, info in infos])),
        size_of="" if backend.size_of is None else backend.size_of.name,
        starting=starting,
        admitted_namespaces=cluster.admitted(backend),
        latency_seconds=_fastest(backend, pods, now, state.pods.stale_seconds),
        bytes_per_second=max((rate for pod in pods if (rate := _rate(pod, now)) is not None), default=None),
        workers=workers,
        # A device elsewhere has others' tasks too: what it was given from here says little.
        free_seconds=tuple(free) if device_wait is None else (),
        queue_seconds=device_wait,
        slot_seconds=slot_seconds(_slots(state, backend), held),
        currency=pricing.currency if pricing is not None else view.currency,
        task_price=0.0 if pricing is None else float(pricing.per_task or 0),
        task_limits=limits_of(device),
        unpriced=able.costs_money and pricing is None,
        # What waits in a queue of its own is not held back for better news. A wait that was learned from others' tasks
        # would keep all jobs back, since without one that is sent nothing teaches that it is shorter by now.
        dispatch_depth=None if able.descriptor.takes_long else _MOST_AHEAD,
        ahead_seconds=ahead,
        calibration_stale_reason=stale,
        task_watts=watts,
        two_qubit_error=two_qubit,
        readout_error=readout,
        figures=known.figures if power is None else {**known.figures, "task_watts": power},
        stale_figures=known.stale,
    )


def _slots(state: State, backend: QuantumBackend) -> int:
    """Return a backend's slots for programs; where no pod serves, those of the first that will."""
    capacity = backend.spec.capacity
    return slots_of(state, backend) or capacity.programs or capacity.concurrency or 1


def _why_none(state: State, backend: QuantumBackend) -> str:
    """Return why no pod of a backend serves; empty where a job that waits for it has one started."""
    if silent := do_not_answer([pod.key for pod in state.pods.silent(backend_selector(backend))]):
        return silent
    trouble = state.pods.trouble_of(backend_selector(backend))
    if backend.spec.activatable and (trouble is None or trouble.reason == UNSCHEDULABLE):
        return ""
    none = f"0 of {state.replicas_of(backend)} pods serve"
    return none if trouble is None or not backend.spec.activatable else f"{none}: {trouble}"


def _starting(state: State, backend: QuantumBackend) -> str:
    """Return what is done so that a pod serves, for a job that waits for it; empty where it is left to others."""
    if not backend.spec.automatic:
        return ""
    limit = backend.spec.template.resources.limits.get("memory")
    pod = "pod" if limit is None else f"pod with {format_bytes(bytes_of(limit))} of memory"
    selector = backend_selector(backend)
    trouble = state.pods.trouble_of(selector)
    if trouble is not None:
        return f"its {pod} waits for a node: {trouble.message}"
    return f"a {pod} {'starts' if any(True for _ in state.pods.of(selector)) else 'is started'} for it"


def _circuit_bytes(backend: QuantumBackend, infos: Sequence[BackendInfo]) -> int | None:
    """Return the memory for one circuit, as pods tell it; before one does, as far as the specification says it."""
    if infos:
        return _most(info.memory_bytes for info in infos)
    limit, workers = backend.spec.template.resources.limits.get("memory"), backend.spec.capacity.concurrency
    if limit is None or workers is None:
        return None
    return EngineConfig(concurrency=workers, memory_bytes=bytes_of(limit), spare=True).circuit_bytes


def _most(sizes: Iterable[int | None]) -> int | None:
    """Return the largest size, None where one is not known."""
    known = list(sizes)
    return None if None in known else max((size for size in known if size is not None), default=None)


def _widest(limit: int | None, noise: Noise | None, infos: Sequence[tuple[BackendPod, BackendInfo]]) -> int | None:
    """Return the backend's limit, or the width of its device; None where neither is known."""
    of_device = None if noise is None else noise.num_qubits
    sizes = (limit, of_device, *(info.max_qubits for _, info in infos))
    return min((size for size in sizes if size is not None), default=None)


def _fastest(backend: QuantumBackend, pods: Iterable[BackendPod], now: float, stale_seconds: float) -> float | None:
    """Return the shortest round trip to a pod that was measured of late, and on to where it sends tasks; seconds."""
    ways = ((pod.latency, beyond(backend, measured_by(pod, now, stale_seconds))) for pod in pods)
    return min((here + on for here, on in ways if here is not None and on is not None), default=None)


def _rate(pod: BackendPod, now: float) -> float | None:
    rate = fresh((pod.rate,), now, RATE_SECONDS)
    return None if rate is None else rate.value
