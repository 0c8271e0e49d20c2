"""OpenQASM programs as Braket's circuits, by Braket's own interpreter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from braket.circuits import Circuit, Instruction
from braket.circuits.braket_program_context import BraketProgramContext
from braket.circuits.compiler_directive import CompilerDirective
from braket.circuits.measure import Measure
from braket.default_simulator.openqasm.interpreter import Interpreter


class Reset(CompilerDirective):  # type: ignore[misc]  # the SDK ships no types
    """Puts a qubit into state 0; Braket's circuits have no instruction for it."""

    def __init__(self) -> None:
        super().__init__(["Reset"])

    def counterpart(self) -> NoReturn:
        """Refuse: nothing undoes it."""
        raise NotImplementedError("a reset has no inverse")


class _Context(BraketProgramContext):  # type: ignore[misc]  # as above
    """Keeps resets, which Braket's own drops, and does not take a bit's initial value for a measured one."""

    @property
    def supports_midcircuit_measurement(self) -> bool:
        """Whether to be asked what depends on measurements."""
        return True

    def is_mcm_dependent(self, expression: Any) -> bool:
        """Return False; an expression that depends on measured bits is refused."""
        if super().is_mcm_dependent(expression):
            self._refuse()
        return False

    def get_value(self, name: str) -> Any:
        """Return a variable's value."""
        if self._is_name_mcm_dependent(name):
            self._refuse()
        return super().get_value(name)

    def get_value_by_identifier(self, identifier: Any) -> Any:
        """Return the value of a variable or a part of it."""
        if super().is_mcm_dependent(identifier):
            self._refuse()
        return super().get_value_by_identifier(identifier)

    def add_measure(
        self, target: tuple[int], classical_targets: Iterable[int] | None = None, classical_destination: object = None
    ) -> None:
        """Measure qubits into bits of the one register that there is."""
        del classical_destination
        super().add_measure(target, classical_targets)

    def add_reset(self, target: list[int]) -> None:
        """Reset qubits."""
        for qubit in target:
            self.circuit.add_instruction(Instruction(Reset(), qubit))

    def _refuse(self) -> NoReturn:
        raise ValueError("operations depend on measured bits")


def parse(source: str, inputs: Mapping[str, Any] | None) -> Circuit:
    """Return the circuit of a program; without inputs they stay free parameters.

    Raises:
        ValueError: there is none, saying why.
    """
    try:
        circuit = Interpreter(_Context()).build_circuit(source=source, inputs=dict(inputs or {}))
    except Exception as error:  # the interpreter raises whatever its parts do
        raise ValueError(
            f"the OpenQASM program is no Braket circuit ({type(error).__name__}: {error}): one that goes on with what "
            "it has measured runs through Qiskit's SamplerV2"
        ) from error
    bits = [each.operator._target_index for each in circuit.instructions if isinstance(each.operator, Measure)]
    if len(set(bits)) < len(bits):
        raise ValueError("the OpenQASM program measures into one bit twice: use one register, with a bit for each")
    return circuit
