"""What the operator expects of jobs, and what it learns from those that ended; both outlive it in a ConfigMap."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from qonverge.amounts import Amounts, Money
from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.placement import seconds_of
from qonverge.api.source import Source
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.controller.kube.client import Kube
from qonverge.controller.placement.snapshot import USUAL, PodTask
from qonverge.controller.store.devices import device_of, measured, pricing_of
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.phases import Sent
from qonverge.controller.store.state import State
from qonverge.devices.layout import Misfit
from qonverge.devices.noise import Noise
from qonverge.execution.placement import abilities
from qonverge.forecast.cost import price
from qonverge.forecast.exact import ExactForecasts
from qonverge.forecast.forecaster import Outlook
from qonverge.forecast.intervals import Interval, Intervals, JobForecasts
from qonverge.forecast.loops import Loop, Loops
from qonverge.forecast.queue import Queue, Running
from qonverge.forecast.requests import BackendOffer, ForecastRequest, Outcome, WaitForecast
from qonverge.programs import circuit as circuits
from qonverge.programs.kinds import kind_of
from qonverge.providers.figures import Figures
from qonverge.providers.installed import usual_figures
from qonverge.scheduling import Backend, Decision, Share, Shares
from qonverge.wire.messages import TaskResult
from qonverge.wire.vendor import limits_of

logger = logging.getLogger(__name__)

CONFIG_MAP = "qonverge-forecasts"
# A job's forecasts hold for as long as this, unless backends change: models move with every task that ends.
_FRESH_SECONDS = 5.0
# Waits are learned from at most one task of a backend in so many seconds: telling what is expected of a queue takes
# longer than placing a job.
_WAIT_SECONDS = 0.5
_HALF_LIFE = 86_400.0
# Of tasks of others that wait for a device elsewhere nothing is known but how many there are.
_USUAL_SHOTS = 1000
_USUAL_SECONDS = 5.0
_MOST_AHEAD = 10_000
# Devices to which a circuit is mapped for real.
_MAPPED = 3


@dataclass(frozen=True, slots=True)
class _Row:
    """A job's forecasts."""

    offers: tuple[BackendOffer, ...]
    at: float
    values: JobForecasts
    misfits: dict[str, Misfit]
    """Why the circuit can't be run on backends, by their keys."""


