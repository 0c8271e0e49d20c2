"""Circuit jobs: the task that a job becomes, and what its result means."""

from __future__ import annotations

import hashlib

import numpy as np

from qonverge import __version__
from qonverge.api import HybridJob
from qonverge.api.job import Provenance, Result
from qonverge.circuits.checked import CheckedCircuit
from qonverge.scheduling import Needs
from qonverge.scheduling.model import Job
from qonverge.wire.errors import WireError
from qonverge.wire.messages import Pub, Task, TaskResult

DEFAULT_SHOTS = 1024
# Reasons of failure, by the wire's codes; others keep their code.
_REASONS = {"InvalidCircuit": "InvalidProgram", "InvalidTask": "InvalidProgram"}


def contradiction(job: HybridJob) -> str | None:
    """Return what is wrong with the job as a whole that no schema can say: CEL does not see observables."""
    circuit = job.spec.program.circuit
    if job.spec.precision is not None and circuit is not None and not circuit.observables:
        return "precision is about expectation values: give program.circuit.observables, or use shots for counts"
    return None


def needs(job: HybridJob, circuit: CheckedCircuit) -> Needs:
    """Return what the job's circuit asks of a backend."""
    analysis = circuit.analysis
    shots = job.spec.shots or (0 if circuit.observables else DEFAULT_SHOTS)
    return Needs(analysis.num_qubits, shots, analysis.clifford, analysis.statevector_bytes, analysis.compact_bytes)


def waiting(job: HybridJob, created: float, wanted: Needs | None) -> Job:
    """Return the job as placement sees it."""
    reference = job.spec.backend
    return Job(
        key=f"{job.metadata.namespace}/{job.metadata.name}",
        namespace=job.metadata.namespace,
        created=created,
        needs=wanted,
        backend_name=reference.name if reference else None,
        backend_namespace=reference.namespace if reference else None,
        backend_selector=reference.selector if reference else None,
    )


def task(job: HybridJob, circuit: CheckedCircuit, identity: str, *, send_circuit: bool = True) -> Task:
    """Return the task that runs the job."""
    given = job.spec.program.circuit
    assert given is not None
    shots = job.spec.shots if circuit.observables else job.spec.shots or DEFAULT_SHOTS
    parameters = {name: np.array([value]) for name, value in given.parameters.items()}
    pub = Pub(circuit.digest, parameters, shots, job.spec.precision, circuit.observables)
    sent = {circuit.digest: circuit.qpy} if send_circuit else {}
    return Task(identity, (pub,), sent, job.spec.seed, namespace=job.metadata.namespace)


def outcome(result: TaskResult) -> Result:
    """Return the result as the status shows it."""
    (pub,) = result.results
    if pub.expectation_values is not None and pub.standard_errors is not None:
        return Result(
            expectation_values=pub.expectation_values.ravel().tolist(),
            standard_errors=pub.standard_errors.ravel().tolist(),
            shots=pub.shots,
        )
    (counts,) = pub.counts
    return Result(counts=dict(sorted(counts.items())), shots=pub.shots)


def provenance(text: str, result: TaskResult) -> Provenance:
    """Return where the result comes from."""
    chosen = result.results[0].engine if result.results else ""
    return Provenance(
        program_digest=program_digest(text),
        qonverge_version=__version__,
        engine=chosen or result.engine or None,
        method=result.results[0].method if result.results else None,
        method_reason=(result.results[0].reason or None) if result.results else None,
        seed=result.seed,
        calibration=result.calibration or None,
        cached=result.cached or None,
    )


def program_digest(text: str) -> str:
    """Return the SHA-256 of a program's text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def failure_reason(error: WireError) -> str:
    """Return the status's reason for an error of the backend."""
    return _REASONS.get(error.code, error.code)
