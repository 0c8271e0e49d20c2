"""The ways on which a program reaches an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import urllib3
from qiskit import QuantumCircuit

from qonverge.api import HybridJob
from qonverge.backend.config import EngineConfig
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import CheckedCircuit, check
from qonverge.client import EstimatorV2, QonvergeBackend, SamplerV2
from qonverge.client.errors import TaskFailed
from qonverge.client.transport.connect import Runner
from qonverge.client.transport.embedded import Embedded
from qonverge.programs import circuit as circuits
from tests.differential.answers import Answer, Inexpressible, Refused
from tests.differential.openqasm import Spelling, openqasm
from tests.differential.program import Bits, Case, Counts, Program
from tests.differential.qiskit_circuits import qiskit_circuit

GIB = 1024**3
ENGINES: Mapping[str, tuple[str, str]] = {
    "Automatic": ("Automatic", "Automatic"),
    "Aer": ("Aer", "Automatic"),
    "Aer/Statevector": ("Aer", "Statevector"),
    "Aer/DensityMatrix": ("Aer", "DensityMatrix"),
    "Aer/MatrixProductState": ("Aer", "MatrixProductState"),
    "Aer/Stabilizer": ("Aer", "Stabilizer"),
    "Stim": ("Stim", "Automatic"),
    "BraketLocal/Statevector": ("BraketLocal", "Statevector"),
    "BraketLocal/DensityMatrix": ("BraketLocal", "DensityMatrix"),
}
"""Engine and method, as a backend's specification names them."""


def embedded(name: str, **config: Any) -> Embedded:
    """Return an engine in this process."""
    provider, method = ENGINES[name]
    return Embedded(EngineConfig(provider=provider, method=method, memory_bytes=2 * GIB, **config))


def texts(runner: Embedded, case: Case, spelling: Spelling) -> Answer:
    """Run OpenQASM as a circuit job does, without processes between."""
    job = HybridJob.model_validate(manifest(case, spelling))
    circuit = job.spec.program.circuit
    assert circuit is not None
    assert circuit.openqasm is not None
    checked = _checked(circuit.openqasm, json.dumps([circuit.parameters, circuit.observables]))
    if isinstance(checked, Refused):
        raise checked
    try:
        result = runner.run(circuits.task(job, checked, "text"))
    except TaskFailed as error:
        raise Refused(error.code, str(error)) from None
    return of_status(case.program, circuits.outcome(job, result).model_dump(by_alias=True, exclude_none=True))


@lru_cache(4)
def _checked(text: str, rest: str) -> CheckedCircuit | Refused:
    """Read a text once for all engines, since that takes longer than the rest; ``rest`` is JSON, as a key."""
    parameters, observables = json.loads(rest)
    try:
        return check(text, parameters, observables)
    except InvalidProgram as error:
        return Refused("InvalidProgram", str(error))


def manifest(case: Case, spelling: Spelling, name: str = "case") -> dict[str, Any]:
    """Return the job of a case with one parameter set."""
    (values,) = case.sets
    circuit: dict[str, Any] = {"openqasm": openqasm(case.program, spelling)}
    if case.program.parameters:
        circuit["parameters"] = dict(values)
    spec: dict[str, Any] = {"program": {"circuit": circuit}, "seed": case.seed}
    if isinstance(case.wanted, Counts):
        spec["shots"] = case.wanted.shots
    else:
        circuit["observables"] = [
            terms[0][0] if len(terms) == 1 and terms[0][1] == 1 else dict(terms) for terms in case.wanted.observables
        ]
        if case.wanted.shots is not None:
            spec["shots"] = case.wanted.shots
        if case.wanted.precision is not None:
            spec["precision"] = case.wanted.precision
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": name}, "spec": spec}


def of_status(program: Program, result: Mapping[str, Any]) -> Answer:
    """Return the answer in a job's ``status.result``."""
    if "counts" in result:
        return Answer((keyed(program, result["counts"]),))
    return Answer(
        values=np.array([result["expectationValues"]]),
        errors=np.array([result["standardErrors"]]),
        shots=result.get("shots"),
    )


def keyed(program: Program, counts: Mapping[str, int]) -> dict[Bits, int]:
    """Return counts by the values of all bits; the keys must be what the documentation promises."""
    widths = [register.width for register in reversed(program.bits)]
    found: dict[Bits, int] = {}
    for key, times in counts.items():
        assert [len(part) for part in key.split(" ")] == widths, f"the outcome {key!r} has not the parts {widths}"
        found[tuple(int(bit) for bit in reversed(key.replace(" ", "")))] = times
    return found


