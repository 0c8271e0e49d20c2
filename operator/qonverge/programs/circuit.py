"""Circuit jobs: the task that a job becomes, and what its result means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from qonverge import __version__
from qonverge.accounting.conversion import amounts_of
from qonverge.amounts import Amounts, Money, Prices, TaskLimits
from qonverge.api import HybridJob
from qonverge.api.base import ConfigMapKeyRef
from qonverge.api.job_status import Provenance, Result
from qonverge.api.program import Circuit
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS, runs, tasks_for
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.forecast.features import Work
from qonverge.forecast.requests import ForecastRequest
from qonverge.programs import sweep as sweeps
from qonverge.programs.parameters import with_program
from qonverge.programs.source import Program, decoded, digest
from qonverge.scheduling import Needs
from qonverge.wire.errors import OutcomeUnknown, WireError
from qonverge.wire.messages import Pub, Task, TaskResult
from qonverge.wire.vendor import charged_tasks, corrected

_PART_SEED = 15_485_863
_COUNT_BYTES = 5
_PARAMETER_BYTES = 8
_VALUE_BYTES = 18
"""Of a count beside its outcome, which is a text, and of an expectation value with its error."""
# Reasons of failure, by the wire's codes; others keep their code.
_REASONS = {"InvalidCircuit": "InvalidProgram", "InvalidTask": "InvalidProgram"}


class CircuitKind:
    """A circuit, which the operator hands to a backend as a task: it needs no pod of its own."""

    name = "circuit"
    calls_backends = False
    numeric_parameters = True

    def given_parameters(self, job: HybridJob) -> dict[str, str]:
        """Return those of the circuit, and those that its sweep varies."""
        swept = () if job.spec.program.sweep is None else job.spec.program.sweep.names
        return {**dict.fromkeys(_circuit(job).parameters, "the job itself"), **dict.fromkeys(swept, "its sweep")}

    def with_parameters(self, job: HybridJob, values: Mapping[str, Any]) -> HybridJob:
        """Return the job with further values in its circuit."""
        circuit = _circuit(job)
        changed = circuit.model_copy(update={"parameters": {**circuit.parameters, **values}})
        return with_program(job, circuit=changed)

    def embedded(self, job: HybridJob) -> str | None:
        """Return the OpenQASM text, or QPY in base64."""
        circuit = _circuit(job)
        return circuit.openqasm or circuit.qpy

    def inline(self, job: HybridJob) -> Program | None:
        """Return OpenQASM text or QPY.

        Raises:
            InvalidProgram: QPY is not in base64.
        """
        circuit = _circuit(job)
        return circuit.openqasm if circuit.qpy is None else decoded(circuit.qpy, "qpy")

    def reference(self, job: HybridJob) -> ConfigMapKeyRef | None:
        """Return the key that holds OpenQASM or QPY."""
        return _circuit(job).config_map_key_ref

    def contradiction(self, job: HybridJob) -> str | None:
        """Return what is wrong with the job as a whole: CEL sees neither observables nor what is in parameters."""
        if job.spec.precision is not None and not self.observables(job):
            return "precision is about expectation values: give program.circuit.observables, or use shots for counts"
        if job.spec.program.parameters or job.spec.program.parameter_schema is not None:
            return "spec.program.parameters are a program's: a circuit's are in spec.program.circuit.parameters"
        return None if job.spec.program.sweep is None else sweeps.problem(job.spec.program.sweep)

    async def check(self, job: HybridJob, program: Program, checker: Checker) -> CheckedCircuit:
        """Return the circuit, parsed and analysed.

        Raises:
            InvalidProgram: it is not a circuit that can run.
            CheckerLost: the process that parses it does not start.
        """
        circuit = _circuit(job)
        checked = await checker.check(
            program,
            _first_point(job),
            circuit.observables,
            circuit.given_layout,
            namespace=job.metadata.namespace,
        )
        sweeps.check_free(job.spec.program.sweep, checked)
        return checked

    def summary(self, checked: CheckedCircuit | None) -> str:
        """Return the circuit's size."""
        assert checked is not None
        analysis = checked.analysis
        return (
            f"{analysis.num_qubits} qubits, depth {analysis.depth}, {analysis.two_qubit_gates} two-qubit gates"
            f"{', Clifford' if analysis.clifford else ''}"
        )

    def needs(self, job: HybridJob, checked: CheckedCircuit | None) -> Needs | None:
        """Return what the job's circuit asks of a backend; None while it is not checked."""
        if checked is None:
            return None
        analysis = checked.analysis
        features = {
            "NonClifford": not analysis.clifford,
            "MidCircuit": analysis.mid_circuit,
            "ControlFlow": analysis.control_flow,
            "Exact": bool(checked.observables) and job.spec.shots is None and job.spec.precision is None,
        }
        return Needs(
            analysis.num_qubits,
            _shots(job, checked.observables),
            analysis.clifford,
            analysis.statevector_bytes << (analysis.deferrable_resets if features["Exact"] else 0),
            analysis.compact_bytes,
            frozenset(name for name, wanted in features.items() if wanted),
            all_shots=work(job, checked).all_shots,
            nbytes=_travelling(job, checked),
        )

    def forecast_request(self, job: HybridJob, checked: CheckedCircuit | None) -> ForecastRequest | None:
        """Return what the job asks for, as forecasts see it; None while its circuit is not checked."""
        return None if checked is None else ForecastRequest(checked, _first_point(job), work(job, checked))

    def loop(self, job: HybridJob) -> None:
        """Return None: its tasks are sent for it."""

    def near(self, job: HybridJob) -> None:
        """Return None: it has no pod of its own."""

    def pod(self, job: HybridJob) -> None:
        """Return None: it has no pod of its own."""

    def may_pause(self, job: HybridJob) -> bool:
        """Return False: it has no pod."""
        return False

    def most_seconds(self, job: HybridJob) -> None:
        """Return None: its forecast says more."""

    def most_shots(self, job: HybridJob) -> None:
        """Return None: what it asks for is known."""

    def promised(self, job: HybridJob) -> Amounts:
        """Return what the job used, and what its next task may by its forecast."""
        status = job.status
        used = amounts_of(status.usage)
        there = next((each for each in status.forecast or [] if each.backend == status.backend), None)
        run = 0.0 if there is None or there.run_seconds is None else there.run_seconds.high
        costs: tuple[Money, ...] = ()
        if there is not None and there.cost is not None and there.currency is not None:
            costs = (Money(Decimal(repr(there.cost.high)), there.currency),)
        return used + Amounts(_points(job) * _shots(job, self.observables(job)), run, costs)

    def observables(self, job: HybridJob) -> Sequence[str | dict[str, float]]:
        """Return the observables that expectation values are wanted of; none for counts."""
        return _circuit(job).observables


