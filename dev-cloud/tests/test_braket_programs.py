"""Programs of the Braket SDK, unchanged, that find the cloud by their environment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice, AwsQuantumTask, AwsSession
from braket.circuits import Circuit, FreeParameter, Observable
from braket.device_schema import DeviceCapabilities
from braket.devices import LocalSimulator
from braket.emulation.local_emulator import LocalEmulator
from braket.ir.openqasm import Program
from braket.task_result import GateModelTaskResult

from qonverge_dev_cloud.cloud import DevCloud

Start = Callable[..., DevCloud]

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
ANKAA = "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3"

QUICK = {"poll_interval_seconds": 0.02, "poll_timeout_seconds": 60}


def mixed() -> Circuit:
    """Return a circuit of which no two qubits are alike."""
    return Circuit().ry(0, 0.4).cnot(0, 1).rx(2, 1.1).cphaseshift(1, 2, 0.7).h(1).rz(0, 0.3).yy(0, 2, 0.5)


def test_exact_values_are_those_of_the_local_simulator(start: Start) -> None:
    start()
    circuit = mixed()
    circuit.state_vector().probability([2, 0]).expectation(Observable.X() @ Observable.Z(), [2, 1])
    circuit.amplitude(["010", "110"])
    ours = AwsDevice(SV1).run(circuit, shots=0, **QUICK).result().values
    theirs = LocalSimulator().run(circuit, shots=0).result().values
    assert np.allclose(ours[0], theirs[0]) and np.allclose(ours[1], theirs[1])
    assert ours[2] == pytest.approx(theirs[2])
    assert ours[3] == pytest.approx(theirs[3])


def test_gates_with_controls_have_their_effect_on_four_qubits_and_more(start: Start) -> None:
    """Braket's own simulator passes over some of what they do to superpositions."""
    source = """OPENQASM 3.0;
    bit[5] b;
    qubit[5] q;
    h q[3];
    ctrl @ x q[3], q[1];
    ctrl @ x q[1], q[3];
    x q[3];
    ctrl(2) @ pow(0.5) @ x q[3], q[3 - 1], q[0];
    negctrl @ x q[2], q[4];
    h q[1];
    ctrl(2) @ negctrl @ x q[3], q[4], q[1], q[2];
    b = measure q;"""
    start()
    result = AwsDevice(SV1).run(Program(source=source), shots=20, **QUICK).result()
    # The superposition moves from 3 to 1, and h ends it there; 2 is turned last, since 3 and 4 are 1 and 1 is 0.
    assert result.measurement_counts == {"00111": 20}


def test_measured_bits_come_in_the_order_in_which_they_were_measured(start: Start) -> None:
    start(braket={"devices": {"Garnet": {"noise": False}, "Forte-1": {"noise": False}, "Ankaa-3": {"noise": False}}})
    circuit = Circuit().x(0).i(1).x(2).i(3).measure([3, 2, 0])
    for arn in (SV1, GARNET, FORTE, ANKAA):
        result = AwsDevice(arn).run(circuit, shots=20, **QUICK).result()
        assert result.measured_qubits == [3, 2, 0]
        assert result.measurement_counts == Counter({"011": 20})


def test_values_from_shots_are_near_the_exact_ones(start: Start) -> None:
    start()
    shots = 4000
    circuit = mixed().expectation(Observable.X(), 2).variance(Observable.Y(), 0).probability([1])
    found = AwsDevice(SV1).run(circuit, shots=shots, **QUICK).result().values
    exact = LocalSimulator().run(circuit, shots=0).result().values
    # Five standard deviations of a mean of values in [-1, 1].
    assert np.allclose(found[0], exact[0], atol=5 / shots**0.5)
    assert np.allclose(found[1], exact[1], atol=10 / shots**0.5)
    assert np.allclose(found[2], exact[2], atol=5 * 0.5 / shots**0.5)


@pytest.mark.parametrize(
    ("asked", "shots", "words"),
    [
        ("state_vector", 10, "10 shots: SV1 takes 0 to 0 with the result type StateVector"),
        ("sample z(q)", 0, "0 shots: SV1 takes 1 to 100000 with the result type Sample"),
    ],
)
def test_result_types_have_the_shots_that_the_properties_say(start: Start, asked: str, shots: int, words: str) -> None:
    start()
    program = Program(source=f"OPENQASM 3.0; qubit q; h q;\n#pragma braket result {asked}")
    with pytest.raises(ClientError, match=words):
        AwsDevice(SV1).run(program, shots=shots)


