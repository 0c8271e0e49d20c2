"""What the operator's gauges show at a scrape, from what it knows. It asks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from qonverge.accounting.conversion import limits_of
from qonverge.accounting.ledger import Ledger
from qonverge.amounts import Amounts, Limits
from qonverge.api import QuantumBackend, QuantumQuota
from qonverge.controller.placement.forecasts import Forecasts
from qonverge.controller.placement.rounds import Rounds
from qonverge.controller.scaling.work import KnownWork, work_of
from qonverge.controller.store.devices import measured
from qonverge.controller.store.program_slots import paused, reserved, slots_of, waiting_for_slots
from qonverge.controller.store.state import State
from qonverge.forecast.intervals import Interval
from qonverge.scheduling import Backend
from qonverge.telemetry import Reading
from qonverge.telemetry import definitions as names
from qonverge.telemetry.operator import OTHERS

_MOST_NAMESPACES = 1000


class OperatorReadings:
    """Gauges of one replica."""

    def __init__(
        self,
        *,
        state: State,
        ledger: Ledger,
        forecasts: Forecasts,
        rounds: Rounds,
        waiting: Callable[[], int],
        leading: Callable[[], bool],
        acting: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """Read nothing yet.

        Args:
            state: what is known.
            ledger: what is used of quotas.
            forecasts: what namespaces used of late.
            rounds: tell backends as placement sees them.
            waiting: returns how many objects wait to be reconciled.
            leading: returns whether this replica leads.
            acting: returns whether it also knows what its predecessor left on the pods.
            clock: Unix seconds.
        """
        self._state = state
        self._ledger = ledger
        self._forecasts = forecasts
        self._rounds = rounds
        self._waiting = waiting
        self._leading = leading
        self._acting = acting
        self._work = KnownWork()
        self._clock = clock

    def __call__(self) -> Iterator[Reading]:
        """Yield what is known now; a standby tells of itself only, so that sums over replicas are right."""
        leading = self._leading()
        work_is_known = self._work.whole(self._state, acting=self._acting())
        yield Reading(names.LEADER, float(leading))
        yield Reading(names.OBJECTS_WAITING, self._waiting())
        yield Reading(names.JOBS_IN_FLIGHT, len(self._state.flights))
        if not leading:
            return
        now = self._clock()
        yield from self._jobs()
        yield from self._namespaces()
        for _, quota in sorted(self._state.quotas.items()):
            yield from quota_readings(quota, self._ledger.in_use(quota, now))
        held, queued, away = reserved(self._state, now), waiting_for_slots(self._state), paused(self._state)
        for seen, wait in self._rounds.sight.waits(now):
            backend = self._state.backends[seen.key]
            yield from self._backend(backend, seen, wait, now)
            yield Reading(names.PROGRAM_SLOTS, slots_of(self._state, backend), (seen.key,))
            yield Reading(names.PROGRAM_SLOTS_RESERVED, len(held.get(seen.key, ())), (seen.key,))
            yield Reading(names.PROGRAMS_WAITING, queued[seen.key], (seen.key,))
            yield Reading(names.PROGRAMS_PAUSED, away[seen.key], (seen.key,))
        # Pods are started and ended by these figures: one that is not known yet must not look like no work.
        for key, work in work_of(self._state, now).items() if work_is_known else ():
            yield Reading(names.WAITING_TASKS, len(work.waiting), (key,))
            yield Reading(names.WORK, work.seconds, (key,))
            yield Reading(names.BACKEND_PROGRAMS, work.programs, (key,))

    def _jobs(self) -> Iterator[Reading]:
        known = Counter((job.metadata.namespace, job.status.state) for job in self._state.jobs.values())
        first = _first(namespace for namespace, _ in known)
        counts = Counter[tuple[str, str]]()
        for (namespace, state), count in known.items():
            counts[namespace if namespace in first else OTHERS, state] += count
        yield from (Reading(names.JOBS, count, labels) for labels, count in counts.items())

    def _namespaces(self) -> Iterator[Reading]:
        shares = self._forecasts.shares(self._ledger.weight, ()).by_namespace
        first, rest = _first(shares), 0.0
        for namespace, share in shares.items():
            if namespace not in first:
                rest += share.usage
                continue
            yield Reading(names.NAMESPACE_USAGE, share.usage, (namespace,))
            yield Reading(names.NAMESPACE_WEIGHT, share.weight, (namespace,))
        if len(shares) > len(first):
            yield Reading(names.NAMESPACE_USAGE, rest, (OTHERS,))

    def _backend(self, backend: QuantumBackend, seen: Backend, wait: Interval | None, now: float) -> Iterator[Reading]:
        labels = (seen.key,)
        pods = self._state.pods_of(seen.key)
        yield Reading(names.BACKEND_PLACE, 1.0, (seen.key, seen.tier or "", seen.site or "", seen.region or ""))
        yield Reading(names.WANTED_PODS, self._state.replicas_of(backend), labels)
        yield Reading(names.READY_PODS, len(pods), labels)
        infos = [pod.info for pod in pods if pod.info is not None]
        workers = sum(info.workers for info in infos)
        device, calibrated = measured(self._state.pods, backend, now).device, self._state.calibrations.get(seen.key)
        noise = None if calibrated is None else calibrated.noise
        known: Mapping[names.Metric, float | None] = {
            names.BACKEND_UTILIZATION: min(1.0, sum(info.running for info in infos) / workers) if workers else None,
            names.QUEUE_FORECAST: None if wait is None else wait.mid,
            names.BACKEND_ROUND_TRIP: seen.latency_seconds,
            names.BACKEND_BANDWIDTH: seen.bytes_per_second,
            names.BACKEND_ONLINE: None if device is None else float(device.online),
            names.BACKEND_CALIBRATION: None if noise is None else noise.measured_at,
            names.CALIBRATION_STALE: None if noise is None else float(bool(seen.calibration_stale_reason)),
            names.BACKEND_TASK_POWER: seen.task_watts,
            names.BACKEND_TWO_QUBIT_ERROR: seen.two_qubit_error,
            names.BACKEND_READOUT_ERROR: seen.readout_error,
        }
        yield from (Reading(metric, value, labels) for metric, value in known.items() if value is not None)


def quota_readings(quota: QuantumQuota, used: Amounts) -> Iterator[Reading]:
    """Yield a quota's limits and what counts against each: of money what is of the limit's currency."""
    limits: Limits = limits_of(quota.spec.limits)
    of_quota = (quota.metadata.namespace, quota.metadata.name)
    cost = limits.cost
    rows: tuple[tuple[str, str, float | None, float], ...] = (
        ("shots", "shots", limits.shots, used.shots),
        ("seconds", "seconds", limits.seconds, used.seconds),
        ("jobs", "jobs", limits.jobs, used.jobs),
        (
            "cost",
            "" if cost is None else cost.currency,
            None if cost is None else float(cost.amount),
            0.0 if cost is None else float(used.cost_in(cost.currency)),
        ),
    )
    for resource, unit, limit, amount in rows:
        if limit is not None:
            yield Reading(names.QUOTA_USED, amount, (*of_quota, resource, unit))
            yield Reading(names.QUOTA_LIMIT, limit, (*of_quota, resource, unit))


def _first(namespaces: Iterable[str]) -> set[str]:
    return set(sorted(set(namespaces))[:_MOST_NAMESPACES])