def _circuit(job: HybridJob) -> Circuit:
    circuit = job.spec.program.circuit
    assert circuit is not None
    return circuit


def _points(job: HybridJob) -> int:
    """Return how many parameter sets the circuit is run with."""
    return sweeps.num_points(job.spec.program.sweep)


def _first_point(job: HybridJob) -> Mapping[str, float]:
    """Return values of all parameters: of a sweep those of its first point."""
    return sweeps.first_point(_circuit(job), job.spec.program.sweep)


def _shots(job: HybridJob, observables: Sequence[object]) -> int:
    """Return how often the circuit runs at each point; 0 where the engine decides."""
    return job.spec.shots or (0 if observables else DEFAULT_SHOTS)


def _travelling(job: HybridJob, checked: CheckedCircuit) -> int:
    """Return the bytes of the circuit, and of its result at most: as many counts as there may be, or values."""
    points = _points(job)
    sent = len(checked.qpy) + points * _PARAMETER_BYTES * len(checked.analysis.parameters)
    if checked.observables:
        return sent + points * _VALUE_BYTES * len(checked.observables)
    bits = checked.analysis.measured_bits
    most = min(_shots(job, checked.observables), 1 << min(bits, 62))
    return sent + points * most * (bits + _COUNT_BYTES)


def task(job: HybridJob, circuit: CheckedCircuit, identity: str, *, shots: int | None = None, part: int = 0) -> Task:
    """Return the task that runs the job, or a part of its shots.

    Args:
        job: the job.
        circuit: its circuit.
        identity: the task's id.
        shots: of this part; None for all.
        part: number of the part: each has a seed of its own, so that they do not repeat each other.
    """
    if shots is None:
        shots = job.spec.shots if circuit.observables else job.spec.shots or DEFAULT_SHOTS
    parameters = sweeps.bindings(_circuit(job), job.spec.program.sweep)
    pub = Pub(circuit.digest, parameters, shots, job.spec.precision, circuit.observables, layout=circuit.layout)
    seed = None if job.spec.seed is None else (job.spec.seed + _PART_SEED * part) % 2**32
    metadata, created = job.metadata, job.metadata.creation_timestamp
    return Task(
        identity,
        (pub,),
        {circuit.digest: circuit.qpy},
        seed,
        namespace=metadata.namespace,
        job=metadata.name,
        since=0.0 if created is None else datetime.fromisoformat(created).timestamp(),
    )