NOISE = """OPENQASM 3.0;
qubit[2] q;
ry(1.1) q[0];
#pragma braket noise amplitude_damping(0.3) q[0]
cnot q[0], q[1];
#pragma braket noise two_qubit_depolarizing(0.2) q[0], q[1]
#pragma braket noise kraus([[0.8, 0], [0, 0.8]], [[0, 0.6], [0.6, 0]]) q[1]
"""


def noise_by_hand() -> np.ndarray:
    """Return the density matrix that the program leaves, the first qubit in the most significant bit."""
    one, x, z = np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1, -1])
    paulis = [one, x, 1j * x @ z, z]
    state = np.kron([np.cos(0.55), np.sin(0.55)], [1, 0])
    damped = [np.diag([1, 0.7**0.5]), np.array([[0, 0.3**0.5], [0, 0]])]
    cnot = np.eye(4)[[0, 1, 3, 2]]
    channels = [
        [np.kron(own, one) for own in damped],
        [cnot],
        [
            (0.8 if not (i or j) else 0.2 / 15) ** 0.5 * np.kron(paulis[i], paulis[j])
            for i in range(4)
            for j in range(4)
        ],
        [np.kron(one, 0.8 * one), np.kron(one, 0.6 * x)],
    ]
    matrix = np.outer(state, state)
    for channel in channels:
        matrix = sum(own @ matrix @ own.conj().T for own in channel)
    return matrix


def test_dm1_has_the_noise_of_programs(start: Start) -> None:
    start()
    device, true = AwsDevice(DM1), noise_by_hand()

    def run(shots: int, *asked: str) -> Any:
        source = NOISE + "".join(f"#pragma braket result {each}\n" for each in asked)
        return device.run(Program(source=source), shots=shots, **QUICK).result()

    whole, part, value = run(0, "density_matrix", "density_matrix q[1]", "expectation z(q[0]) @ x(q[1])").values
    whole, part = (np.array(each) @ [1, 1j] for each in (whole, part))
    assert whole == pytest.approx(true, abs=1e-9)
    assert part == pytest.approx(np.einsum("abac->bc", true.reshape(2, 2, 2, 2)), abs=1e-9)
    z_x = np.kron(np.diag([1, -1]), np.array([[0, 1], [1, 0]]))
    assert value == pytest.approx(np.trace(z_x @ true).real, abs=1e-9)
    counts = run(4000).measurement_counts
    for outcome, chance in enumerate(np.diag(true).real):
        assert counts[f"{outcome:02b}"] / 4000 == pytest.approx(chance, abs=5 * 0.5 / 4000**0.5)


def test_what_dm1_says_and_refuses_and_others_do_not_take(start: Start) -> None:
    start()
    simulator = AwsDevice(DM1).properties
    taken = simulator.action["braket.ir.openqasm.program"]
    assert simulator.paradigm.qubitCount == 17
    assert {"kraus", "depolarizing"} <= set(taken.supportedOperations)
    assert "braket_noise_kraus" in taken.supportedPragmas
    assert {each.name for each in taken.supportedResultTypes if each.maxShots == 0} == {"DensityMatrix"}
    for arn, shots, source, words in (
        (SV1, 10, NOISE, "SV1 takes no noise: amplitude_damping"),
        (GARNET, 10, NOISE, "Garnet takes no noise"),
        (DM1, 0, _asking(1, "state_vector"), "DM1 does not have the result type StateVector"),
        (DM1, 0, _asking(1, "probability"), "0 shots: DM1 takes 1 to 100000"),
        (DM1, 0, _asking(9, "density_matrix"), "is of up to 8 qubits"),
        (DM1, 0, _asking(12, "expectation z(q[0])"), "simulates up to 11"),
    ):
        with pytest.raises(ClientError, match=words):
            AwsDevice(arn).run(Program(source=source), shots=shots)


def _asking(qubits: int, result: str) -> str:
    return f"OPENQASM 3.0; qubit[{qubits}] q; h q;\n#pragma braket result {result}"


