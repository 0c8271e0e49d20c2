"""A backend as Qiskit sees backends: with a target to transpile for, and ``run``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.providers import BackendV2, JobStatus, JobV1, Options
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData
from qiskit.transpiler import Target

from qonverge.backend.engines.bits import register_sizes
from qonverge.circuits.analysis.final_operations import without_final_resets
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.circuits.mapping.target import CONTROL_FLOW, device_target, operation
from qonverge.client import numbers
from qonverge.client.qiskit.jobs import Sender, SentTask
from qonverge.client.qiskit.task_builder import TaskBuilder
from qonverge.client.seeds import checked_seed
from qonverge.client.transport.circuits import CircuitCache
from qonverge.client.transport.connect import Runner, connect
from qonverge.devices import Calibration
from qonverge.devices.noise import noise_from_dict
from qonverge.providers.descriptor import STATE_POWER
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.messages import MAX_SHOTS, PubResult, TaskResult

# No program can name a register so.
_LOOSE = "bits of no register"


class QonvergeBackend(BackendV2):  # type: ignore[misc]  # qiskit ships no types
    """A quantum backend of Qonverge, for ``transpile`` and for programs that call ``backend.run``."""

    def __init__(self, runner: Runner | None = None, *, name: str | None = None) -> None:
        """Without a runner the environment says where to run, as for the primitives.

        Raises:
            ClientError: the backend does not answer, or refuses.
        """
        self._sender = Sender(runner or connect())
        info = self._sender.runner.info()
        super().__init__(name=name or "qonverge", description=f"{info.engine}, {info.method}", backend_version="1")
        self._info = info
        self._target = target_of(info)
        self._circuits = CircuitCache(_with_all_bits)

    @property
    def runner(self) -> Runner:
        """What runs its tasks."""
        return self._sender.runner

    @property
    def target(self) -> Target:
        """Gates with their places, errors and durations (seconds), as the backend tells them."""
        return self._target

    @property
    def max_circuits(self) -> None:
        """Circuits in one job: any number."""
        return

    @classmethod
    def _default_options(cls) -> Options:
        options = Options(shots=DEFAULT_SHOTS, memory=False, seed_simulator=None)
        options.set_validator("shots", (1, MAX_SHOTS))
        options.set_validator("memory", bool)
        return options

    def run(self, run_input: QuantumCircuit | Sequence[QuantumCircuit], **options: Any) -> BackendJob:
        """Start circuits as one task.

        Args:
            run_input: circuits whose parameters all have values.
            **options: ``shots``, ``memory`` (every shot's bits, in order), ``seed_simulator``; None stands for the
                backend's own option.

        Raises:
            TypeError: an option is of another kind than it should be.
            ValueError: so, or a circuit has free parameters or measures nothing.
        """
        for option in options.keys() - set(self.options):
            warnings.warn(f"the option {option} is not one of this backend and has no effect", stacklevel=2)
        circuits = [run_input] if isinstance(run_input, QuantumCircuit) else list(run_input)
        chosen = {**vars(self.options), **{name: value for name, value in options.items() if value is not None}}
        shots, seed = numbers.shots(chosen["shots"]), checked_seed(chosen["seed_simulator"], "seed_simulator")
        builder = TaskBuilder(self._circuits)
        for circuit in circuits:
            if circuit.num_parameters:
                raise ValueError(
                    f"the circuit {circuit.name} has parameters without values, {_named(circuit.parameters)}: give "
                    "them by assign_parameters(), or use SamplerV2, which takes values for each run"
                )
            if not circuit.num_clbits:
                raise ValueError(f"the circuit {circuit.name} measures nothing: add measurements, as by measure_all()")
            builder.add(circuit, shots=shots)
        task = builder.task(seed, memory=bool(chosen["memory"]))
        return BackendJob(self, circuits, self._sender.send(task))


class BackendJob(JobV1):  # type: ignore[misc]
    """Circuits on their way."""

    def __init__(self, backend: QonvergeBackend, circuits: Sequence[QuantumCircuit], sent: SentTask) -> None:
        """Take a task that was sent."""
        super().__init__(backend, sent.id)
        self._circuits = circuits
        self._sent = sent

    def submit(self) -> None:
        """Do nothing: a job is sent when it is made."""

    def result(self, timeout: float | None = None) -> Result:
        """Return the result, waiting for so many seconds.

        Raises:
            ClientError: saying why there is none.
            TimeoutError: it is not there yet.
        """
        done: TaskResult = self._sent.result(timeout)
        backend = self.backend()
        return Result(
            backend_name=backend.name,
            backend_version=backend.backend_version,
            job_id=self.job_id(),
            success=True,
            status="COMPLETED",
            results=[_experiment(*pair, done.seed) for pair in zip(self._circuits, done.results, strict=True)],
            engine=done.engine,
            time_taken=done.run_seconds,
        )

    def status(self) -> JobStatus:
        """Return how the task stands."""
        return self._sent.status()

    def cancel(self) -> None:
        """End the task."""
        self._sent.cancel()


def target_of(info: BackendInfo) -> Target:
    """Return what circuits may hold on this backend, with errors and durations where it has any."""
    standard = get_standard_gate_name_mapping()
    names = [name for name in info.basis_gates if name in standard]
    device = None if info.calibration is None else noise_from_dict(info.calibration)
    if not isinstance(device, Calibration):
        target = Target(num_qubits=_qubits_that_fit(info))
        for name in (*names, "measure", "reset", "delay"):
            if name not in target.operation_names:
                target.add_instruction(operation(name), None, name=name)
    else:
        target = device_target(device)
        target.dt = device.dt
    for name in info.basis_gates:
        if name in CONTROL_FLOW:
            target.add_instruction(CONTROL_FLOW[name], name=name)
    return target


def _qubits_that_fit(info: BackendInfo) -> int | None:
    """Return the widest circuit; None where memory does not bound it, as with stabilizers and matrix product states."""
    if info.max_qubits is not None:
        return info.max_qubits
    power = STATE_POWER.get(info.method)
    if power is None or info.memory_bytes is None:
        return None
    return int(math.log2(info.memory_bytes / 16)) // power


def _experiment(circuit: QuantumCircuit, data: PubResult, seed: int | None) -> ExperimentResult:
    """Return one circuit's result in the form of Qiskit's own simulators: outcomes as hexadecimal numbers."""
    memory = None
    if data.registers:
        outcomes = _whole_outcomes(circuit, data)
        memory = [hex(outcome) for outcome in outcomes]
        counts: dict[str, int] = {}
        for key in memory:
            counts[key] = counts.get(key, 0) + 1
    else:
        counts = {hex(int(key.replace(" ", ""), 2)): count for key, count in data.counts[0].items()}
    sizes = [(register.name, register.size) for register in circuit.cregs]
    if sizes and sum(size for _, size in sizes) != circuit.num_clbits:
        # Qiskit would leave out the bits of no register.
        sizes = [("", size) for size in register_sizes(circuit)]
    header = {
        "name": circuit.name,
        "memory_slots": circuit.num_clbits,
        "creg_sizes": list(map(list, sizes)),
        "n_qubits": circuit.num_qubits,
        "metadata": circuit.metadata or {},
    }
    return ExperimentResult(
        data.shots,
        True,
        ExperimentResultData(counts=counts, memory=memory),
        status="DONE",
        seed=seed,
        header=header,
        method=data.method,
    )


def _whole_outcomes(circuit: QuantumCircuit, data: PubResult) -> list[int]:
    """Return every shot as one number, the circuit's first bit lowest."""
    columns: dict[int, NDArray[np.uint8]] = {}
    for register in _with_all_bits(circuit).cregs:
        _, raw = data.registers[register.name]
        bits = np.unpackbits(raw[0], axis=-1)[:, ::-1]
        columns.update({circuit.find_bit(bit).index: bits[:, place] for place, bit in enumerate(register)})
    joined = np.stack([columns[place] for place in range(circuit.num_clbits)], axis=-1)
    packed = np.packbits(joined, axis=-1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _with_all_bits(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return what runs, with a register for the bits that are in none: backends name bits by registers."""
    shorter = without_final_resets(circuit)
    inside = {bit for register in circuit.cregs for bit in register}
    if loose := [bit for bit in circuit.clbits if bit not in inside]:
        shorter = shorter.copy()
        shorter.add_register(ClassicalRegister(bits=loose, name=_LOOSE))
    return shorter


def _named(parameters: Any) -> str:
    return ", ".join(sorted(parameter.name for parameter in parameters))