class Forecasts:
    """The models, and what namespaces used of late."""

    def __init__(self, state: State, mapper: Checker, clock: Callable[[], float]) -> None:
        """``mapper`` maps circuits to devices; ``clock`` gives Unix seconds."""
        self._state = state
        self._clock = clock
        self._outlook = Outlook(ExactForecasts(mapper))
        self._loops = Loops()
        self._rows: dict[str, _Row] = {}
        self._shares = Shares(half_life=_HALF_LIFE)
        self._shares_at = clock()
        self._waited: dict[str, float] = {}
        self._saved = ("", "", "")
        self._charged = False

    def _noise(self, key: str) -> Noise | None:
        """Return the noise of the device that the backend imitates or drives, as far as it is known."""
        known = self._state.calibrations.get(key)
        return None if known is None else known.noise

    def stale(self, backend: QuantumBackend, now: float) -> str:
        """Return why the backend's calibration can't be trusted, empty where it can."""
        limit, metadata = backend.spec.max_calibration_age, backend.metadata
        noise = self._noise(f"{metadata.namespace}/{metadata.name}")
        if limit is None or noise is None or noise.measured_at is None:
            return ""
        age = now - noise.measured_at
        if age <= seconds_of(limit):
            return ""
        old = f"{age / 3600:.3g} h" if age < 48 * 3600 else f"{age / 86_400:.0f} days"
        return f"its calibration is {old} old and spec.maxCalibrationAge is {limit}"

    def offers(self, backends: Sequence[Backend]) -> tuple[BackendOffer, ...]:
        """Return the backends as forecasts need them."""
        found = []
        for seen in backends:
            backend = self._state.backends.get(seen.key)
            source = None if backend is None else backend.spec.source
            noise = None if source is None else source.noise
            elsewhere = source is not None and source.elsewhere
            pricing = None if backend is None else pricing_of(self._state.pods, backend)
            device = None if backend is None else device_of(self._state.pods, backend)
            ideal = device is not None and device.ideal
            known = None if ideal else self._noise(seen.key)
            found.append(
                BackendOffer(
                    seen.key,
                    seen.method,
                    seen.memory_bytes,
                    known,
                    pricing,
                    keeps_layouts=source is not None and source.keeps_layouts,
                    recalibrated=elsewhere or (noise is not None and noise.config_map_key_ref is not None),
                    noise_unknown=known is None and not ideal and (elsewhere or noise is not None),
                    cost_unknown=seen.unpriced,
                    task_limits=limits_of(device),
                    figures=_figures(source),
                )
            )
        return tuple(found)

    def row(self, job: HybridJob, flight: Flight, offers: tuple[BackendOffer, ...]) -> JobForecasts:
        """Return the job's forecasts, see ``Outlook.row``."""
        return self._row(job, flight, offers).values

    def misfits(self, job: HybridJob, flight: Flight, offers: tuple[BackendOffer, ...]) -> dict[str, Misfit]:
        """Return why the job's circuit can't be run on backends, by their keys."""
        return self._row(job, flight, offers).misfits

    def _row(self, job: HybridJob, flight: Flight, offers: tuple[BackendOffer, ...]) -> _Row:
        known, now = self._rows.get(flight.uid), self._clock()
        if known is None or known.offers != offers or now - known.at > _FRESH_SECONDS:
            asked, outlook = self.asked(job, flight), self._outlook
            known = _Row(offers, now, outlook.row(asked, offers), outlook.misfits(asked, offers))
            self._rows[flight.uid] = known
        return known

    def run_seconds(self, flight: Flight, key: str) -> Interval | None:
        """Return how long the job was last forecast to run on a backend."""
        return self._told(flight, key, lambda row: row.run_seconds)

    def fidelity(self, flight: Flight, key: str) -> Interval | None:
        """Return what fidelity the job was last forecast to have on a backend."""
        return self._told(flight, key, lambda row: row.fidelity)

    def _told(self, flight: Flight, key: str, quantity: Callable[[JobForecasts], Intervals]) -> Interval | None:
        """Return a figure of the last forecasts; None where it is not known."""
        known = self._rows.get(flight.uid)
        column = None if known is None else next((n for n, offer in enumerate(known.offers) if offer.key == key), None)
        if known is None or column is None:
            return None
        told = quantity(known.values)[column]
        return None if math.isnan(told.mid) else told

    def forget(self, uid: str) -> None:
        """Drop the forecasts of a job."""
        self._rows.pop(uid, None)

    def asked(self, job: HybridJob, flight: Flight) -> ForecastRequest | None:
        """Return what is to be forecast of the job, None where nothing can be."""
        return kind_of(job).forecast_request(job, flight.checked)

    async def prepare(self, job: HybridJob, circuit: CheckedCircuit, backends: Callable[[], Sequence[Backend]]) -> None:
        """Find out more of the few backends that look best, before the job is placed.

        ``backends`` tells those that there are, which takes time and is asked only where there are several devices.

        Raises:
            CheckerLost: the process that maps circuits does not start.
        """
        asked = kind_of(job).forecast_request(job, circuit)
        if asked is not None and len(self._state.calibrations) > 1:
            namespace = job.metadata.namespace
            await self._outlook.map_to_best(asked, self.offers(backends()), _MAPPED, namespace=namespace)

    def wait(self, key: str, workers: int, tasks: Sequence[PodTask], now: float) -> WaitForecast:
        """Return how long a task waits that is sent now.

        Args:
            key: the backend's.
            workers: of all its pods.
            tasks: what its pods were given, the oldest first.
            now: Unix seconds.
        """
        if (shared := self._device_wait(key, now)) is not None:
            return shared
        queue = Queue(
            max(1, workers),
            tuple(Running(task.run, max(0.0, now - task.sent)) for task in tasks[:workers]),
            tuple(task.run for task in tasks[workers:]),
        )
        return self._outlook.wait_seconds(key, queue, now)

    def device_wait(self, backend: QuantumBackend, now: float) -> float | None:
        """Return the wait for a device elsewhere, by everybody's tasks that wait for it, seconds; None of others."""
        found = self._device_wait(f"{backend.metadata.namespace}/{backend.metadata.name}", now)
        return None if found is None else found.corrected.mid

    def _device_wait(self, key: str, now: float) -> WaitForecast | None:
        backend = self._state.backends.get(key)
        if backend is None or not backend.spec.source.elsewhere:
            return None
        # A wait that is too old is still nearer to the truth than none: 0 would draw all jobs there.
        known = measured(self._state.pods, backend, now)
        wait, length = known.last("wait_seconds"), known.last("queue_length")
        figures = abilities(backend.spec.source).descriptor.figures
        ahead = min(round(length or 0), _MOST_AHEAD)
        usual = _USUAL_SECONDS
        if figures is not None:
            usual = figures.task_seconds + _USUAL_SHOTS * figures.shot_seconds
        each = Interval(usual / 4, usual, 4 * usual)
        if wait:
            # The vendor knows its queue better than the number of tasks in it tells.
            ahead, each = 1, Interval(wait / 2, wait, 2 * wait)
        return self._outlook.wait_seconds(key, Queue(1, waiting=(each,) * ahead), now, shared=True)

    def learns_wait(self, key: str, now: float) -> bool:
        """Return whether it is time to learn from another task how long one waits for the backend."""
        return now >= self._waited.get(key, 0.0) + _WAIT_SECONDS

    def promise(self, key: str, workers: int, tasks: Sequence[PodTask], now: float) -> WaitForecast | None:
        """Return ``wait`` for a task from which waits are to be learned; None for the others."""
        backend = self._state.backends.get(key)
        shared = backend is not None and backend.spec.source.elsewhere
        if (len(tasks) < workers and not shared) or not self.learns_wait(key, now):
            return None
        self._waited[key] = now
        return self.wait(key, workers, tasks, now)

    def most(
        self, job: HybridJob, flight: Flight, decision: Decision, row: JobForecasts, offers: Sequence[BackendOffer]
    ) -> Amounts:
        """Return what the job may use, by the upper bounds of its forecasts, with all its parts."""
        assert decision.backend is not None
        columns = {offer.key: index for index, offer in enumerate(offers)}
        parts = [(part.backend, part.shots) for part in decision.parts] or [(decision.backend, 0)]
        total = max(1, sum(shots for _, shots in parts))
        hedged = any(part.kind == "Hedge" for part in decision.parts)
        spent, costs, asked = 0.0, list[Money](), self.asked(job, flight)
        for backend, shots in parts:
            column = columns[backend.key]
            share = shots / total if shots and not hedged else 1.0
            run, cost = row.run_seconds[column], row.cost[column]
            spent += share * (USUAL.high if math.isnan(run.high) else run.high)
            if share < 1.0 and asked is not None:
                # Each part has its own fees.
                part = replace(asked, work=replace(asked.work, shots=shots))
                cost = price(part, offers[column], Interval(share * run.low, share * run.mid, share * run.high))
            if not math.isnan(cost.high):
                costs.append(Money(Decimal(repr(cost.high)), backend.currency))
        shots = 0 if asked is None else asked.work.all_shots
        return Amounts(shots * (len(parts) if hedged else 1), spent, tuple(costs))

    def observe(self, job: HybridJob, flight: Flight, sent: Sent, result: TaskResult) -> None:
        """Learn from a task that has ended."""
        namespace = job.metadata.namespace
        self.charge(namespace, result.run_seconds)
        asked = self.asked(job, flight)
        if asked is None or result.error is not None or result.cached or not result.results or not sent.whole:
            return
        noise, backend = self._noise(sent.backend_key), self._state.backends.get(sent.backend_key)
        elsewhere = backend is not None and backend.spec.source.elsewhere
        source = None if backend is None else backend.spec.source
        self._outlook.observe(
            Outcome(
                sent.backend_key,
                asked,
                abilities(source).method if source is not None and elsewhere else circuits.method_of(result),
                result.run_seconds,
                result.queue_seconds,
                sent.run_seconds,
                sent.promised,
                sent.at,
                circuits.counts_of(result),
                noise if noise is not None and noise.digest == result.calibration else None,
                sent.fidelity,
                result.peak_bytes,
                keeps_layouts=source is not None and source.keeps_layouts,
                shared_queue=elsewhere,
                figures=_figures(source),
            )
        )

    def memories(self, job: HybridJob, flight: Flight, offers: Sequence[BackendOffer]) -> list[Interval | None]:
        """Return the memory that the job takes on each backend, bytes; None where it is not known."""
        asked = self.asked(job, flight)
        return [None if asked is None else self._outlook.memory_bytes(asked, offer) for offer in offers]

    def loop(self, job: HybridJob) -> Loop | None:
        """Return how often the job's program waits for its backend; None where that is not known."""
        program = kind_of(job).loop(job)
        return None if program is None else self._loops.find(program)

    def learn_loop(self, job: HybridJob, waits: int, backend: str, seconds: float | None = None) -> None:
        """Take how often the job's program, which completed, waited for a backend, and how long it ran."""
        program = kind_of(job).loop(job)
        if program is not None:
            self._loops.learn(program, waits, backend, seconds)

    def charge(self, namespace: str, seconds: float) -> None:
        """Count what a namespace used towards its share."""
        self._shares, self._charged = self._decayed().charged(namespace, seconds), True

    def shares(self, weight: Callable[[str], float], namespaces: Sequence[str]) -> Shares:
        """Return what namespaces used of late, beside their weights."""
        self._shares = self._decayed()
        known = {*self._shares.by_namespace, *namespaces}
        return Shares({name: Share(weight(name), self._shares.of(name).usage) for name in sorted(known)}, _HALF_LIFE)

    def _decayed(self) -> Shares:
        now = self._clock()
        shares, self._shares_at = self._shares.later(max(0.0, now - self._shares_at)), now
        return shares

    async def save(self, kube: Kube, namespace: str) -> None:
        """Write what was learned, where it changed.

        Raises:
            KubeError: it could not be written.
        """
        usage = {name: round(share.usage, 3) for name, share in self._decayed().by_namespace.items()}
        learned = self._outlook.dump(), self._loops.dump(), self._state.powers.dump()
        if learned == self._saved and not self._charged:
            return
        models, programs, powers = learned
        data = {
            "models": models,
            "programs": programs,
            "powers": powers,
            "shares": json.dumps({"at": self._clock(), "usage": usage}),
        }
        metadata = {"name": CONFIG_MAP, "namespace": namespace}
        await kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        self._saved, self._charged = learned, False

    async def load(self, kube: Kube, namespace: str) -> None:
        """Take what was learned before; what is damaged is left out, and said.

        Raises:
            KubeError: it could not be read.
        """
        found = await kube.get("ConfigMap", namespace, CONFIG_MAP)
        data: dict[str, Any] = (found or {}).get("data") or {}
        if "models" in data:
            for complaint in self._outlook.load(data["models"]):
                logger.warning("%s", complaint)
        for load, name in ((self._loops.load, "programs"), (self._state.powers.load, "powers")):
            try:
                load(data.get(name) or "{}")
            except ValueError as error:
                logger.warning("%s", error)
        try:
            shares = json.loads(data.get("shares") or "{}")
            usage = {str(name): Share(1.0, _usage(used)) for name, used in shares.get("usage", {}).items()}
            at = float(shares.get("at", self._clock()))
        except (ValueError, TypeError, AttributeError) as error:
            logger.warning("the shares of namespaces begin anew: %s", error)
            return
        self._shares, self._shares_at = Shares(usage, _HALF_LIFE), min(at, self._clock())


def _figures(source: Source | None) -> Figures:
    return usual_figures() if source is None else abilities(source).figures


def _usage(given: Any) -> float:
    used = float(given)
    if not 0 <= used < math.inf:
        raise ValueError(f"a namespace used {used} s")
    return used