def test_a_device_describes_itself_in_the_schemas_of_braket(start: Start) -> None:
    start()
    for arn, qubits, edges in ((GARNET, 20, 30), (FORTE, 36, 630), (ANKAA, 82, 143)):
        device = AwsDevice(arn)
        properties = device.properties
        assert isinstance(properties, DeviceCapabilities)
        assert properties.paradigm.qubitCount == qubits
        assert device.topology_graph.to_undirected().number_of_edges() == edges
        # The SDK's own emulator takes couplings and fidelities from the document.
        emulator = LocalEmulator.from_device_properties(properties)
        assert len(emulator.noise_model.instructions) > qubits
    simulator = AwsDevice(SV1).properties
    assert simulator.paradigm.qubitCount == 34
    assert (simulator.service.deviceCost.price, simulator.service.deviceCost.unit) == (0.075, "minute")


def test_all_devices_are_found_in_their_regions(start: Start) -> None:
    start(braket={"devices": {"Ankaa-3": {"retired": True}}})
    assert {device.arn for device in AwsDevice.get_devices()} == {SV1, DM1, GARNET, FORTE}
    assert [device.name for device in AwsDevice.get_devices(statuses=["RETIRED"])] == ["Ankaa-3"]
    with pytest.raises(ValueError, match="not found"):
        AwsDevice("arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald")


def test_the_errors_of_gates_and_readout_are_those_of_the_calibration(start: Start) -> None:
    """Counts of native circuits against the channels' own formulas, computed here from the published fidelities."""
    start()
    device, shots = AwsDevice(GARNET), 20_000
    qubits = device.properties.standardized.oneQubitProperties
    pairs = device.properties.standardized.twoQubitProperties

    def fidelity(qubit: int, kind: str) -> Any:
        return next(own.fidelity for own in qubits[str(qubit)].oneQubitFidelity if own.fidelityType.name == kind)

    # A depolarizing channel of average fidelity f shrinks the Bloch vector by 2f - 1; misreading by 2r - 1.
    gates = 40
    one = Circuit().add_verbatim_box(_repeated(3, gates)).measure([3])
    shrunk = (2 * fidelity(3, "RANDOMIZED_BENCHMARKING") - 1) ** gates * (2 * fidelity(3, "READOUT") - 1)
    found = device.run(one, shots=shots, **QUICK).result().measurement_counts
    _near(found["1"] / shots, (1 - shrunk) / 2, shots)

    # On two qubits what is not the identity shrinks by 1 - 16p/15 with p = 5/4 (1 - f).
    box = Circuit()
    for _ in range(gates):
        box.cz(8, 9)
    two = Circuit().add_verbatim_box(box).measure([9, 8])
    f = pairs["8-9"].twoQubitGateFidelity[0].fidelity
    kept = (1 - 16 / 15 * 5 / 4 * (1 - f)) ** gates
    same = kept + (1 - kept) / 4
    other = (1 - kept) / 4
    r8, r9 = fidelity(8, "READOUT"), fidelity(9, "READOUT")
    # Keys are qubit 9, then qubit 8.
    expected = {
        "00": same * r9 * r8 + other * (r9 * (1 - r8) + (1 - r9) * r8 + (1 - r9) * (1 - r8)),
        "01": same * r9 * (1 - r8) + other * (r9 * r8 + (1 - r9) * (1 - r8) + (1 - r9) * r8),
        "10": same * (1 - r9) * r8 + other * ((1 - r9) * (1 - r8) + r9 * r8 + r9 * (1 - r8)),
    }
    counts = device.run(two, shots=shots, **QUICK).result().measurement_counts
    for key, probability in expected.items():
        _near(counts[key] / shots, probability, shots)


def _repeated(qubit: int, gates: int) -> Circuit:
    circuit = Circuit()
    for _ in range(gates):
        circuit.prx(qubit, np.pi, 0.3)
    return circuit


def _near(found: float, expected: float, shots: int) -> None:
    assert abs(found - expected) < 5 * (expected * (1 - expected) / shots) ** 0.5, (found, expected)


def test_results_are_the_same_for_a_seed_and_others_for_another(start: Start) -> None:
    def counts(seed: int) -> Any:
        start(seed=seed)
        return AwsDevice(GARNET).run(mixed(), shots=500, **QUICK).result().measurements.tolist()

    assert counts(1) == counts(1) != counts(2)


