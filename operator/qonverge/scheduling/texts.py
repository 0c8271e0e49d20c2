"""The sentences that say why, with the numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qonverge.amounts import Amounts, Quota, format_bytes
from qonverge.api.backend import OFFERS_LABEL
from qonverge.providers.descriptor import STATE_POWER
from qonverge.scheduling.model import Backend, Candidate, Job, Needs
from qonverge.scheduling.terms import Table, Verdict

_NAMED = 4
"""Rejections that a sentence names one by one; further ones are counted by their kind."""
_MOST_MEMORY = 64 * 1024**4
"""Bytes: no machine has more, so that nobody is told to get one."""
_KINDS = {
    Verdict.ACCESS: "not reachable",
    Verdict.QUBITS: "too few qubits",
    Verdict.SHOTS: "too few shots",
    Verdict.SLOTS: "too few workers",
    Verdict.FEATURES: "lacking features",
    Verdict.MEMORY: "too little memory",
    Verdict.SIZE_AWAITED: "without their larger pods yet",
    Verdict.TIER: "of another tier",
    Verdict.REGION: "in another region",
    Verdict.CURRENCY: "priced in another currency",
    Verdict.BUDGET: "beyond the budget",
    Verdict.TOO_LATE: "too slow for the deadline",
    Verdict.NOT_SERVING: "not ready",
    Verdict.CALIBRATION: "with stale calibration",
    Verdict.FIDELITY: "below the least fidelity",
    Verdict.NO_FIDELITY: "without a forecast of fidelity",
    Verdict.LATENCY: "too far away",
    Verdict.NO_LATENCY: "of unknown latency",
    Verdict.NO_COST: "of unknown cost",
    Verdict.QUOTA: "beyond the quota",
    Verdict.FULL: "full",
    Verdict.WAIT: "with too long a wait",
    Verdict.DEADLINE: "too busy for the deadline",
    Verdict.NOT_SELECTED: "not reachable",
    Verdict.MISFIT: "on which the circuit can't lie",
    Verdict.OUT_OF_ORDER: "on which the circuit can't lie now",
    Verdict.TWO_QUBIT_ERROR: "with too large an error of two-qubit gates",
    Verdict.READOUT_ERROR: "with too large an error of readout",
}


_SAY_PRICE = "its owner can say one in the backend's spec.pricing"
_STATES = {"DensityMatrix": "density matrix", "Stabilizer": "stabilizer tableau"}
_FEATURES = {
    "NonClifford": "gates beyond Clifford ones",
    "MidCircuit": "measurements before the end",
    "ControlFlow": "conditions and loops",
    "Exact": "exact values",
}


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a rejection's sentence needs of the table, for one pair."""

    verdict: Verdict
    fidelity: float
    run: float
    cost: float
    wait: float
    run_most: float
    cost_most: float
    way: float


