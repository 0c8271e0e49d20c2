"""The Braket device: how programs become tasks, and answers become Braket's results."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit, FreeParameter, Observable, ResultType
from braket.device_schema import DeviceActionType
from braket.devices import Device as BraketDevice
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.client.braket import Device
from qonverge.client.errors import BackendUnreachable, TaskFailed
from qonverge.client.transport.embedded import Embedded
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import Cancelled, InvalidTask
from qonverge.wire.messages import Task, TaskResult

A, C = FreeParameter("a"), FreeParameter("c")
EXACT = Circuit().rx(0, A).cnot(0, 1).expectation(Observable.Z(1))


class Recorder:
    """Runs tasks in this process, and keeps them."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self._engine = Embedded()

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        self.tasks.append(task)
        return self._engine.run(task, cancelled)

    def cancel(self, identity: str) -> bool:
        return self._engine.cancel(identity)

    def info(self) -> BackendInfo:
        return self._engine.info()


class Waiting(Recorder):
    """Holds each task until it is let go, or cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.free = threading.Event(), threading.Event()

    def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
        self.begun.set()
        assert self.free.wait(60)
        if cancelled is not None and cancelled.is_set():
            raise TaskFailed(Cancelled("the task was cancelled"))
        return super().run(task, cancelled)

    def cancel(self, identity: str) -> bool:
        self.free.set()
        return True


@pytest.fixture(scope="module")
def engine() -> Recorder:
    return Recorder()


@pytest.fixture
def recorder(engine: Recorder) -> Recorder:
    engine.tasks.clear()
    return engine


@pytest.fixture
def device(recorder: Recorder) -> Device:
    return Device(recorder, seed=7)


def test_many_inputs_of_one_circuit_are_one_circuit_with_sets(recorder: Recorder, device: Device) -> None:
    circuit = Circuit().rx(0, 2 * A).ry(1, C).expectation(Observable.Z(0)).expectation(Observable.Z(1))
    inputs = [{"a": value / 7, "c": -value / 3} for value in range(5)]
    results = device.run_batch(circuit, inputs=inputs).results()
    (task,) = recorder.tasks
    (pub,) = task.pubs
    assert (pub.sets, len(pub.observables), len(task.circuits)) == (5, 2, 1)
    expected = [[np.cos(2 * each["a"]), np.cos(each["c"])] for each in inputs]
    np.testing.assert_allclose([result.values for result in results], expected, atol=1e-9)


def test_a_batch_is_one_task_in_the_order_that_was_given(recorder: Recorder, device: Device) -> None:
    flip = Circuit().x(0).i(1)
    circuits = [EXACT, flip, EXACT, flip]
    inputs: list[Mapping[str, float]] = [{"a": 0.0}, {}, {"a": np.pi}, {}]
    results = device.run_batch(circuits, shots=[0, 3, 0, 5], inputs=inputs, max_parallel=2).results()
    assert [len(task.pubs) for task in recorder.tasks] == [3]
    assert [result.values for result in results[::2]] == [[pytest.approx(1.0)], [pytest.approx(-1.0)]]
    assert [result.measurement_counts for result in results[1::2]] == [{"10": 3}, {"10": 5}]
    assert len({result.task_metadata.id for result in results}) == 4


def test_forms_of_batches(device: Device) -> None:
    def values(*args: Any, **kwargs: Any) -> list[float]:
        return [result.values[0] for result in device.run_batch(*args, **kwargs).results()]

    bound = Circuit().x(0).expectation(Observable.Z(0))
    assert values(bound) == [pytest.approx(-1)]
    assert values([bound, bound], max_parallel=1) == [pytest.approx(-1)] * 2
    assert values(EXACT, inputs={"a": 0}) == [pytest.approx(1)]
    assert values([EXACT, EXACT], inputs={"a": 0}) == [pytest.approx(1)] * 2
    assert values(bound, shots=[5, 6]) == [-1, -1]
    assert values([]) == []


def test_circuits_are_prepared_once_until_they_change(recorder: Recorder, device: Device) -> None:
    circuit = Circuit().rx(0, A)
    for value in (0.0, np.pi):
        device.run(circuit, shots=10, inputs={"a": value}).result()
    circuit.x(0)
    changed = device.run(circuit, shots=10, inputs={"a": 0.0}).result()
    first, second, third = (task.pubs[0].circuit for task in recorder.tasks)
    assert first == second != third
    assert changed.measurement_counts == {"1": 10}


def test_powers_that_need_values_run_for_each_of_them(recorder: Recorder, device: Device) -> None:
    circuit = Circuit().rx(0, A, power=0.5).expectation(Observable.Z(0))
    results = device.run_batch(circuit, inputs=[{"a": 0.4}, {"a": 1.2}]).results()
    assert [result.values[0] for result in results] == pytest.approx([np.cos(0.2), np.cos(0.6)])
    assert len(recorder.tasks[0].circuits) == 2


def test_global_phases_of_free_parameters_are_kept(recorder: Recorder, device: Device) -> None:
    circuit = Circuit().h(0).pswap(0, 1, A).cphaseshift10(0, 1, C).gphase(A)
    inputs = [{"a": 0.7, "c": -1.2}, {"a": 1.7, "c": 0.2}]
    for asked in (ResultType.StateVector(), ResultType.Amplitude(["01"]), ResultType.Probability()):
        probe = circuit.copy().add_result_type(asked)
        ours = device.run_batch(probe, inputs=inputs).results()
        theirs = LocalSimulator("braket_sv").run_batch(probe, inputs=inputs).results()
        for mine, other in zip(ours, theirs, strict=True):
            if isinstance(asked, ResultType.Amplitude):
                assert mine.values[0] == pytest.approx(other.values[0])
            else:
                np.testing.assert_allclose(mine.values[0], other.values[0], atol=1e-9)
    assert [len(task.circuits) for task in recorder.tasks] == [2, 2, 1]


def test_openqasm_inputs(recorder: Recorder, device: Device) -> None:
    free = "OPENQASM 3.0; input float t; qubit[2] q; rx(t) q[0]; cnot q[0], q[1];\n"
    free += "#pragma braket result expectation z(q[1])\n"
    results = device.run_batch([Program(source=free, inputs={"t": 0.3})] * 2, inputs=[{}, {"t": 0.9}]).results()
    assert [result.values[0] for result in results] == pytest.approx([np.cos(0.3), np.cos(0.9)])
    assert recorder.tasks[0].pubs[0].sets == 2
    loop = "OPENQASM 3.0; input int n; qubit[1] q; bit[1] c; for int i in [1:n] { x q[0]; } c = measure q;"
    for times in (2, 3):
        result = device.run(Program(source=loop), shots=5, inputs={"n": times}).result()
        assert result.measurement_counts == {str(times % 2): 5}


def test_openqasm_from_a_file(device: Device, tmp_path: Path) -> None:
    path = tmp_path / "program.qasm"
    path.write_text("OPENQASM 3.0; qubit[1] q; x q[0];")
    assert device.run(Program(source=str(path)), shots=4).result().measurement_counts == {"1": 4}


def test_resets_run(device: Device) -> None:
    source = "OPENQASM 3.0; qubit[2] q; bit[2] c; h q[0]; cnot q[0], q[1]; reset q[0]; c = measure q;"
    counts = device.run(Program(source=source), shots=200).result().measurement_counts
    assert set(counts) == {"00", "01"}


@pytest.mark.parametrize(
    "source",
    [
        "qubit[2] q; bit[2] c; h q[0]; c[0] = measure q[0]; if (c[0]) { x q[1]; }",
        'qubit[2] q; bit[2] c = "00"; h q[0]; c[0] = measure q[0]; if (c[0] == 1) { x q[1]; }',
        "qubit[2] q; bit c = 0; h q[0]; c = measure q[0]; rx(c * pi) q[1];",
        'qubit[2] q; bit[2] c = "00"; c[0] = measure q[0]; rx(c[0] * pi) q[1];',
        "qubit[2] q; bit c = 0; int n = 0; c = measure q[0]; n = c + 1; rx(n * pi) q[1];",
        "qubit[2] q; bit c = 0; c = measure q[0]; while (c) { x q[1]; }",
    ],
)
def test_operations_that_depend_on_measured_bits_are_refused(device: Device, source: str) -> None:
    with pytest.raises(ValueError, match=r"operations depend on measured bits.*SamplerV2"):
        device.run(Program(source="OPENQASM 3.0; " + source), shots=5)


REFUSED: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (Circuit().x(0).bit_flip(0, 0.1), {"shots": 1}, ValueError, "BitFlip on qubit 0 is noise.*has a noise model"),
    (Circuit(), {"shots": 1}, ValueError, "at least one non-zero-qubit gate"),
    (Circuit().x(0), {}, ValueError, "No result types specified for circuit and shots=0"),
    (Circuit().x(0), {"shots": -1}, ValueError, "shots is -1"),
    (Circuit().x(0), {"shots": 1.5}, TypeError, "shots is 1.5: give a whole number"),
    (Circuit().x(0), {"shots": 1, "reservation_arn": "x"}, TypeError, r"\(reservation_arn\).*leave them out"),
    (Circuit().rx(0, A), {"shots": 1}, ValueError, "unbound parameters: a has no value"),
    (Circuit().rx(0, A), {"shots": 1, "inputs": {"a": 1j}}, ValueError, "input a is 1j"),
    (Circuit().rx(0, A), {"shots": 1, "inputs": {"a": np.nan}}, ValueError, "input a is nan"),
    (Circuit().rx(0, 1 / A), {"shots": 1, "inputs": {"a": 0}}, ValueError, "1/a is not a real, finite number"),
    (Circuit().x(0).sample(Observable.Z(0)), {}, ValueError, "Sample can only be specified when shots>0"),
    (Circuit().x(0).state_vector(), {"shots": 1}, ValueError, "StateVector or Amplitude cannot be"),
    (Circuit().x(0).density_matrix(), {"shots": 1}, ValueError, "DensityMatrix cannot be specified when shots>0"),
    (Circuit().x(0).amplitude(["00"]), {}, ValueError, "00 of Amplitude has 2 bits and the circuit 1 qubits"),
    (Circuit().x(0).probability([3]), {}, ValueError, "asked of qubit 3"),
    (Circuit().rx(0, A).adjoint_gradient(Observable.Z(0)), {"inputs": {"a": 1}}, ValueError, "AdjointGradient cannot"),
    (
        Circuit().x(0).expectation(Observable.Z(0)).expectation(Observable.X(0)),
        {"shots": 1},
        ValueError,
        "cannot be sampled simultaneously",
    ),
    (Circuit().x(0).expectation(2 * Observable.Z(0)), {"shots": 1}, ValueError, "has a coefficient"),
    (Circuit().x(0).unitary(list(range(9)), np.eye(512)), {"shots": 1}, ValueError, "matrix of 9 qubits is too large"),
    (3, {}, NotImplementedError, "a int cannot be sent"),
    (Program(source="OPENQASM 3.0; qubit[1] q; foo q[0];"), {"shots": 1}, ValueError, "is no Braket circuit"),
    (
        Program(source="OPENQASM 3.0; qubit[2] q; bit b1; bit b2; b1 = measure q[0]; b2 = measure q[1];"),
        {"shots": 1},
        ValueError,
        "measures into one bit twice",
    ),
]


@pytest.mark.parametrize(("program", "options", "kind", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_refusals(
    recorder: Recorder, device: Device, program: Any, options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        device.run(program, **options)
    assert not recorder.tasks


def test_refusals_of_batches(device: Device) -> None:
    with pytest.raises(ValueError, match="equal in number, and are 1 and 2"):
        device.run_batch([EXACT, EXACT], inputs=[{"a": 1}])
    with pytest.raises(ValueError, match="equal in number, and are 2 and 3"):
        device.run_batch([EXACT, EXACT], inputs={"a": 1}, shots=[1, 2, 3])
    with pytest.raises(ValueError, match="max_parallel is 0"):
        device.run_batch([EXACT], max_parallel=0)
    with pytest.raises(TypeError, match="poll_timeout_seconds"):
        device.run_batch([EXACT], poll_timeout_seconds=1)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_exact_answers_are_the_local_simulators(data: st.DataObject) -> None:
    qubits = data.draw(st.permutations([1, 4, 6]))
    circuit = Circuit()
    for qubit in qubits:
        circuit.u(qubit, *data.draw(st.tuples(*[st.floats(-3, 3)] * 3)))
    circuit.cnot(qubits[0], qubits[1]).xy(qubits[1], qubits[2], 0.7).gphase(0.4)
    factors = data.draw(st.lists(st.sampled_from("XYZHI"), min_size=1, max_size=3))
    product = getattr(Observable, factors[0])()
    for letter in factors[1:]:
        product = product @ getattr(Observable, letter)()
    target = qubits[: len(factors)]
    circuit.expectation(product, target).variance(product, target).variance(Observable.Y()).state_vector()
    # Of three targets the local simulator takes the inverse permutation.
    circuit.probability(target[:2]).probability().density_matrix(target[:2]).amplitude(["000", "101"])
    ours, theirs = (each.run(circuit, shots=0).result() for each in (Device(_ENGINE), LocalSimulator("braket_sv")))
    # By their places, since the local simulator's results name other qubits than the circuit.
    for result_type, mine, other in zip(circuit.result_types, ours.values, theirs.values, strict=True):
        assert ours.get_value_by_result_type(result_type) is mine
        if isinstance(result_type, ResultType.Amplitude):
            assert mine == pytest.approx(other)
        else:
            np.testing.assert_allclose(mine, other, atol=1e-7, err_msg=str(result_type))


_ENGINE = Recorder()


@pytest.mark.parametrize("target", list(itertools.permutations([1, 4, 6])), ids=str)
def test_the_order_of_targets_is_that_of_bits(device: Device, target: tuple[int, ...]) -> None:
    circuit = Circuit().x(1).i(4).i(6).probability(target).density_matrix(target)
    probabilities, density = device.run(circuit).result().values
    place = 4 >> target.index(1)
    assert probabilities[place] == pytest.approx(1)
    assert density[place, place] == pytest.approx(1)
    sampled = device.run(Circuit().x(1).i(4).i(6).probability(target), shots=9).result()
    assert sampled.values[0][place] == 1


def test_sums_and_coefficients_are_exact(device: Device) -> None:
    total = 2 * Observable.Z(0) @ Observable.Z(1) - 0.5 * Observable.X(0) + 3 * Observable.I(1)
    circuit = Circuit().ry(0, 0.4).x(1).expectation(total).variance(-3 * Observable.X(0))
    values = device.run(circuit).result().values
    assert values == pytest.approx([-2 * np.cos(0.4) - 0.5 * np.sin(0.4) + 3, 9 * np.cos(0.4) ** 2])


def test_a_seed_makes_results_repeatable_and_runs_differ(recorder: Recorder) -> None:
    circuit = Circuit().h(range(8))

    def runs(seed: Any) -> list[bytes]:
        device = Device(recorder, seed=seed)
        return [device.run(circuit, shots=20).result().measurements.tobytes() for _ in range(2)]

    first = runs(5)
    assert first == runs(5) == runs(np.random.default_rng(5))
    assert first[0] != first[1]


def test_the_life_of_a_task() -> None:
    runner = Waiting()
    task = Device(runner).run(Circuit().x(0), shots=3)
    assert runner.begun.wait(60)
    assert task.state() == "RUNNING"
    assert task.metadata() | {"createdAt": None} == {
        "id": task.id,
        "deviceId": "qonverge",
        "shots": 3,
        "createdAt": None,
        "status": "RUNNING",
    }
    runner.free.set()
    result = task.result()
    assert (task.state(), task.result() is result) == ("COMPLETED", True)
    about = result.task_metadata
    assert (about.id, about.shots, about.deviceId, about.status) == (task.id, 3, "qonverge", "COMPLETED")
    assert about.createdAt <= about.endedAt
    assert "x q[0];" in result.additional_metadata.action.source


def test_a_task_that_is_cancelled() -> None:
    runner = Waiting()
    task = Device(runner).run(Circuit().x(0), shots=3)
    assert runner.begun.wait(60)
    task.cancel()
    with pytest.raises(TaskFailed, match="cancelled"):
        task.result()
    assert task.state() == "CANCELLED"


def test_a_task_that_fails(device: Device) -> None:
    class Failing(Recorder):
        def run(self, task: Task, cancelled: threading.Event | None = None) -> TaskResult:
            raise TaskFailed(InvalidTask("no such thing"))

    task = Device(Failing()).run(Circuit().x(0), shots=3)
    with pytest.raises(TaskFailed, match="no such thing"):
        task.result()
    assert task.state() == "FAILED"


async def test_results_are_awaited(device: Device) -> None:
    tasks = [device.run(Circuit().x(0), shots=shots) for shots in (2, 3)]
    results = await asyncio.gather(*(task.async_result() for task in tasks))
    assert [result.measurement_counts for result in results] == [{"1": 2}, {"1": 3}]


def test_what_the_device_says_of_itself(device: Device, recorder: Recorder) -> None:
    assert isinstance(device, BraketDevice)
    assert (device.name, device.status, device.type) == ("qonverge", "AVAILABLE", "SIMULATOR")
    properties, info = device.properties, recorder.info()
    assert properties.service.shotsRange == (0, info.max_shots)
    assert 20 <= properties.paradigm.qubitCount < 64
    action = properties.action[DeviceActionType.OPENQASM]
    local = LocalSimulator("braket_sv").properties.action[DeviceActionType.OPENQASM]
    assert {name.lower() for name in local.supportedOperations} == set(action.supportedOperations)
    assert {each.name for each in local.supportedResultTypes} == {each.name for each in action.supportedResultTypes}


def test_a_backend_that_is_away_is_offline() -> None:
    class Away(Recorder):
        def info(self) -> BackendInfo:
            raise BackendUnreachable("nobody answers")

    assert Device(Away()).status == "OFFLINE"


def test_the_client_does_not_import_braket() -> None:
    code = "import sys, qonverge.client; sys.exit('braket' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