def test_the_document_in_the_bucket_is_of_the_schema(start: Start) -> None:
    cloud = start()
    for arn, with_shots in ((GARNET, True), (FORTE, False)):
        task = AwsDevice(arn).run(Circuit().h(0).cnot(0, 1), shots=100, tags={"qonverge": "yes"}, **QUICK)
        task.result()
        metadata = task.metadata()
        body = (
            boto3.client("s3")
            .get_object(Bucket=metadata["outputS3Bucket"], Key=f"{metadata['outputS3Directory']}/results.json")["Body"]
            .read()
        )
        result = GateModelTaskResult.parse_raw(body)
        assert result.taskMetadata.id == task.id and result.taskMetadata.deviceId == arn
        assert (result.measurements is not None, result.measurementProbabilities is not None) == (
            with_shots,
            not with_shots,
        )
        assert sum((result.measurementProbabilities or {"": 1.0}).values()) == pytest.approx(1)
        assert "OPENQASM 3" in result.additionalMetadata.action.source
    assert [own["cost"] for own in cloud.tasks()] == [0.445, 8.3]


def test_batches(start: Start) -> None:
    start()
    circuits = [Circuit().rx(0, angle) for angle in (0.0, np.pi)]
    batch = AwsDevice(SV1).run_batch(circuits, shots=10, max_parallel=2, **QUICK)
    assert [own.measurement_counts for own in batch.results()] == [Counter({"0": 10}), Counter({"1": 10})]


def test_inputs_have_values_in_the_request(start: Start) -> None:
    start()
    circuit = Circuit().rx(0, FreeParameter("theta"))
    result = AwsDevice(SV1).run(circuit, shots=10, inputs={"theta": np.pi}, **QUICK).result()
    assert result.measurement_counts == Counter({"1": 10})


def test_the_queue_moves_with_the_clock(start: Start) -> None:
    cloud = start(
        virtualClock=True,
        braket={"devices": {"Garnet": {"queue": {"seconds": 60, "ahead": 4}, "run": {"seconds": 10}}}},
    )
    device = AwsDevice(GARNET)
    assert device.queue_depth().quantum_tasks["Normal"] == "4"
    first, second, third = (device.run(Circuit().h(0), shots=10) for _ in range(3))
    assert (first.state(), first.queue_position().queue_position, third.queue_position().queue_position) == (
        "QUEUED",
        "5",
        "7",
    )
    cloud.advance(30)
    assert first.queue_position().queue_position == "3"
    second.cancel()
    assert second.state() == "CANCELLED"
    assert third.queue_position().queue_position == "4"
    cloud.advance(30)
    assert (first.state(), third.state()) == ("RUNNING", "QUEUED")
    assert first.queue_position().queue_position is None
    cloud.advance(10)
    # The cancelled one left its time to the next.
    assert (first.state(), third.state()) == ("COMPLETED", "RUNNING")
    assert sum(first.result().measurement_counts.values()) == 10
    cloud.advance(10)
    assert third.state() == "COMPLETED"
    ended = [own["end"] - own["created"] for own in cloud.tasks() if own["status"] == "COMPLETED"]
    assert ended == [70, 80]


def test_what_runs_is_cancelled_when_it_ends_and_costs_what_ran(start: Start) -> None:
    cloud = start(virtualClock=True, braket={"devices": {"Garnet": {"run": {"perShot": 0.1}}}})
    task = AwsDevice(GARNET).run(Circuit().h(0), shots=100)
    cloud.advance(4)
    assert task.state() == "RUNNING"
    task.cancel()
    assert task.state() == "CANCELLING"
    cloud.advance(6)
    assert task.state() == "CANCELLED"
    assert cloud.tasks()[0]["cost"] == pytest.approx(0.3 + 40 * 0.00145)
    with pytest.raises(Exception, match="ConflictException"):
        task.cancel()


