"""A backend server that stands for a device of IBM Quantum: all but the cloud is real, and that is dev-cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_ibm_runtime import RuntimeEncoder

from qonverge.backend.clouds.ibm.cloud import IBMCloud
from qonverge.backend.clouds.protocol import JOB_TAG, NAMESPACE_TAG, RUN_TAG, CloudConfig, Submission
from qonverge.wire.messages import TaskResult
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.faults import Fault
from qonverge_dev_cloud.scenario import Scenario
from tests.clouds.running import provider

KEY = "an-api-key-that-nobody-sees"
EXACT, NOISY = "ibm_fez", "ibm_brisbane"


@pytest.fixture(scope="module")
def cloud() -> Iterator[DevCloud]:
    devices = {EXACT: {"noise": False, "run": {"perShot": 0.00001}}, NOISY: {"queue": {"seconds": 3, "ahead": 2}}}
    with DevCloud(Scenario.model_validate({"ibm": {"backends": devices}})) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with provider(tmp_path_factory.mktemp("provider")):
        yield


@contextmanager
def proxy(kit: Any, cloud: DevCloud, folder: Path, device: str, **more: Any) -> Iterator[Any]:
    there = cloud.environment
    (folder / "QISKIT_IBM_TOKEN").write_text(f"{KEY}\n")
    (folder / "QISKIT_IBM_INSTANCE").write_text(there["QISKIT_IBM_INSTANCE"])
    options = {"backend": device, "endpoint": there["QISKIT_IBM_URL"], "iamEndpoint": there["IAM_URL"], **more}
    with kit.serving(
        "--engine", "PromptIBM", "--options", json.dumps(options), "--credentials", str(folder), "--concurrency", "10"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secret")


@pytest.fixture(scope="module")
def backend(kit: Any, cloud: DevCloud, secret: Path) -> Iterator[Any]:
    with proxy(kit, cloud, secret, EXACT, mode="Batch") as running:
        yield running


def result_of(answer: Any) -> TaskResult:
    assert answer.status == 200, answer.body
    return TaskResult.from_dict(answer.body)


def test_bits_of_several_registers_and_of_none_are_where_the_circuit_writes_them(kit: Any, backend: Any) -> None:
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(2, "low"), ClassicalRegister(3, "lambda"))
    circuit.x(0)
    circuit.h(3)
    circuit.cx(3, 1)
    circuit.measure([3, 1, 0], [4, 1, 2])
    other = QuantumCircuit(QuantumRegister(2), [Clbit(), Clbit(), Clbit()])
    other.x(1)
    other.measure([1, 0], [0, 2])
    task = kit.task(circuit, "registers", shots=400)
    found = result_of(backend.send(task))
    counts = found.results[0].counts[0]
    # Bit 2 is that of the qubit that is in 1, bits 1 and 4 are the pair's.
    assert set(counts) == {"001 00", "101 10"}
    assert sum(counts.values()) == 400
    assert abs(counts["001 00"] - 200) < 5 * 10
    assert [each.run_seconds for each in found.vendor_tasks] == [pytest.approx(0.004)]
    # Before it ran IBM estimated as much.
    assert [each.expected_seconds for each in found.vendor_tasks] == [pytest.approx(0.004)]
    # What is paid is the time of the device, and not that of the way there.
    assert found.run_seconds == pytest.approx(0.004)
    loose = result_of(backend.send(kit.task(other, "loose", shots=30)))
    assert loose.results[0].counts[0] == {"001": 30}


def test_conditions_and_resets_on_the_way(kit: Any, backend: Any) -> None:
    circuit = QuantumCircuit(QuantumRegister(2), ClassicalRegister(2, "a"), ClassicalRegister(1, "b"))
    circuit.h(0)
    circuit.measure(0, 1)
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(1)
    circuit.reset(0)
    circuit.measure([0, 1], [0, 2])
    counts = result_of(backend.send(kit.task(circuit, "dynamic", shots=300))).results[0].counts[0]
    assert set(counts) == {"0 00", "1 10"}
    assert abs(counts["0 00"] - 150) < 5 * 9


def test_values_of_a_sweep_are_those_of_the_estimator(kit: Any, backend: Any, cloud: DevCloud) -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(3)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    circuit.rx(0.7, 2)
    circuit.cx(2, 0)
    angles = np.array([0.3, 2.0])
    terms = ((("IIZ", 1.0),), (("XXI", 1.0), ("IZZ", 0.5), ("III", 2.0)), (("YYX", -1.0),))
    true = np.array(
        [
            [
                Statevector(circuit.assign_parameters([angle])).expectation_value(SparsePauliOp.from_list(each)).real
                for each in terms
            ]
            for angle in angles
        ]
    )
    before = len(cloud.tasks())
    task = kit.task(circuit, "values", parameters={"theta": angles}, observables=terms, shots=40_000)
    found = result_of(backend.send(task))
    values = found.results[0]
    assert values.expectation_values is not None
    assert (abs(values.expectation_values - true) < 5 * 0.005).all()
    assert values.standard_errors == pytest.approx(np.full((2, 3), 0.005))
    made = cloud.tasks()[before:]
    # All sets with all observables are one job.
    assert [each["program"] for each in made] == ["estimator"]
    pairs = np.array([[1, 2], [0, 0]], dtype=np.int32)
    some = kit.task(circuit, "pairs", parameters={"theta": angles}, observables=terms, precision=0.005, pairs=pairs)
    chosen = result_of(backend.send(some)).results[0]
    assert chosen.expectation_values == pytest.approx([true[1, 2], true[0, 0]], abs=5 * 0.005)
    both = cloud.tasks()[before:]
    # One batch for both of them.
    assert len(both) == 2
    assert both[0]["session"] == both[1]["session"] != ""
    assert [each.id for each in (*found.vendor_tasks, *result_of(backend.send(some)).vendor_tasks)] == [
        each["id"] for each in both
    ]


def test_a_sweep_and_other_circuits_are_one_job_as_far_as_one_takes_them(
    kit: Any, backend: Any, cloud: DevCloud
) -> None:
    theta = Parameter("theta")
    turned = QuantumCircuit(2, 2)
    turned.ry(theta, 0)
    turned.cx(0, 1)
    turned.measure([0, 1], [1, 0])
    fixed = QuantumCircuit(1, 2)
    fixed.x(0)
    fixed.measure(0, 1)
    angles = np.linspace(0, np.pi, 299)
    many = kit.task(turned, "many", parameters={"theta": angles}, shots=100)
    one = kit.task(fixed, "fixed", shots=100)
    again = replace(many.pubs[0], parameters={"theta": angles[:2]})
    task = replace(many, pubs=(*many.pubs, *one.pubs, again), circuits={**many.circuits, **one.circuits})
    before = len(cloud.tasks())
    found = result_of(backend.send(task))
    sweep, single, last = found.results
    # ibm_fez takes 300 parameter sets in a job.
    # Which of the two arrives first is open.
    there = {each["id"]: each["shots"] for each in cloud.tasks()[before:]}
    assert [there[each.id] for each in found.vendor_tasks] == [30_000, 200]
    assert len(there) == 2
    assert single.counts == ({"10": 100},)
    for counts, angle in zip((*sweep.counts, *last.counts), (*angles, *angles[:2]), strict=True):
        ones = counts.get("11", 0)
        assert ones + counts.get("00", 0) == 100
        # Of 301 draws one in 10^7 is further off.
        chance = np.sin(angle / 2) ** 2
        assert abs(ones - 100 * chance) <= 6.5 * np.sqrt(100 * chance * (1 - chance)) + 1e-6


def test_what_the_server_says_of_the_device(backend: Any) -> None:
    info = backend.info()
    assert info["engine"].startswith("IBM ibm_fez, qiskit-ibm-runtime ")
    assert info["basis_gates"] == ["cz", "id", "rz", "sx", "x"]
    assert info["device"]["online"]
    assert info["device"]["prices"] is None


def test_a_circuit_that_the_device_cannot_run_is_refused_before_anything_is_sent(
    kit: Any, backend: Any, cloud: DevCloud
) -> None:
    before = len(cloud.tasks())
    circuit = QuantumCircuit(1, 1)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.h(0)
        circuit.measure(0, 0)
    answer = backend.send(kit.task(circuit, "while", shots=1))
    assert answer.error["code"] == "InvalidCircuit", answer.body
    assert "ibm_fez runs no while_loop" in answer.error["message"]
    assert len(cloud.tasks()) == before


def test_nothing_tells_a_secret_and_a_key_that_goes_makes_tasks_wait(kit: Any, backend: Any, secret: Path) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [1, 0])
    found = result_of(backend.send(kit.task(circuit, "bell", shots=500)))
    assert found.calibration
    (secret / "QISKIT_IBM_TOKEN").unlink()
    waiting = backend.send(kit.task(circuit, "later", shots=500), wait=1)
    assert waiting.status == 202
    told = [found.to_dict(), waiting.body, backend.info(), backend.ask("GET", "/metrics").body]
    (secret / "QISKIT_IBM_TOKEN").write_text(KEY)
    result_of(backend.send(kit.task(circuit, "later", shots=500)))
    text = repr([*told, backend.lines])
    assert "QISKIT_IBM_TOKEN" in text
    assert KEY not in text


def test_calls_that_fail_before_and_after_their_effect_make_no_second_job(
    kit: Any, backend: Any, cloud: DevCloud
) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    before = len(cloud.tasks())
    create = {"cloud": "ibm", "operation": "CreateJob"}
    cloud.set_faults(
        Fault(**create, kind="lostReply", when="after", calls=(1,)),
        Fault(**create, kind="lostReply", when="before", calls=(2,)),
        Fault(**create, kind="status", status=500, when="after", calls=(3,)),
        Fault(**create, kind="status", status=503, when="before", calls=(4,)),
        Fault(cloud="ibm", operation="ListJobs", kind="status", status=429, calls=(1,)),
        Fault(cloud="ibm", operation="GetJobResults", kind="lostReply", calls=(1,)),
    )
    for index in range(3):
        found = result_of(backend.send(kit.task(circuit, f"fault{index}", shots=20)))
        assert found.results[0].counts[0] == {"10": 20}
    made = cloud.tasks()[before:]
    assert len(made) == len({tuple(each["tags"]) for each in made}) == 3
    tried = cloud.journal.entries("ibm", "CreateJob")
    assert {fault for entry in tried for fault in entry.faults} == {
        "lostReply after",
        "lostReply before",
        "status after",
        "status before",
    }


def test_what_an_attempt_has_there_is_found_and_ended(tmp_path: Path) -> None:
    (tmp_path / "QISKIT_IBM_TOKEN").write_text(KEY)
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    sampled = {"pubs": [(circuit, None, 100)], "version": 2, "options": {}, "support_qiskit": True}
    program = json.dumps({"program_id": "sampler", "params": sampled}, cls=RuntimeEncoder)
    with DevCloud(Scenario.model_validate({"ibm": {"backends": {NOISY: {"queue": {"seconds": 600}}}}})) as busy:
        at = busy.environment
        place = {"endpoint": at["QISKIT_IBM_URL"], "iamEndpoint": at["IAM_URL"], "instance": at["QISKIT_IBM_INSTANCE"]}
        there = IBMCloud(CloudConfig({"backend": NOISY, **place}, str(tmp_path)))
        own, other = (
            there.submit(
                64 * run[-1], Submission(program, 100, tags={NAMESPACE_TAG: "chem", JOB_TAG: "vqe", RUN_TAG: run})
            )
            for run in ("uid-0.1", "uid-0.12")
        )
        assert there.of_run("uid-0.1") == [own]
        there.cancel(own)
        assert (there.of_run("uid-0.1"), there.of_run("uid-0.12")) == ([], [other])


def test_a_lost_reply_and_a_killed_proxy_make_no_second_job(kit: Any, cloud: DevCloud, tmp_path: Path) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    task = kit.task(circuit, "once", shots=200)
    task = replace(task, pubs=task.pubs * 3)

    def sent() -> list[Any]:
        return [each for each in cloud.tasks() if each["device"] == NOISY]

    cloud.set_faults(Fault(operation="CreateJob", kind="lostReply", when="after", calls=(1,)))
    with proxy(kit, cloud, tmp_path, NOISY) as backend:
        assert backend.send(task, wait=0).status == 202
        kit.until(sent, "the cloud has the task")
        backend.process.kill()
        backend.process.wait()
    with proxy(kit, cloud, tmp_path, NOISY) as backend:
        found = result_of(backend.send(task))
    assert [pub.counts[0]["1"] > 150 for pub in found.results] == [True] * 3
    (job,) = sent()
    assert [each.id for each in found.vendor_tasks] == [job["id"]]
    assert job["tags"][0] == "qonverge"