class Rejections(Mapping[str, str]):
    """Why not, by backend; a sentence is made when somebody reads it, since rounds have a million of them."""

    __slots__ = ("_backends", "_cells", "_job", "_now", "_quota", "_verdicts")

    def __init__(
        self, job: Job, backends: Sequence[Backend], table: Table, row: int, now: float, quota: Quota | None
    ) -> None:
        """Keep what the sentences of one row of the table need."""
        self._job = job
        self._quota = quota
        self._now = now
        self._backends = backends
        self._verdicts = table.verdicts[row].copy()
        # Copies, so that a decision that is kept does not keep the whole table.
        figures = (table.fidelity, table.run, table.cost, table.wait, table.run_most, table.cost_most, table.way)
        self._cells = np.stack([figure[row] for figure in figures])

    def __getitem__(self, label: str) -> str:
        """Return why not this backend."""
        for name, backend, forecast in self._rejected():
            if name == label:
                return why_not(self._job, backend, forecast, self._now, self._quota)
        raise KeyError(label)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the rejected backends."""
        return (label for label, _, _ in self._rejected())

    def __len__(self) -> int:
        """Return how many were rejected."""
        return int((self._verdicts > Verdict.NOT_MEANT).sum())

    def __repr__(self) -> str:
        """Return the form of a dict."""
        return repr(dict(self))

    def _rejected(self) -> Iterator[tuple[str, Backend, Forecast]]:
        for column in (self._verdicts > Verdict.NOT_MEANT).nonzero()[0].tolist():
            backend = self._backends[column]
            forecast = Forecast(Verdict(int(self._verdicts[column])), *self._cells[:, column].tolist())
            yield backend.label_for(self._job.namespace), backend, forecast

    @property
    def hopeless(self) -> bool:
        """Whether no waiting helps with any of them."""
        return all(forecast.verdict <= Verdict.NEVER for _, _, forecast in self._rejected())

    @property
    def over_budget(self) -> bool:
        """Whether a larger budget may help with one of them."""
        return bool((self._verdicts == Verdict.BUDGET).any())

    def summary(self) -> str:
        """Return the reasons in one line: the first few as they are, the others counted by kind."""
        pairs = sorted(self._rejected(), key=lambda pair: pair[0])
        named = pairs if len(pairs) <= _NAMED + 1 else pairs[:_NAMED]
        texts = [why_not(self._job, backend, forecast, self._now, self._quota) for _, backend, forecast in named]
        kinds = Counter(_KINDS[forecast.verdict] for _, _, forecast in pairs[len(named) :])
        texts += [f"{count} more {kind}" for kind, count in kinds.most_common()]
        return "; ".join(texts)

    def _lacking(self, pairs: Sequence[tuple[Backend, Forecast]]) -> frozenset[str]:
        """Return the features that a backend lacks, of the one that lacks fewest."""
        wanted = self._job.needs.features if self._job.needs else frozenset[str]()
        lacking = [wanted - (b.features or wanted) for b, f in pairs if f.verdict == Verdict.FEATURES]
        return min(lacking, key=lambda names: (len(names), sorted(names)), default=frozenset())

    def remedy(self) -> str:
        """Return what would make an impossible job possible: the smallest step for each kind of term."""
        steps: dict[Verdict, str] = {}
        job = self._job
        pairs = [(backend, forecast) for _, backend, forecast in self._rejected()]
        sizes = [b.max_qubits for b, f in pairs if f.verdict == Verdict.QUBITS and b.max_qubits is not None]
        if sizes and job.needs:
            steps[Verdict.QUBITS] = f"a circuit of at most {max(sizes)} qubits"
        limits = [b.max_shots for b, f in pairs if f.verdict == Verdict.SHOTS and b.max_shots is not None]
        if limits:
            steps[Verdict.SHOTS] = f"at most {max(limits)} shots"
        memories = [_state_bytes(job.needs, b) for b, f in pairs if f.verdict == Verdict.MEMORY and job.needs]
        if memories:
            least = min(memories)
            larger = f"a backend with {format_bytes(least)} for a circuit" if least <= _MOST_MEMORY else "fewer qubits"
            steps[Verdict.MEMORY] = larger + _instead(job.needs)
        costs = [(f.cost_most, b.currency) for b, f in pairs if f.verdict == Verdict.BUDGET]
        if costs:
            known = [(cost, currency) for cost, currency in costs if not math.isnan(cost)]
            steps[Verdict.BUDGET] = "a budget of at least {:.2f} {}".format(*min(known)) if known else "a larger budget"
        runs = [f.run for _, f in pairs if f.verdict == Verdict.TOO_LATE]
        if runs and job.deadline is not None:
            steps[Verdict.TOO_LATE] = f"a deadline at least {duration(self._now + min(runs) - job.deadline)} later"
        others = {
            Verdict.ACCESS: f"access for namespace {job.namespace}",
            Verdict.SLOTS: "a backend with more workers",
            Verdict.FEATURES: f"a backend with {_spelled(self._lacking(pairs))}",
            Verdict.TIER: "leave for another tier",
            Verdict.REGION: "leave for another region",
            Verdict.CURRENCY: "a budget in the backend's currency",
            Verdict.MISFIT: "another layout or a narrower circuit",
        }
        there = {forecast.verdict for _, forecast in pairs}
        steps |= {verdict: text for verdict, text in others.items() if verdict in there}
        return " or ".join(steps.values())


def why_not(job: Job, backend: Backend, forecast: Forecast, now: float, quota: Quota | None) -> str:
    """Return why the job can't go to the backend, or can't now."""
    name = backend.label_for(job.namespace)
    if forecast.verdict == Verdict.QUOTA:
        return f"{name} would exceed what is left of the quota of namespace {job.namespace}" + (
            _beyond(job, backend, forecast, quota) if quota is not None else ""
        )
    sentence = (
        _of_circuit(name, job.needs, backend, forecast)
        or _of_device(name, job, backend, forecast)
        or _of_placement(name, job, backend, forecast, now)
        or _at_present(name, job, backend, forecast, now)
    )
    assert sentence is not None, f"{forecast.verdict!r} has no sentence"
    return sentence


def _of_circuit(name: str, needs: Needs | None, backend: Backend, forecast: Forecast) -> str | None:
    if needs is None:
        return None
    match forecast.verdict:
        case Verdict.QUBITS:
            return f"{name} takes {backend.max_qubits} qubits and the circuit has {needs.num_qubits}"
        case Verdict.SHOTS:
            return f"{name} takes {backend.max_shots} shots and the job asks for {needs.shots}"
        case Verdict.SLOTS:
            return f"{name} has {max(1, backend.workers)} workers and the job takes {needs.slots} at once"
        case Verdict.FEATURES:
            return f"{name} has no {_spelled(needs.features - (backend.features or frozenset()))}"
        case Verdict.MEMORY | Verdict.SIZE_AWAITED:
            kind = _STATES.get(backend.method, "statevector")
            more = "; its next larger size is not there yet" if forecast.verdict == Verdict.SIZE_AWAITED else ""
            return (
                f"{name} has {format_bytes(backend.memory_bytes or 0)} for a circuit and a {kind} of "
                f"{needs.num_qubits} qubits needs {format_bytes(_state_bytes(needs, backend))}{more}"
            )
    return None


def _of_device(name: str, job: Job, backend: Backend, forecast: Forecast) -> str | None:
    match forecast.verdict:
        case Verdict.MISFIT | Verdict.OUT_OF_ORDER:
            return f"{name} can't run the circuit: {job.misfits[backend.key].reason}"
        case Verdict.TWO_QUBIT_ERROR:
            return _errs(name, "two-qubit", backend.two_qubit_error, job.terms.max_two_qubit_error or 0.0)
        case Verdict.READOUT_ERROR:
            return _errs(name, "readout", backend.readout_error, job.terms.max_readout_error or 0.0)
    return None


def _of_placement(name: str, job: Job, backend: Backend, forecast: Forecast, now: float) -> str | None:
    terms = job.terms
    match forecast.verdict:
        case Verdict.ACCESS:
            return f"{name} does not admit jobs from namespace {job.namespace} (spec.access.namespaces.from is Same)"
        case Verdict.TIER:
            return f"{name}'s tier is {backend.tier or 'unknown'} and the job allows {_listed(terms.tiers)}"
        case Verdict.REGION:
            return f"{name} is in {backend.region or 'no region'} and the job's data stays in {_listed(terms.regions)}"
        case Verdict.CURRENCY if job.budget:
            return f"{name} is priced in {backend.currency} and the budget is in {job.budget.currency}"
        case Verdict.BUDGET:
            return _over_budget(name, job, backend, forecast)
        case Verdict.TOO_LATE if job.deadline is not None:
            left = job.deadline - now
            if left <= 0:
                return f"{name} can't meet a deadline that passed {duration(-left)} ago"
            return f"{name} needs {duration(forecast.run)} and the deadline is in {duration(left)}"
        case Verdict.FIDELITY:
            return f"{name}'s forecast fidelity {_below(forecast.fidelity, terms.min_fidelity or 0.0)}"
        case Verdict.NO_FIDELITY:
            return f"{name} has no forecast of fidelity yet and the job asks for {terms.min_fidelity:.4g}"
        case Verdict.LATENCY:
            return f"{name} is {forecast.way:.3g} s away and the job allows {terms.max_latency_seconds:.3g} s"
        case Verdict.NO_LATENCY:
            return f"{name}'s latency is not measured yet and the job allows {terms.max_latency_seconds:.3g} s"
        case Verdict.NO_COST:
            return f"{name} has no forecast of cost yet and the budget has {job.budget}" + (
                f": its tasks are paid for and no price is known, {_SAY_PRICE}" if backend.unpriced else ""
            )
    return None


def _over_budget(name: str, job: Job, backend: Backend, forecast: Forecast) -> str:
    if math.isnan(forecast.cost_most):
        # What a program will cost is not known.
        return f"{name} is not free and nothing is left of the budget"
    return f"{name} would cost up to {forecast.cost_most:.2f} {backend.currency} and the budget has {job.budget}"


def _at_present(name: str, job: Job, backend: Backend, forecast: Forecast, now: float) -> str | None:
    match forecast.verdict:
        case Verdict.NOT_SERVING:
            return f"{name} is not ready: {backend.not_serving_reason or 'no pod serves'}"
        case Verdict.CALIBRATION:
            return f"{name}'s calibration is not to be trusted: {backend.calibration_stale_reason}"
        case Verdict.NOT_SELECTED if backend.offer_withheld:
            return (
                f"{name} does not admit jobs from namespace {job.namespace}: backends of namespace {backend.namespace} "
                f"may not serve others, it lacks the label {OFFERS_LABEL}=true"
            )
        case Verdict.NOT_SELECTED:
            return (
                f"{name} does not admit jobs from namespace {job.namespace}, whose labels its selector does not match"
            )
        case Verdict.FULL:
            return f"{name}'s queue is full"
        case Verdict.WAIT:
            return f"{name}'s wait of {duration(forecast.wait)} is beyond {duration(job.terms.max_wait_seconds or 0.0)}"
        case Verdict.DEADLINE if job.deadline is not None:
            ready = duration(forecast.wait + forecast.run)
            return f"{name} would be done in {ready} and the deadline is in {duration(job.deadline - now)}"
    return None


def _beyond(job: Job, backend: Backend, forecast: Forecast, quota: Quota) -> str:
    """Return the first limit that is too low, and what the job takes of it at most."""
    shots, workers = (job.needs.charged_shots, job.needs.slots) if job.needs else (1, 1)
    seconds = forecast.run_most * workers
    exceeded = quota.exceeded_by(Amounts(shots, seconds, jobs=1))
    if "jobs" in exceeded:
        return ": as many jobs as it allows are under way"
    if "shots" in exceeded:
        return f": it has {quota.shots} shots and the job takes {shots}"
    if "seconds" in exceeded:
        return f": it has {quota.seconds:.3g} s and the job takes up to {seconds:.3g} s"
    if quota.cost is not None and backend.unpriced:
        return f": it has {quota.cost}, tasks there are paid for and no price is known: {_SAY_PRICE}"
    if quota.cost is not None and math.isnan(forecast.cost):
        return f": it has {quota.cost} and what the job costs is not known"
    if quota.cost is not None:
        return f": it has {quota.cost} and the job takes up to {forecast.cost_most:.2f} {backend.currency}"
    return ""


def _state_bytes(needs: Needs, backend: Backend) -> int:
    if backend.method == "Stabilizer":
        return needs.num_qubits**2 // 2
    size: int = 16 * (needs.statevector_bytes // 16) ** STATE_POWER.get(backend.method, 1)
    return size * backend.state_copies


def _instead(needs: Needs | None) -> str:
    """Return what else may hold the circuit's state: the bound on its entanglement is not always near."""
    mixed = needs is not None and {"Exact", "MidCircuit"} <= needs.features
    if needs is None or needs.clifford or mixed:
        return ""
    return ", or a backend with the method MatrixProductState if the circuit entangles little"