def test_a_task_that_fails_says_why_and_costs_nothing(start: Start) -> None:
    cloud = start(braket={"devices": {"Garnet": {"failing": {"calls": [2], "reason": "The fridge warmed up."}}}})
    device = AwsDevice(GARNET)
    tasks = [device.run(Circuit().h(0), shots=10, **QUICK) for _ in range(2)]
    assert tasks[0].result() is not None and tasks[1].result() is None
    assert tasks[1].metadata()["failureReason"] == "The fridge warmed up."
    assert [own["cost"] for own in cloud.tasks()] == [0.3145, 0.0]


def test_maintenance_takes_nothing_and_runs_nothing(start: Start) -> None:
    cloud = start(
        virtualClock=True,
        braket={
            "devices": {
                "Garnet": {"queue": {"seconds": 5}, "run": {"seconds": 10}, "maintenance": [{"start": 10, "end": 50}]}
            }
        },
    )
    device = AwsDevice(GARNET)
    before = device.run(Circuit().h(0), shots=10)
    cloud.advance(20)
    device.refresh_metadata()
    assert (device.status, before.state()) == ("OFFLINE", "QUEUED")
    with pytest.raises(Exception, match="DeviceOfflineException"):
        device.run(Circuit().h(0), shots=10)
    cloud.advance(40)
    assert before.state() == "COMPLETED"
    device.refresh_metadata()
    assert device.status == "ONLINE"


def test_calibrations_drift_and_tasks_err_as_the_one_in_force(start: Start) -> None:
    cloud = start(virtualClock=True, braket={"devices": {"Garnet": {"drift": {"seconds": 100, "spread": 0.5}}}})
    device = AwsDevice(GARNET)

    def readouts() -> list[float]:
        device.refresh_metadata()
        return [own.oneQubitFidelity[1].fidelity for own in device.properties.standardized.oneQubitProperties.values()]

    first, updated = readouts(), device.properties.service.updatedAt
    cloud.advance(99)
    assert readouts() == first
    cloud.advance(1)
    assert sum(one != other for one, other in zip(readouts(), first, strict=True)) == 20
    assert (device.properties.service.updatedAt - updated).total_seconds() == 100


def test_a_task_is_found_by_its_arn_from_another_session(start: Start) -> None:
    start()
    arn = AwsDevice(GARNET).run(Circuit().h(0), shots=10).id
    region = arn.split(":")[3]
    session = AwsSession(boto_session=boto3.Session(region_name=region))
    found = AwsQuantumTask(arn=arn, aws_session=session, **QUICK)
    assert sum(found.result().measurement_counts.values()) == 10
    assert json.loads(found.metadata()["deviceParameters"]) is not None


def test_a_reservation_has_the_device_for_its_tasks(start: Start) -> None:
    window = {"device": "Garnet", "start": 100, "end": 160}
    cloud = start(
        virtualClock=True,
        braket={"devices": {"Garnet": {"run": {"seconds": 20}}}, "reservations": {"mine": window}},
    )
    arn = "arn:aws:braket:eu-north-1:123456789012:reservation/mine"
    device, circuit = AwsDevice(GARNET), Circuit().h(0)
    for _ in range(5):
        device.run(circuit, shots=10)
    reserved = [device.run(circuit, shots=10, reservation_arn=arn) for _ in range(3)]
    with pytest.raises(Exception, match="would not end before the reservation mine does"):
        device.run(circuit, shots=10, reservation_arn=arn)
    for wrong in (f"{arn}s", arn.replace("eu-north-1", "us-west-1")):
        with pytest.raises(Exception, match="there is no reservation"):
            device.run(circuit, shots=10, reservation_arn=wrong)
    assert (reserved[0].state(), reserved[0].queue_position().queue_position) == ("QUEUED", None)
    assert reserved[0].metadata()["associations"][0]["arn"] == arn
    # Those of the reservation run within it, one after the other, and the others before and behind it.
    assert [(each["start"], each["end"]) for each in cloud.tasks()] == [
        *((0, 20), (20, 40), (40, 60), (60, 80), (80, 100)),
        *((100, 120), (120, 140), (140, 160)),
    ]
    device.run(circuit, shots=10)
    cloud.advance(200)
    assert cloud.tasks()[-1]["start"] == 160
    assert {task.state() for task in reserved} == {"COMPLETED"}
    usual = pytest.approx(0.3 + 10 * 0.00145)
    assert [each["cost"] for each in cloud.tasks()] == [*[usual] * 5, 0.0, 0.0, 0.0, usual]