def sampled(runner: Runner, case: Case, _: Spelling) -> Answer:
    """Run Qiskit's circuit by the primitive that fits."""
    circuit = qiskit_circuit(case.program)
    names = [parameter.name for parameter in circuit.parameters]
    arrays = np.array([[values[name] for name in names] for values in case.sets])
    bindings = {tuple(names): arrays} if names else None
    try:
        if isinstance(case.wanted, Counts):
            data = SamplerV2(runner, seed=case.seed).run([(circuit, bindings, case.wanted.shots)]).result()[0].data
            return Answer(_joined(case.program, data, len(case.sets) if names else 1))
        observables = [dict(terms) for terms in case.wanted.observables]
        estimator = EstimatorV2(runner, seed=case.seed)
        if case.wanted.shots is not None:
            raise Inexpressible("EstimatorV2 takes a precision")
        pub = (circuit, [observables], None if bindings is None else {tuple(names): arrays[:, None, :]})
        found = estimator.run([pub], precision=case.wanted.precision).result()[0]
    except TaskFailed as error:
        raise Refused(error.code, str(error)) from None
    shape = (len(case.sets) if names else 1, len(observables))
    return Answer(
        values=np.asarray(found.data.evs).reshape(shape),
        errors=np.asarray(found.data.stds).reshape(shape),
        shots=found.metadata["shots"],
    )


def _joined(program: Program, data: Any, sets: int) -> tuple[dict[Bits, int], ...]:
    """Return counts of all registers together, which Qiskit gives each for itself, shot by shot."""
    found = []
    for index in range(sets):
        counts: dict[Bits, int] = {}
        columns = []
        for register in program.bits:
            bits = data[register.name]
            own = bits[index] if bits.shape else bits
            rows = own.to_bool_array(order="little").astype(int)
            assert rows.shape[-1] == register.width
            columns.append(rows.reshape(-1, register.width))
        for shot in np.concatenate(columns, axis=1).tolist():
            counts[tuple(shot)] = counts.get(tuple(shot), 0) + 1
        found.append(counts)
    return tuple(found)


def _bound(circuit: QuantumCircuit, values: Mapping[str, float]) -> QuantumCircuit:
    """Return Qiskit's circuit with values, as a person binds them before ``run``."""
    try:
        return circuit.assign_parameters({parameter: values[parameter.name] for parameter in circuit.parameters})
    except BaseException as error:
        # A defect of Qiskit 2's table of parameters, which ends in a panic of its compiled part.
        if type(error).__name__ == "PanicException":
            raise Inexpressible("Qiskit cannot bind its parameters") from None
        raise


def through_backend(runner: Runner, case: Case, _: Spelling) -> Answer:
    """Run Qiskit's circuit by ``backend.run``."""
    if not isinstance(case.wanted, Counts):
        raise Inexpressible("backend.run gives counts")
    circuit = qiskit_circuit(case.program)
    bound = []
    for values in case.sets:
        bound.append(_bound(circuit, values))
    try:
        job = QonvergeBackend(runner).run(bound, shots=case.wanted.shots, seed_simulator=case.seed)
        found = job.result()
    except TaskFailed as error:
        raise Refused(error.code, str(error)) from None
    return Answer(tuple(keyed(case.program, found.get_counts(index)) for index in range(len(bound))))


def posted(url: str, case: Case, spelling: Spelling) -> Answer:
    """Send OpenQASM in JSON to a server."""
    pub: dict[str, Any] = {"openqasm": openqasm(case.program, spelling)}
    if names := case.program.parameters:
        pub["parameters"] = {name: [values[name] for values in case.sets] for name in names}
    if isinstance(case.wanted, Counts):
        pub["shots"] = case.wanted.shots
    else:
        pub["observables"] = [dict(terms) for terms in case.wanted.observables]
        pub |= {"shots": case.wanted.shots} if case.wanted.shots is not None else {}
        pub |= {"precision": case.wanted.precision} if case.wanted.precision is not None else {}
    reply = urllib3.request(
        "POST",
        f"{url}/v1/tasks?wait=60",
        body=json.dumps({"pubs": [pub], "seed": case.seed}),
        headers={"content-type": "application/json"},
        timeout=120,
    ).json()
    if (error := reply.get("error")) is not None:
        raise Refused(error["code"], error["message"])
    (found,) = reply["results"]
    if isinstance(case.wanted, Counts):
        return Answer(tuple(keyed(case.program, counts) for counts in found["counts"]))
    return Answer(
        values=np.array(found["expectation_values"]), errors=np.array(found["standard_errors"]), shots=found["shots"]
    )
