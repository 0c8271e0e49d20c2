"""Program sets: several programs in a task, by the unchanged SDK and at the wire."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice
from braket.circuits import Circuit, FreeParameter
from braket.circuits.observables import X, Y, Z
from braket.device_schema import DeviceActionType
from braket.ir.openqasm import Program
from braket.ir.openqasm import ProgramSet as PlainSet
from braket.program_sets import CircuitBinding, ProgramSet
from braket.task_result import ProgramSetExecutableFailure

from qonverge_dev_cloud.cloud import DevCloud

Start = Callable[..., DevCloud]

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
QUICK = {"poll_interval_seconds": 0.02, "poll_timeout_seconds": 60}
EXACT = {"devices": {"Garnet": {"noise": False}, "Forte-1": {"noise": False}}}


def flipped(*qubits: int) -> Circuit:
    """Return a circuit on three qubits that has only one outcome."""
    circuit = Circuit().i(0).i(1).i(2)
    for qubit in qubits:
        circuit.x(qubit)
    return circuit


@pytest.mark.parametrize("arn", [GARNET, FORTE])
def test_each_executable_has_its_own_outcomes_and_the_fee_is_paid_once(start: Start, arn: str) -> None:
    cloud = start(braket=EXACT)
    sweep = CircuitBinding(Circuit().rx(0, FreeParameter("a")).i(1), input_sets={"a": [0.0, np.pi, 2 * np.pi]})
    programs = ProgramSet([flipped(0), flipped(1, 2), sweep], shots_per_executable=20)
    task = AwsDevice(arn).run(programs, **QUICK)
    result = task.result()
    assert [[own.counts for own in entry] for entry in result] == [
        [Counter({"100": 20})],
        [Counter({"011": 20})],
        [Counter({"00": 20}), Counter({"10": 20}), Counter({"00": 20})],
    ]
    assert [own.inputs for own in result[2]] == [{"a": 0.0}, {"a": np.pi}, {"a": 2 * np.pi}]
    metadata = task.metadata()
    assert metadata["actionMetadata"] == {
        "actionType": "braket.ir.openqasm.program_set",
        "executableCount": 5,
        "programCount": 3,
    }
    assert (metadata["shots"], metadata["numSuccessfulShots"], result.task_metadata.successfulShots) == (100,) * 3
    shot = {GARNET: 0.00145, FORTE: 0.08}[arn]
    assert [own["cost"] for own in cloud.tasks()] == [pytest.approx(0.3 + 100 * shot)]


def test_expectation_values_are_those_of_the_state(start: Start) -> None:
    """The SDK's own bases and inputs, against values computed from the state by hand."""
    start(braket=EXACT)
    shots, angles = 4000, (0.4, 1.9)
    observables = [Z(0), X(0), Y(1) @ Z(0)]
    binding = CircuitBinding(
        Circuit().ry(0, FreeParameter("a")).rx(1, 0.7), input_sets={"a": list(angles)}, observables=observables
    )
    found = AwsDevice(GARNET).run(ProgramSet(binding, shots), **QUICK).result()[0]
    # Ry turns the Bloch vector from z to x, Rx from z to -y.
    exact = [value for a in angles for value in (np.cos(a), np.sin(a), -np.sin(0.7) * np.cos(a))]
    assert [own.expectation for own in found] == pytest.approx(exact, abs=5 / shots**0.5)


def test_executables_that_fail_leave_the_others_theirs(start: Start) -> None:
    failing = {"calls": [2, 4, 5], "reason": "The fridge warmed up.", "retryable": False}
    cloud = start(braket={"devices": {"Garnet": {"noise": False, "failingExecutables": failing}}})
    device = AwsDevice(GARNET)
    first = device.run(ProgramSet([flipped(0), flipped(1), flipped(2)], 10), **QUICK)
    result = first.result()
    assert (first.state(), result.task_metadata.totalFailedExecutables) == ("COMPLETED", 1)
    assert [result[0][0].counts, result[2][0].counts] == [Counter({"100": 10}), Counter({"001": 10})]
    failed = result[1][0]
    assert isinstance(failed, ProgramSetExecutableFailure)
    assert (failed.failureMetadata.failureReason, failed.failureMetadata.retryable) == ("The fridge warmed up.", False)
    assert (first.metadata()["numSuccessfulShots"], result.task_metadata.successfulShots) == (20, 20)
    # A task all of whose executables fail has failed, and its results say why.
    second = device.run(ProgramSet([flipped(0), flipped(1)], 10), **QUICK)
    assert second.result().task_metadata.totalFailedExecutables == 2
    assert second.metadata()["failureReason"] == "all 2 executables failed: The fridge warmed up."
    assert [own["cost"] for own in cloud.tasks()] == [pytest.approx(0.3 + 20 * 0.00145), 0.0]


