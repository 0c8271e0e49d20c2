"""IBM Quantum: unchanged programs of qiskit-ibm-runtime, as its documentation has them, and the API beneath them."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import ClassicalRegister, Parameter
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.exceptions import IBMRuntimeError, RuntimeJobFailureError, RuntimeJobMaxTimeoutError
from qiskit_ibm_runtime.executor_estimator import Estimator as ClientEstimator
from qiskit_ibm_runtime.executor_sampler import Sampler as ClientSampler

from qonverge_dev_cloud.cloud import DevCloud

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from qiskit_ibm_runtime import EstimatorV2, SamplerV2

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
Start = Callable[..., DevCloud]
EXACT = {"ibm_fez": {"noise": False}}


@pytest.fixture
def exact(start: Start) -> Iterator[DevCloud]:
    yield start(ibm={"backends": EXACT})


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    return circuit


def isa(circuit: QuantumCircuit, backend: Any) -> QuantumCircuit:
    found: QuantumCircuit = generate_preset_pass_manager(1, backend=backend, seed_transpiler=1).run(circuit)
    return found


def ask(method: str, path: str, body: Any = None, *, token: str = "t") -> Any:
    request = urllib.request.Request(
        f"{os.environ['QISKIT_IBM_URL']}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read()
        return json.loads(text) if text else None


def refused(method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(method, path, body, **options)
    return error.value.code, json.load(error.value)["errors"][0]["message"]


def test_the_first_program_of_the_documentation(start: Start) -> None:
    start()
    service = QiskitRuntimeService()
    backend = service.least_busy(operational=True, simulator=False, min_num_qubits=127)
    assert {each.name for each in service.backends()} == {"ibm_fez", "ibm_brisbane"}
    observables = [SparsePauliOp(label) for label in ("IZ", "IX", "ZI", "XI", "ZZ", "XX")]
    circuit = isa(bell(), backend)
    mapped = [each.apply_layout(circuit.layout) for each in observables]
    estimator = EstimatorV2(mode=backend)
    estimator.options.resilience_level = 1
    estimator.options.default_shots = 5000
    job = estimator.run([(circuit, mapped)])
    result = job.result()[0]
    # A pair on a device errs by some percent.
    assert result.data.evs == pytest.approx([0, 0, 0, 0, 1, 1], abs=0.2)
    assert result.data.stds == pytest.approx([1 / np.sqrt(5000)] * 6)
    assert service.job(job.job_id()).inputs["options"]["default_shots"] == 5000


def test_counts_of_a_device_err_as_its_readout_does(start: Start) -> None:
    start()
    backend = QiskitRuntimeService().backend("ibm_fez")
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    placed = generate_preset_pass_manager(0, backend=backend, initial_layout=[7]).run(circuit)
    counts = SamplerV2(mode=backend).run([placed], shots=20_000).result()[0].data.c.get_counts()
    qubit = {each["name"]: each["value"] for each in ask("GET", "/backends/ibm_fez/properties")["qubits"][7]}
    rate = qubit["prob_meas1_prep0"]
    assert counts.get("1", 0) / 20_000 == pytest.approx(rate, abs=5 * np.sqrt(rate / 20_000) + 1e-4)


def test_registers_parameter_sets_and_conditions(exact: DevCloud) -> None:
    backend = QiskitRuntimeService().backend("ibm_fez")
    theta = Parameter("theta")
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "mid"), ClassicalRegister(2, "end"))
    circuit.rx(theta, 0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.cregs[0], 1)):
        circuit.x(2)
    circuit.measure([1, 2], circuit.cregs[1])
    values = np.array([[0.0, np.pi], [np.pi, 0.0]])
    other = bell()
    other.measure_all()
    job = SamplerV2(mode=backend).run([(isa(circuit, backend), values[..., None]), isa(other, backend)], shots=64)
    first, second = job.result()
    assert first.data.mid.shape == (2, 2)
    for index, value in np.ndenumerate(values):
        one = str(int(value > 0))
        assert first.data.mid[index].get_counts() == {one: 64}
        assert first.data.end[index].get_counts() == {f"{one}0": 64}
    assert set(second.data.meas.get_counts()) == {"00", "11"}


@pytest.mark.parametrize("kind", [Session, Batch])
def test_sessions_and_batches(kind: Any, exact: DevCloud) -> None:
    service = QiskitRuntimeService()
    backend = service.backend("ibm_fez")
    ansatz = real_amplitudes(3, reps=1)
    circuit = isa(ansatz, backend)
    hamiltonian = SparsePauliOp.from_list([("ZZI", 1.0), ("IXX", 0.5), ("YIY", -0.25)])
    point = np.linspace(0.1, 2.0, ansatz.num_parameters)
    with kind(backend=backend, max_time=600) as mode:
        job = EstimatorV2(mode=mode).run([(circuit, hamiltonian.apply_layout(circuit.layout), point)], precision=1e-3)
        found = float(job.result()[0].data.evs)
    true = Statevector(ansatz.assign_parameters(point)).expectation_value(hamiltonian).real
    assert found == pytest.approx(true, abs=6e-3)
    assert mode.details()["mode"] == ("dedicated" if kind is Session else "batch")
    assert mode.status() == "Closed"
    assert [each.job_id() for each in service.jobs(session_id=mode.session_id)] == [job.job_id()]
    with pytest.raises(IBMRuntimeError, match="closed"):
        SamplerV2(mode=mode).run([isa(bell().measure_all(inplace=False), backend)])


def test_the_primitives_on_the_caller_s_side(exact: DevCloud) -> None:
    backend = QiskitRuntimeService().backend("ibm_fez")
    circuit = isa(bell(), backend)
    sampler = ClientSampler(mode=backend)
    counts = (
        sampler.run([isa(bell().measure_all(inplace=False), backend)], shots=300).result()[0].data.meas.get_counts()
    )
    assert set(counts) == {"00", "11"}
    estimator = ClientEstimator(mode=backend)
    estimator.options.resilience_level = 0
    job = estimator.run([(circuit, SparsePauliOp("XX").apply_layout(circuit.layout))], precision=0.1)
    assert job.result()[0].data.evs == pytest.approx(1.0)


def test_queue_usage_cancelling_and_limits(start: Start) -> None:
    device = {"noise": False, "queue": {"seconds": 30, "ahead": 3}, "run": {"seconds": 10}, "price": {"perMinute": 60}}
    cloud = start(virtualClock=True, ibm={"backends": {"ibm_fez": device}})
    service = QiskitRuntimeService()
    backend = service.backend("ibm_fez")
    circuit = isa(bell().measure_all(inplace=False), backend)
    sampler = SamplerV2(mode=backend)
    sampler.options.environment.job_tags = ["mine"]
    first, second = (sampler.run([circuit], shots=10) for _ in range(2))
    sampler.options.max_execution_time = 4
    third = sampler.run([circuit], shots=10)
    assert first.status() == "QUEUED"
    assert first.metrics()["position_in_queue"] == 4
    assert backend.status().pending_jobs == 6
    assert first.usage_estimation == {"quantum_seconds": 10}
    second.cancel()
    cloud.advance(31)
    assert (first.status(), second.status()) == ("RUNNING", "CANCELLED")
    cloud.advance(20)
    assert sum(first.result()[0].data.meas.get_counts().values()) == 10
    assert first.usage() == 10
    with pytest.raises(RuntimeJobMaxTimeoutError):
        third.result()
    assert [task["cost"] for task in cloud.tasks()] == [10, 0, 4]
    assert ask("GET", "/instances/usage")["usage_consumed_seconds"] == 14
    assert {each.job_id() for each in service.jobs(job_tags=["mine"])} == {
        each.job_id() for each in (first, second, third)
    }
    assert [each.job_id() for each in service.jobs(limit=1, job_tags=["mine"], descending=False)] == [first.job_id()]


def test_jobs_that_fail_and_faults(start: Start) -> None:
    cloud = start(
        ibm={"backends": {"ibm_fez": {"noise": False, "failing": {"calls": [1], "reason": "the fridge is warm"}}}},
        faults=[{"operation": "CreateJob", "kind": "status", "when": "after", "status": 500, "calls": [2]}],
    )
    backend = QiskitRuntimeService().backend("ibm_fez")
    circuit = isa(bell().measure_all(inplace=False), backend)
    with pytest.raises(RuntimeJobFailureError, match="the fridge is warm"):
        SamplerV2(mode=backend).run([circuit]).result()
    # The SDK repeats what it posts after a 5xx, and so has the job twice.
    SamplerV2(mode=backend).run([circuit], shots=5).result()
    assert len(cloud.tasks()) == 3


def test_maintenance_and_drift(start: Start) -> None:
    device = {"maintenance": [{"start": 10, "end": 20}], "drift": {"seconds": 100, "spread": 0.2}}
    cloud = start(virtualClock=True, ibm={"backends": {"ibm_fez": device}})
    first = ask("GET", "/backends/ibm_fez/properties")
    assert ask("GET", "/backends/ibm_fez/status")["state"]
    cloud.advance(15)
    status = ask("GET", "/backends/ibm_fez/status")
    assert (status["state"], status["status"], status["message"]) == (
        False,
        "maintenance",
        "until 2026-01-01T00:00:20Z",
    )
    assert ask("GET", "/backends/ibm_fez/properties") == first
    cloud.advance(100)
    later = ask("GET", "/backends/ibm_fez/properties")
    assert later["last_update_date"] == "2026-01-01T00:01:40+00:00"
    assert later["qubits"] != first["qubits"]


def test_what_is_refused(exact: DevCloud) -> None:
    assert refused("GET", "/backends", token="") == (401, "the request has no token")
    assert refused("GET", "/jobs/none")[0] == 404
    assert refused("GET", "/backends/ibm_none")[0] == 404
    job = {"program_id": "sampler", "backend": "ibm_fez", "params": {"pubs": []}}
    assert refused("POST", "/jobs", job | {"backend": "ibm_none"})[0] == 400
    assert refused("POST", "/jobs", job | {"program_id": "poet"})[0] == 404
    assert refused("POST", "/jobs", job | {"params": {"pubs": [1]}})[0] == 400
    assert refused("POST", "/jobs", job | {"params": {"pubs": [], "options": {"nope": 1}}})[0] == 400
    assert refused("POST", "/jobs", job | {"unknown": 1})[0] == 400
    assert not exact.tasks()
