"""Runs OpenQASM programs on Braket's own simulators, with the errors of a device's calibration.

Inside a verbatim box qubits are the device's own: each gate errs as its qubits or its pair do. Elsewhere a QPU would
map the circuit to its qubits first. That is not imitated: the gates run as they are written, each with the mean error
of the device's gates on as many qubits. Qubits are misread after the simulation, each with its own rate, or the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any

import numpy as np
from braket.default_simulator import StateVectorSimulator
from braket.default_simulator.density_matrix_simulator import DensityMatrixSimulator
from braket.default_simulator.gate_operations import BRAKET_GATES
from braket.default_simulator.openqasm.program_context import ProgramContext
from braket.default_simulator.simulator import BaseLocalSimulator
from braket.ir.jaqcd import DensityMatrix
from braket.ir.openqasm import Program
from braket.tasks import GateModelQuantumTaskResult

from qonverge_dev_cloud.calibration import Calibration
from qonverge_dev_cloud.chips import Chip

# What this machine simulates within seconds, whatever the device takes.
WIDEST_NOISY, WIDEST_EXACT = 11, 24
_MOST_CONTROLLED = 8
# "List of result types" of the developer guide.
_WIDEST_MATRIX = 8


class BadProgram(ValueError):
    """A program that the device does not take; the text says why."""


@dataclass(frozen=True, slots=True)
class Qasm:
    """An OpenQASM 3 program and its inputs."""

    source: str
    inputs: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class _Errors:
    """Depolarizing probabilities of gates, by the qubits that they act on."""

    calibration: Calibration
    single: float
    pair: float

    @classmethod
    def of(cls, calibration: Calibration) -> _Errors:
        return cls(calibration, fmean(calibration.single.values()), fmean(calibration.pairs.values()))

    def single_probability(self, qubit: int, *, verbatim: bool) -> float:
        # Depolarizing with probability p turns a pure state into one of average fidelity 1 - 2p/3.
        return (1 - (self.calibration.single[qubit] if verbatim else self.single)) * 3 / 2

    def pair_probability(self, qubits: tuple[int, int], *, verbatim: bool) -> float:
        # On two qubits: 1 - 4p/5.
        own = self.calibration.pair(*qubits) if verbatim else None
        return (1 - (own or self.pair)) * 5 / 4


class _Context(ProgramContext):  # type: ignore[misc] # Braket's simulator has no types
    """Follows a program: checks verbatim boxes, and adds errors after gates."""

    def __init__(self, simulator: BaseLocalSimulator, chip: Chip, errors: _Errors | None) -> None:
        super().__init__(simulator=simulator)
        self._chip, self._errors = chip, errors
        self._verbatim = False
        self.was_verbatim = False
        self._pairs = frozenset(frozenset(edge) for edge in chip.edges)

    def add_verbatim_marker(self, marker: Any) -> None:
        if self._chip.kind == "SIMULATOR":
            raise BadProgram(f"{self._chip.name} takes no verbatim boxes")
        self._verbatim = not self._verbatim
        self.was_verbatim = True

    def add_gate_instruction(
        self, gate_name: str, target: tuple[int, ...], params: Any, ctrl_modifiers: list[int], power: int
    ) -> None:
        target = tuple(target)
        if self._verbatim:
            self._check_native(gate_name, target, ctrl_modifiers, power)
        if ctrl_modifiers:
            self._add_controlled(gate_name, target, params, ctrl_modifiers, power)
        else:
            super().add_gate_instruction(gate_name, target, params, ctrl_modifiers, power)
        if self._errors is not None:
            self._err(self._errors, target)

    def _add_controlled(self, gate: str, target: tuple[int, ...], params: Any, controls: list[int], power: int) -> None:
        """Append a gate with ``ctrl`` or ``negctrl`` as one matrix, the controls first.

        Braket's simulator loses what such a gate does to some states of four qubits or more: it writes into a copy.
        """
        if len(target) > _MOST_CONTROLLED:
            raise BadProgram(
                f"dev-cloud runs gates on up to {_MOST_CONTROLLED} qubits with their controls, not {len(target)}"
            )
        own = BRAKET_GATES[gate](target, *params, power=power).matrix
        matrix = np.eye(len(own) << len(controls), dtype=complex)
        first = len(own) * int("".join(map(str, controls)), 2)
        matrix[first : first + len(own), first : first + len(own)] = own
        super().add_custom_unitary(matrix, target)

    def _check_native(self, gate: str, target: tuple[int, ...], controls: list[int], power: int) -> None:
        chip = self._chip
        if gate not in chip.native or controls or power != 1:
            raise BadProgram(f"{chip.name} has no native gate {gate}: use {', '.join(chip.native)} in verbatim boxes")
        for qubit in target:
            if qubit not in chip.qubits:
                raise BadProgram(f"{chip.name} has no qubit {qubit}")
        if len(target) == 2 and frozenset(target) not in self._pairs:
            raise BadProgram(f"qubits {target[0]} and {target[1]} of {chip.name} are not coupled")

    def _err(self, errors: _Errors, target: tuple[int, ...]) -> None:
        if len(target) == 2:
            probability = errors.pair_probability((target[0], target[1]), verbatim=self._verbatim)
            super().add_noise_instruction("two_qubit_depolarizing", list(target), [probability])
            return
        # A gate on more qubits is several native ones: each qubit of it errs as in one on two.
        for qubit in target:
            probability = errors.single_probability(qubit, verbatim=self._verbatim) if len(target) == 1 else errors.pair
            super().add_noise_instruction("depolarizing", [qubit], [probability])

    def add_noise_instruction(self, noise_instruction: str, target: list[int], probabilities: list[float]) -> None:
        if not self._chip.mixed:
            raise BadProgram(f"{self._chip.name} takes no noise: {noise_instruction}")
        super().add_noise_instruction(noise_instruction, target, probabilities)

    def add_kraus_instruction(self, matrices: list[Any], target: list[int]) -> None:
        if not self._chip.mixed:
            raise BadProgram(f"{self._chip.name} takes no noise: kraus")
        super().add_kraus_instruction(matrices, target)

    def add_reset(self, target: list[int]) -> None:
        # Braket's simulator adds the amplitudes of the states that become one, which is right for basis states only.
        raise BadProgram(f"{self._chip.name} has no reset here")

    def add_custom_unitary(self, unitary: Any, target: tuple[int, ...]) -> None:
        if self._chip.kind == "QPU":
            raise BadProgram(f"{self._chip.name} takes no unitary matrices")
        super().add_custom_unitary(unitary, target)


class _Exact(StateVectorSimulator):  # type: ignore[misc]
    def __init__(self, chip: Chip, generator: np.random.Generator) -> None:
        self._chip, self._generator = chip, generator

    def create_program_context(self) -> _Context:
        return _Context(self, self._chip, None)

    def initialize_simulation(self, **kwargs: Any) -> Any:
        simulation = super().initialize_simulation(**kwargs)
        simulation._rng_generator = self._generator
        return simulation


class _Noisy(DensityMatrixSimulator):  # type: ignore[misc]
    def __init__(self, chip: Chip, errors: _Errors | None, generator: np.random.Generator) -> None:
        self._chip, self._errors, self._generator = chip, errors, generator

    def create_program_context(self) -> _Context:
        return _Context(self, self._chip, self._errors)

    def run_openqasm(self, openqasm_ir: Program, shots: int = 0, *, batch_size: int = 1) -> Any:
        # Braket's own takes verbatim boxes out of the text, which have a meaning here.
        return BaseLocalSimulator.run_openqasm(self, openqasm_ir, shots, batch_size=batch_size)

    def initialize_simulation(self, **kwargs: Any) -> Any:
        simulation = super().initialize_simulation(**kwargs)
        simulation._rng_generator = self._generator
        return simulation


def check(chip: Chip, program: Qasm, shots: int, *, noisy: bool, results: Mapping[str, tuple[int, int]] | None) -> None:
    """Say whether a device takes a program, and this machine runs it with errors or without.

    Args:
        chip: the device.
        program: with values for all its inputs.
        shots: 0 for exact values.
        noisy: whether it runs with errors.
        results: the result types that it may ask for, and the fewest and the most shots that each takes; None: it is of
            a program set, which has none.

    Raises:
        BadProgram: it does not.
    """
    width, _, asked = _examined(chip, program)
    if isinstance(width, str):
        raise BadProgram(width)
    if asked and results is None:
        raise BadProgram(f"a program of a set has no result types, and it asks for {asked[0]}")
    if width == 0:
        raise BadProgram("the program acts on no qubit")
    if width > chip.width:
        raise BadProgram(f"the program acts on {width} qubits; {chip.name} has {chip.width}")
    if shots == 0 and not asked:
        raise BadProgram("without shots a result type is needed")
    for name in asked:
        if results is None or name not in results:
            raise BadProgram(f"{chip.name} does not have the result type {name}")
        least, most = results[name]
        if not least <= shots <= most:
            raise BadProgram(f"{shots} shots: {chip.name} takes {least} to {most} with the result type {name}")
    # Here, not there: a device takes more.
    widest = WIDEST_NOISY if noisy else WIDEST_EXACT
    if width > widest:
        raise BadProgram(
            f"the program acts on {width} qubits: dev-cloud simulates up to {widest} "
            f"{'with errors' if noisy else 'without errors'}, though {chip.name} takes {chip.width}"
        )


def run(chip: Chip, program: Qasm, shots: int, *, calibration: Calibration | None, seed: int) -> dict[str, Any]:
    """Run a program that was checked.

    Args:
        chip: what it runs on.
        program: with values for all its inputs.
        shots: 0 for exact values of its result types.
        calibration: None where nothing errs.
        seed: of all draws.

    Returns:
        ``measurements``, ``measuredQubits`` and ``resultTypes``, as ``GateModelTaskResult`` of Braket has them.
    """
    generator = np.random.default_rng(seed)
    if calibration is None and not chip.mixed:
        simulator: Any = _Exact(chip, generator)
    else:
        simulator = _Noisy(chip, None if calibration is None else _Errors.of(calibration), generator)
    found = simulator.run(Program(source=program.source, inputs=dict(program.inputs)), shots=shots)
    out: dict[str, Any] = {"measuredQubits": list(found.measuredQubits)}
    if not shots:
        return out | {"resultTypes": _values(found.resultTypes)}
    bits = np.asarray(found.measurements, dtype=np.uint8)
    if calibration is not None:
        _, verbatim, _ = _examined(chip, program)
        bits ^= generator.random(bits.shape) < _misread(calibration, found.measuredQubits, verbatim=verbatim)
    if found.resultTypes:
        # As the SDK has it for simulators on its own machine, from the shots as they were read.
        found.measurements = bits.tolist()
        out["resultTypes"] = _values(GateModelQuantumTaskResult.from_object(found).result_types)
    return out | {"measurements": bits.tolist()}


def _values(result_types: Any) -> list[dict[str, Any]]:
    return [{"type": own.type, "value": _plain(own.value)} for own in result_types]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: a complex number is a list of its two parts."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    return value


def _misread(calibration: Calibration, qubits: list[int], *, verbatim: bool) -> Any:
    mean = fmean(calibration.readout.values())
    return np.array([1 - (calibration.readout.get(qubit, mean) if verbatim else mean) for qubit in qubits])


@lru_cache(maxsize=512)
def _examined(chip: Chip, program: Qasm) -> tuple[int | str, bool, tuple[str, ...]]:
    """Return the number of qubits, or what is wrong; whether there is a verbatim box; the names of result types."""
    simulator = _Exact(chip, np.random.default_rng(0))
    try:
        context = simulator._parse_program_with_shots(Program(source=program.source, inputs=dict(program.inputs)), 1)
        if context.is_branched:
            return "it uses qubits again after it measured them, or their bits, which no device here offers", False, ()
        circuit = context.circuit
        circuit.validate_single_measured_register()
        for each in circuit.results:
            if isinstance(each, DensityMatrix) and len(each.targets or circuit.qubit_set) > _WIDEST_MATRIX:
                return f"a density matrix is of up to {_WIDEST_MATRIX} qubits: name fewer targets", False, ()
        simulator._validate_input_provided(circuit)
    except Exception as error:
        # Braket's interpreter raises whatever Python does, such as KeyError for a name that was not declared.
        return f"the program cannot be read: {str(error) or type(error).__name__}", False, ()
    return len(circuit.qubit_set), context.was_verbatim, tuple(type(own).__name__ for own in circuit.results)