def test_a_task_that_fails_lets_all_its_executables_fail(start: Start) -> None:
    start(braket={"devices": {"Garnet": {"failing": {"reason": "The fridge warmed up."}}}})
    task = AwsDevice(GARNET).run(ProgramSet([flipped(0)], 10), **QUICK)
    assert task.result()[0][0].failureMetadata.failureReason == "The fridge warmed up."
    assert task.state() == "FAILED"


def test_devices_say_how_many_they_take(start: Start) -> None:
    start()
    action = AwsDevice(GARNET).properties.action[DeviceActionType.OPENQASM_PROGRAM_SET]
    assert (action.maximumExecutables, action.maximumTotalShots) == (100, 200_000)
    assert DeviceActionType.OPENQASM_PROGRAM_SET not in AwsDevice(SV1).properties.action


def test_what_is_too_much_is_refused(start: Start) -> None:
    start()
    program = Program(source=flipped(0).to_ir("OPENQASM").source)
    for arn, count, shots, sentence in (
        (SV1, 1, 10, "SV1 takes no program sets"),
        (GARNET, 101, 101, "101 executables: Garnet takes 1 to 100 in a set"),
        (GARNET, 2, 200_002, "200002 shots for 2 executables: Garnet takes 2 to 200000 for them"),
        (GARNET, 2, 1, "1 shots for 2 executables: Garnet takes 2 to 200000 for them"),
        (GARNET, 2, 3, "3 shots cannot be divided among 2 executables: each has as many"),
    ):
        with pytest.raises(ClientError, match=sentence):
            AwsDevice(arn).run(PlainSet(programs=[program] * count), shots=shots, **QUICK)


def test_programs_that_cannot_run_are_named(start: Start) -> None:
    start()
    source = "OPENQASM 3.0; input float a; qubit q; rx(a) q;"
    programs = [
        Program(source=source, inputs={"a": [0.1, 0.2]}),
        Program(source="OPENQASM 3.0; qubit q; hh q;"),
        Program(source="OPENQASM 3.0; qubit q; h q;\n#pragma braket result expectation z(q)"),
    ]
    with pytest.raises(ClientError, match="2 of 4 executables cannot run on Garnet") as raised:
        AwsDevice(GARNET).run(PlainSet(programs=programs), shots=8, **QUICK)
    failures = raised.value.response["programSetValidationFailures"]
    assert [(own["programIndex"], own["inputsIndex"]) for own in failures] == [(1, 0), (2, 0)]
    assert "a program of a set has no result types" in failures[1]["errors"][0]


def test_the_same_token_is_the_same_set(start: Start) -> None:
    cloud = start(braket=EXACT)
    client: Any = boto3.client("braket", region_name="eu-north-1")
    header = {"name": "braket.ir.openqasm.program_set", "version": "1"}
    source = "OPENQASM 3.0; bit b; qubit q; x q; b = measure q;"
    request = {
        "clientToken": "t",
        "deviceArn": GARNET,
        "shots": 10,
        "outputS3Bucket": "amazon-braket-dev-cloud",
        "outputS3KeyPrefix": "tasks",
        "action": json.dumps({"braketSchemaHeader": header, "programs": [{"source": source}, {"source": source}]}),
    }
    arns = {client.create_quantum_task(**request)["quantumTaskArn"] for _ in range(2)}
    assert len(arns) == len(cloud.tasks()) == 1