def work(job: HybridJob, circuit: CheckedCircuit) -> Work:
    """Return how often the circuit is run and for what; an engine may group observables into fewer bases."""
    observables = circuit.observables
    groups, shots = runs(observables, job.spec.shots, job.spec.precision)
    terms = sum(len(observable) for observable in observables)
    return Work.of(circuit.analysis, shots, sets=_points(job), terms=terms, bases=groups)


def used(prices: Prices, work: Work, result: TaskResult, limits: TaskLimits) -> Amounts:
    """Return what a task used, at a backend's prices or as its vendor billed it; a cached result costs nothing.

    ``limits``: of one task of the device; a simulator's tasks are not divided.
    """
    if result.cached:
        return Amounts()
    circuits, each = work.sets * work.bases, sum(pub.shots or 0 for pub in result.results)
    failed, run = result.error is not None, result.run_seconds
    if isinstance(result.error, OutcomeUnknown):
        # It may have run, and is not to cost less than it does.
        each, failed = work.shots, False
    shots, tasks = circuits * each, charged_tasks(tasks_for([(circuits, each)], limits), result.vendor_tasks)
    # As in meters of pods, what failed costs its time.
    bill = Amounts(seconds=run) if failed else Amounts(max(circuits, shots), run, tasks=tasks)
    return corrected(replace(prices.bill(bill), shots=shots), result.vendor_tasks, prices)


def merged(results: Sequence[TaskResult]) -> TaskResult:
    """Return the results of a job's parts as one; a part that failed is the whole's failure."""
    first = results[0]
    failed = next((result for result in results if result.error is not None), None)
    if failed is not None or len(results) == 1:
        return failed or first
    pubs = [result.results[0] for result in results]
    shots = [pub.shots or 0 for pub in pubs]
    total = sum(shots)
    counts = []
    for parts in zip(*(pub.counts for pub in pubs), strict=True):
        summed = Counter[str]()
        for own in parts:
            summed.update(own)
        counts.append(dict(summed))
    values = errors = None
    estimates = [pub.expectation_values for pub in pubs if pub.expectation_values is not None]
    deviations = [pub.standard_errors for pub in pubs if pub.standard_errors is not None]
    if len(estimates) == len(deviations) == len(pubs):
        weights = np.array(shots, dtype=np.float64) / total
        values = np.tensordot(weights, np.stack(estimates), 1)
        errors = np.sqrt(np.tensordot(weights**2, np.stack(deviations) ** 2, 1))
    whole = replace(
        pubs[0],
        counts=tuple(counts),
        expectation_values=values,
        standard_errors=errors,
        shots=total,
        # Parts on several devices have no layout in common.
        layout=pubs[0].layout if len({pub.layout for pub in pubs}) == 1 else (),
    )
    return replace(
        first,
        results=(whole,),
        queue_seconds=max(result.queue_seconds for result in results),
        run_seconds=sum(result.run_seconds for result in results),
    )


def outcome(job: HybridJob, result: TaskResult) -> Result:
    """Return the result as the status shows it."""
    (pub,) = result.results
    if job.spec.program.sweep is not None:
        return Result(points=sweeps.points_of(job.spec.program.sweep, pub), shots=pub.shots)
    if pub.expectation_values is not None and pub.standard_errors is not None:
        return Result(
            expectation_values=pub.expectation_values.ravel().tolist(),
            standard_errors=pub.standard_errors.ravel().tolist(),
            shots=pub.shots,
        )
    (counts,) = pub.counts
    return Result(counts=dict(sorted(counts.items())), shots=pub.shots)


def provenance(program: Program, result: TaskResult) -> Provenance:
    """Return where the result comes from."""
    chosen = result.results[0].engine if result.results else ""
    return Provenance(
        program_digest=digest(program),
        qonverge_version=__version__,
        engine=chosen or result.engine or None,
        method=result.results[0].method if result.results else None,
        method_reason=(result.results[0].reason or None) if result.results else None,
        seed=result.seed,
        calibration=result.calibration or None,
        layout=list(result.results[0].layout) or None if result.results else None,
        cached=result.cached or None,
    )


def counts_of(result: TaskResult) -> Mapping[str, int]:
    """Return how often each outcome of a job's circuit was measured, of a sweep at its first point; none for values."""
    return next((counts for pub in result.results for counts in pub.counts), {})


def method_of(result: TaskResult) -> str:
    """Return the method that ran the task, by the API's name."""
    return "".join(word[:1].upper() + word[1:] for word in result.results[0].method.split("_"))


def failure_reason(error: WireError) -> str:
    """Return the status's reason for an error of the backend."""
    return _REASONS.get(error.code, error.code)
