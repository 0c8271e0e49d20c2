"""What is to be expected of a job on every backend, from models that learn: fidelity, run time, wait and cost."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace

from cachetools import LRUCache

from qonverge.circuits.analysis.analysis import STRUCTURE, Analysis
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.devices import Calibration, Layout
from qonverge.devices.layout import Misfit, misfit, too_large
from qonverge.devices.noise import Noise
from qonverge.forecast.cost import price
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.exact import ExactForecasts
from qonverge.forecast.fidelity import Forecaster
from qonverge.forecast.intervals import Interval, Intervals, JobForecasts
from qonverge.forecast.learning import State
from qonverge.forecast.learning_fidelity import FidelityModel
from qonverge.forecast.learning_models import MemoryModel, RunTimeModel
from qonverge.forecast.observed import observed
from qonverge.forecast.queue import Queue, QueueModel, expected_wait
from qonverge.forecast.requests import BackendOffer, ForecastRequest, Outcome, WaitForecast
from qonverge.forecast.store import Key, dump, load
from qonverge.providers.figures import Figures

_MOST_METHODS = 10_000
_MOST_FAST = 20_000
# Responses that are those of the circuit itself.
_TRUE = ("Simulated", "Stabilizer")
_NOISELESS = Interval(1.0, 1.0, 1.0)
_UNKNOWN = Interval(math.nan, math.nan, math.nan)


class Outlook:
    """The models of all backends."""

    def __init__(self, exact: ExactForecasts) -> None:
        """Know nothing yet but what ``exact`` knows of circuits that were mapped to devices for real."""
        self._fidelity = Forecaster()
        self._exact = exact
        self._methods: LRUCache[tuple[str, str], str] = LRUCache(_MOST_METHODS)
        self._runs: dict[Key, State] = {}
        self._memories: dict[Key, State] = {}
        self._waits: dict[str, QueueModel] = {}
        self._fidelities: dict[str, FidelityModel] = {}
        self._fast: LRUCache[tuple[str, str, str, Layout | None], Interval] = LRUCache(_MOST_FAST)

    def row(self, asked: ForecastRequest | None, offers: Sequence[BackendOffer]) -> JobForecasts:
        """Return the forecasts of one job; of a program, whose circuits are not known, most is unknown."""
        runs = [_UNKNOWN if asked is None else self.run_seconds(asked, offer) for offer in offers]
        return JobForecasts(
            fidelity=Intervals.of([self.fidelity(asked, offer) for offer in offers]),
            run_seconds=Intervals.of(runs),
            cost=Intervals.of([price(asked, offer, run) for offer, run in zip(offers, runs, strict=True)]),
        )

    def fidelity(self, asked: ForecastRequest | None, offer: BackendOffer) -> Interval:
        """Return the forecast Hellinger fidelity; that of the mapped circuit where it is known already.

        Where the backend has run circuits whose fidelity could be told, these correct it.
        """
        if offer.noise is None:
            return _UNKNOWN if offer.noise_unknown else _NOISELESS
        if asked is None or asked.circuit.profile is None:
            return _UNKNOWN
        given = self._by_calibration(asked, asked.circuit.profile, offer)
        model = self._fidelities.get(offer.key)
        if model is None or math.isnan(given.mid):
            return given
        like_seen = asked.circuit.profile.response.basis in _TRUE
        return model.on(offer.noise.digest).predict_one(given, like_seen=like_seen)

    def misfits(self, asked: ForecastRequest | None, offers: Sequence[BackendOffer]) -> dict[str, Misfit]:
        """Return why the circuit cannot be run on backends' devices, by the backends' keys."""
        if asked is None:
            return {}
        found = ((offer.key, self._misfit(asked, offer)) for offer in offers)
        return {key: problem for key, problem in found if problem is not None}

    def _misfit(self, asked: ForecastRequest, offer: BackendOffer) -> Misfit | None:
        device = offer.noise
        if not isinstance(device, Calibration):
            return None
        circuit, layout = asked.circuit, _layout(asked, offer)
        if layout is None:
            problem = too_large(len(circuit.used), circuit.pairs, device)
            return None if problem is None else Misfit(problem, lasting=not offer.recalibrated)
        found = misfit(layout, circuit.used, circuit.pairs, device)
        return None if found is None else replace(found, lasting=found.lasting or not offer.recalibrated)

    def _by_calibration(self, asked: ForecastRequest, profile: CircuitProfile, offer: BackendOffer) -> Interval:
        """Return the forecast before anything is learned."""
        assert offer.noise is not None
        device, layout = _device(offer.noise, asked), _layout(asked, offer)
        known = self._exact.known(asked.circuit, asked.parameters, device, layout)
        if known is not None:
            return _UNKNOWN if isinstance(known, str) else known
        key = (asked.circuit.digest, json.dumps(sorted(asked.parameters.items())), device.digest, layout)
        found = self._fast.get(key)
        if found is None:
            (estimate,) = self._fidelity.estimate(profile, [device], layout)
            found = self._fast[key] = _UNKNOWN if isinstance(estimate, DoesNotFit) else estimate
        return found

    async def map_to_best(
        self, asked: ForecastRequest, offers: Sequence[BackendOffer], most: int, *, namespace: str = ""
    ) -> None:
        """Map the circuit for real to the devices that look best, so many of them, unless only one may be taken.

        ``namespace`` says for whom, since namespaces take turns.

        Raises:
            CheckerLost: the process that maps does not start.
        """
        devices = {(offer.noise.digest, offer.keeps_layouts): offer for offer in offers if offer.noise is not None}
        if len(devices) < 2 or asked.circuit.profile is None:
            return
        ranked = sorted(devices.values(), key=lambda offer: (-_or_zero(self.fidelity(asked, offer).mid), offer.key))
        for offer in ranked[:most]:
            if offer.noise is not None:
                with contextlib.suppress(DoesNotFit):
                    device = _device(offer.noise, asked)
                    layout = _layout(asked, offer)
                    await self._exact.of(asked.circuit, asked.parameters, device, layout, namespace=namespace)

    def run_seconds(self, asked: ForecastRequest, offer: BackendOffer) -> Interval:
        """Return how long the job runs there."""
        method = self._method(asked, offer)
        return self._run_model(offer.key, method, offer.figures).predict_task(asked.work)

    def memory_bytes(self, asked: ForecastRequest, offer: BackendOffer) -> Interval:
        """Return the memory that the job takes there beyond what a worker has: what to expect, not what is allowed."""
        method = self._method(asked, offer)
        return self._memory_model(offer.key, method, offer.figures).predict_task(asked.work)

    def wait_seconds(self, key: str, queue: Queue, at: float, *, shared: bool = False) -> WaitForecast:
        """Return how long a task waits that is sent now; ``shared`` as in ``QueueModel``."""
        expected = expected_wait(queue)
        return WaitForecast(expected, self._wait_model(key, shared=shared).predict(expected, at))

    def observe(self, outcome: Outcome) -> None:
        """Learn from a task that ended well."""
        model = self._run_model(outcome.key, outcome.method, outcome.figures)
        ended = outcome.sent + outcome.queue_seconds + outcome.run_seconds
        learned = model.observe((outcome.asked.work,), outcome.run_seconds, ended, outcome.promised_run)
        self._runs[Key("seconds", outcome.key, outcome.method)] = learned.state
        self._methods[outcome.key, outcome.asked.circuit.digest] = outcome.method
        if outcome.peak_bytes is not None:
            memory = self._memory_model(outcome.key, outcome.method, outcome.figures)
            said = memory.predict_task(outcome.asked.work)
            used = memory.observe((outcome.asked.work,), outcome.peak_bytes, ended, said)
            self._memories[Key("bytes", outcome.key, outcome.method)] = used.state
        if (promise := outcome.promise) is not None:
            waits = self._wait_model(outcome.key, shared=outcome.shared_queue)
            self._waits[outcome.key] = waits.observe(
                promise.expected, promise.corrected, outcome.sent, outcome.queue_seconds
            )
        self._observe_fidelity(outcome, ended)

    def _observe_fidelity(self, outcome: Outcome, ended: float) -> None:
        asked, noise, profile = outcome.asked, outcome.noise, outcome.asked.circuit.profile
        if noise is None or profile is None or (read := profile.tally(outcome.counts)) is None:
            return
        offer = BackendOffer(outcome.key, noise=noise, keeps_layouts=outcome.keeps_layouts)
        given = self._by_calibration(asked, profile, offer)
        ideal, counts = read
        seen = observed(ideal.probabilities, counts, sum(outcome.counts.values()), ideal.bits)
        if seen is None or math.isnan(given.mid):
            return
        model = self._fidelities.get(outcome.key) or FidelityModel.cold(noise.digest)
        self._fidelities[outcome.key] = model.on(noise.digest).observe(given, seen, ended, outcome.promised_fidelity)

    def dump(self) -> str:
        """Return what was learned as a text that fits into a ConfigMap."""
        states = self._runs | self._memories
        states |= {Key("wait", key): model.state for key, model in self._waits.items()}
        states |= {Key("fidelity", key, model.calibration): model.state for key, model in self._fidelities.items()}
        return dump(states)

    def load(self, text: str) -> tuple[str, ...]:
        """Take what ``dump`` gave, and return sentences about what could not be read."""
        loaded = load(text)
        for key, state in loaded.states.items():
            if key.kind == "seconds":
                self._runs[key] = state
            elif key.kind == "bytes":
                self._memories[key] = state
            elif key.kind == "wait":
                self._waits[key.backend] = replace(QueueModel.cold(shared=False), state=state)
            elif key.kind == "fidelity":
                self._fidelities[key.backend] = FidelityModel(key.method, state)
        return loaded.complaints

    def _run_model(self, key: str, method: str, figures: Figures) -> RunTimeModel:
        known = self._runs.get(Key("seconds", key, method))
        return RunTimeModel.cold(method, figures) if known is None else RunTimeModel(method, known, figures)

    def _memory_model(self, key: str, method: str, figures: Figures) -> MemoryModel:
        known = self._memories.get(Key("bytes", key, method))
        return MemoryModel.cold(method, figures) if known is None else MemoryModel(method, known, figures)

    def _wait_model(self, key: str, *, shared: bool) -> QueueModel:
        cold = QueueModel.cold(shared=shared)
        known = self._waits.get(key)
        return cold if known is None else replace(cold, state=known.state)

    def _method(self, asked: ForecastRequest, offer: BackendOffer) -> str:
        """Return the method that the engine will use: what it used before, or what its own rules come to."""
        if offer.method != "Automatic":
            return offer.method
        known = self._methods.get((offer.key, asked.circuit.digest))
        return known or _likely_method(asked.circuit.analysis, offer)


def _device(noise: Noise, asked: ForecastRequest) -> Calibration:
    """Return a device of the noise: where it is told by rates, one as wide as the circuit."""
    return noise if isinstance(noise, Calibration) else noise.calibration(asked.circuit.analysis.num_qubits)


def _layout(asked: ForecastRequest, offer: BackendOffer) -> Layout | None:
    """Return where the circuit will lie on the backend's device, as ``circuits.mapper`` lays it out.

    None: where it lies best, or anywhere on a device of rates.
    """
    device, analysis = offer.noise, asked.circuit.analysis
    if not isinstance(device, Calibration):
        return None
    if asked.circuit.layout is not None:
        return asked.circuit.layout
    if analysis.num_qubits == device.num_qubits:
        names = {name for name, _ in analysis.operations} - STRUCTURE
        coupled = all((a, b) in device.coupled or (b, a) in device.coupled for a, b in asked.circuit.pairs)
        if names <= set(device.basis_gates) and coupled and device.working.issuperset(asked.circuit.used):
            return Layout.trivial(device.num_qubits, routing=False)
    return Layout.trivial(analysis.num_qubits) if offer.keeps_layouts else None


def _likely_method(analysis: Analysis, offer: BackendOffer) -> str:
    if analysis.clifford and analysis.num_qubits > offer.figures.narrow_clifford_qubits:
        return "Stabilizer"
    fits = offer.memory_bytes is None or analysis.statevector_bytes <= offer.memory_bytes
    return "Statevector" if fits else "MatrixProductState"


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