def numbers(candidate: Candidate, backend: Backend) -> str:
    """Return what is known of a candidate, such as ``fidelity 0.91, wait 42 s, run 3 s, cost 1.20 USD, 40 J``."""
    known = [_fidelity(candidate.fidelity, backend)]
    known += [f"wait {duration(candidate.wait_seconds)}"] if candidate.wait_seconds > 0 else []
    known += [f"run {duration(candidate.run_seconds)}"] if candidate.run_seconds is not None else []
    known += [f"cost {candidate.cost:.2f} {backend.currency}"] if candidate.cost else []
    known += [joules(candidate.energy_joules)] if candidate.energy_joules is not None else []
    return ", ".join(known)


def _fidelity(forecast: float | None, backend: Backend) -> str:
    """Return the forecast fidelity, or the errors by which backends are in order where there is none."""
    if forecast is not None:
        return f"fidelity {forecast:.3g}"
    errors = (("two-qubit", backend.two_qubit_error), ("readout", backend.readout_error))
    known = " and ".join(f"{kind} error {error:.2g}" for kind, error in errors if error is not None)
    return f"fidelity not known ({known})" if known else "fidelity not known"


def joules(amount: float) -> str:
    """Return an energy for people, such as ``40 J`` or ``2.5 kJ``."""
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)):
        if amount >= size:
            return f"{amount / size:.3g} {prefix}J"
    return f"{amount * 1000:.3g} mJ"


def duration(seconds: float) -> str:
    """Return a time for people, such as ``42 s``, ``3.5 min`` or ``2.1 h``."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def _below(value: float, limit: float) -> str:
    """Return that a value is below a limit, with as many digits as tell them apart."""
    digits = next((n for n in range(2, 7) if float(f"{value:.{n}g}") < limit), 7)
    return f"{value:.{digits}g} is below {limit:.6g}"


def _errs(name: str, kind: str, value: float | None, limit: float) -> str:
    if value is None:
        return f"{name}'s {kind} error is not known and the job allows {limit:.6g}"
    digits = next((n for n in range(2, 7) if float(f"{value:.{n}g}") > limit), 7)
    return f"{name}'s median {kind} error {value:.{digits}g} is above {limit:.6g}"


def _listed(names: frozenset[Any]) -> str:
    return ", ".join(sorted(names))


def _spelled(features: frozenset[str]) -> str:
    return ", ".join(_FEATURES.get(name, name) for name in sorted(features))
