"""Answers of a backend as Braket's results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from braket.ir.openqasm import Program as OpenQASMProgram
from braket.task_result import AdditionalMetadata, GateModelTaskResult, ResultTypeValue, TaskMetadata
from braket.task_result.simulator_metadata_v1 import SimulatorMetadata
from braket.tasks import GateModelQuantumTaskResult

from qonverge.client.braket.programs import Prepared
from qonverge.client.braket.questions import State
from qonverge.wire.messages import PubResult, TaskResult


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to the pubs of one circuit with many inputs."""

    sample: PubResult | None = None
    expectations: PubResult | None = None
    states: PubResult | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What a result says of its task."""

    identity: str
    device: str
    shots: int
    created: datetime
    inputs: Mapping[str, Any]


def result_of(
    prepared: Prepared, answered: Answered, row: int, about: About, task: TaskResult
) -> GateModelQuantumTaskResult:
    """Return the result of one circuit with its inputs; ``row`` is their place among the circuit's."""
    ended = about.created + timedelta(seconds=task.queue_seconds + task.run_seconds)
    whole = GateModelTaskResult.construct(
        taskMetadata=TaskMetadata(
            id=about.identity,
            shots=about.shots,
            deviceId=about.device,
            createdAt=_spelled(about.created),
            endedAt=_spelled(ended),
            status="COMPLETED",
        ),
        additionalMetadata=AdditionalMetadata(
            action=OpenQASMProgram.construct(source=prepared.source, inputs=dict(about.inputs)),
            simulatorMetadata=SimulatorMetadata(executionDuration=round(task.run_seconds * 1000)),
        ),
        resultTypes=list(prepared.questions.types),
        outputs=None,
    )
    if answered.sample is not None:
        whole.measurements = _bits(answered.sample, row)
        whole.measuredQubits = list(prepared.converted.measured)
    else:
        whole.resultTypes = _exact(prepared, answered, row)
    return GateModelQuantumTaskResult.from_object(whole)


def _bits(answer: PubResult, row: int) -> list[list[int]]:
    """Return the bits of each shot, in the order of Braket's measured qubits."""
    ((width, raw),) = answer.registers.values()
    bits: list[list[int]] = np.unpackbits(raw[row, :, ::-1], axis=-1, count=width, bitorder="little").tolist()
    return bits


def _exact(prepared: Prepared, answered: Answered, row: int) -> list[ResultTypeValue]:
    expectations, state = np.zeros(0), None
    if answered.expectations is not None:
        assert answered.expectations.expectation_values is not None
        expectations = answered.expectations.expectation_values[row]
    if answered.states is not None:
        assert answered.states.statevectors is not None
        state = _big_endian(answered.states.statevectors[row])
    return prepared.questions.values(expectations, state)


def _big_endian(amplitudes: np.ndarray[Any, np.dtype[np.complex128]]) -> State:
    """Return the state with the first qubit as the first axis; it is the least significant bit of an index."""
    qubits = int(amplitudes.size).bit_length() - 1
    return amplitudes.reshape((2,) * qubits).transpose(range(qubits)[::-1])


def _spelled(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
