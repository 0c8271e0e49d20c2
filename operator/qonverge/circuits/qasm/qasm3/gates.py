"""Gates: the standard ones, definitions, modifiers and applications."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openqasm3 import ast
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterExpression, Qubit
from qiskit.circuit.library import standard_gates as library

from qonverge.circuits.qasm import diagnostics
from qonverge.circuits.qasm.qasm3 import cells
from qonverge.circuits.qasm.qasm3.conversions import convert
from qonverge.circuits.qasm.qasm3.expressions import Expressions
from qonverge.circuits.qasm.qasm3.program import GateName, Name, Program, Scope, Variable
from qonverge.circuits.qasm.qasm3.values import FLOAT, QUBIT, Fault, Value, cells_of

# "stdgates.inc": builder, angles, qubits.
_STANDARD: Mapping[str, tuple[Callable[..., Gate], int, int]] = {
    "p": (library.PhaseGate, 1, 1),
    "x": (library.XGate, 0, 1),
    "y": (library.YGate, 0, 1),
    "z": (library.ZGate, 0, 1),
    "h": (library.HGate, 0, 1),
    "s": (library.SGate, 0, 1),
    "sdg": (library.SdgGate, 0, 1),
    "t": (library.TGate, 0, 1),
    "tdg": (library.TdgGate, 0, 1),
    "sx": (library.SXGate, 0, 1),
    "rx": (library.RXGate, 1, 1),
    "ry": (library.RYGate, 1, 1),
    "rz": (library.RZGate, 1, 1),
    "cx": (library.CXGate, 0, 2),
    "cy": (library.CYGate, 0, 2),
    "cz": (library.CZGate, 0, 2),
    "cp": (library.CPhaseGate, 1, 2),
    "crx": (library.CRXGate, 1, 2),
    "cry": (library.CRYGate, 1, 2),
    "crz": (library.CRZGate, 1, 2),
    "ch": (library.CHGate, 0, 2),
    "swap": (library.SwapGate, 0, 2),
    "ccx": (library.CCXGate, 0, 3),
    "cswap": (library.CSwapGate, 0, 3),
    "cu": (library.CUGate, 4, 2),
    "CX": (library.CXGate, 0, 2),
    "phase": (library.PhaseGate, 1, 1),
    "cphase": (library.CPhaseGate, 1, 2),
    # As the header defines it: Qiskit's identity is a delay to some of its passes.
    "id": (lambda: library.UGate(0, 0, 0), 0, 1),
    "u1": (library.U1Gate, 1, 1),
    "u2": (library.U2Gate, 2, 1),
    "u3": (library.U3Gate, 3, 1),
}
# Native gates of devices, as Amazon Braket's verbatim boxes name them; the specification's phases do not matter, since
# no modifier may be on them there.
_NATIVE: Mapping[str, tuple[Callable[..., Gate], int, int]] = {
    "rx": (library.RXGate, 1, 1),
    "rz": (library.RZGate, 1, 1),
    "cz": (library.CZGate, 0, 2),
    "prx": (library.RGate, 2, 1),
    "gpi": (lambda axis: library.RGate(math.pi, axis), 1, 1),
    "gpi2": (lambda axis: library.RGate(math.pi / 2, axis), 1, 1),
    "zz": (library.RZZGate, 1, 2),
    "iswap": (library.iSwapGate, 0, 2),
}
# Gates of one angle of which that of a sum is the product of those of the parts.
_ADDITIVE = ("p", "phase", "u1", "rx", "ry", "rz", "cp", "cphase", "crx", "cry", "crz")
_MAX_CONTROLS = 64
# More repetitions than this are no way to write a gate.
_MAX_POWER = 10_000
# The specification's U is Qiskit's times exp(i theta / 2), and stdgates.inc defines u2 and u3 by it (specification,
# "Built-in gates"). Only controls make it matter.
_PHASES: Mapping[str, Callable[..., Any]] = {
    "u2": lambda phi, lam: -(phi + lam) / 2,
    "u3": lambda theta, phi, lam: -(phi + lam) / 2,
}
BUILTIN = GateName(None, 3, 1, library.UGate, lambda theta, phi, lam: theta / 2)


class Gates:
    """Defines and applies gates."""

    def __init__(self, program: Program, values: Expressions) -> None:
        """Nothing is defined but U."""
        self._program = program
        self._values = values
        program.top.names["U"] = BUILTIN

    def include_standard(self, node: ast.Include) -> None:
        """Define the gates of the standard header."""
        for name, (build, angles, qubits) in _STANDARD.items():
            self._program.define(name, GateName(node, angles, qubits, build, _PHASES.get(name)))

    def name_native(self, node: ast.Pragma) -> None:
        """Define the native gates of devices, as far as their names are free."""
        for name, (build, angles, qubits) in _NATIVE.items():
            if self._program.scope.find(name) is None:
                self._program.define(name, GateName(node, angles, qubits, build))

    def define(self, node: ast.QuantumGateDefinition, carry_out: Callable[[Sequence[ast.Statement]], None]) -> None:
        """Define a gate; its body is tried at once, so that mistakes show where they are."""
        if self._program.scope.kind != "program":
            raise Fault("a gate is defined inside a block", "the definition outside of it")
        name, top = node.name.name, self._program.scope
        built: dict[tuple[Any, ...], QuantumCircuit] = {}

        def build(*angles: Any) -> Gate:
            body = built.get(angles)
            if body is None:
                body = self._body(node, angles, top, carry_out)
                if not angles:
                    built[angles] = body
            # Modifiers go by a gate's name, which must not be that of a gate they know.
            gate = Gate(f"{name}()", len(node.qubits), list(angles))
            gate.definition = body
            return gate

        build(*(0.1 + 0.01 * place for place in range(len(node.arguments))))
        self._program.define(name, GateName(node, len(node.arguments), len(node.qubits), build))

    def _body(
        self,
        node: ast.QuantumGateDefinition,
        angles: Sequence[Any],
        top: Scope,
        carry_out: Callable[[Sequence[ast.Statement]], None],
    ) -> QuantumCircuit:
        program = self._program
        outer, loops, depth = program.circuit, program.loops, program.depth
        qubits = [Qubit() for _ in node.qubits]
        program.circuit, program.loops, program.depth = QuantumCircuit(qubits), [], 0
        try:
            with program.inside("gate", top):
                for name, angle in zip(node.arguments, angles, strict=True):
                    value = Value(FLOAT, angle)
                    program.define(name.name, Variable(name.name, FLOAT, value, name, constant=True))
                for name, qubit in zip(node.qubits, qubits, strict=True):
                    program.define(name.name, Name(name, Value(QUBIT, qubit)))
                carry_out(node.body)
            return program.circuit
        finally:
            program.circuit, program.loops, program.depth = outer, loops, depth

    def apply(self, node: ast.QuantumGate) -> None:
        """Apply a gate to qubits, or to each of registers of one size."""
        symbol = self._gate(node)
        if node.duration is not None:
            raise Fault("a gate with a duration is not supported", "the gate without it")
        name = node.name.name
        if (given := len(node.arguments)) != symbol.angles:
            raise Fault(f"wrong number of angles for gate {name!r}: {given}", str(symbol.angles))
        angles = [self._angle(argument) for argument in node.arguments]
        takes = symbol.qubits + (self._controls(node.modifiers) if node.modifiers else 0)
        if (given := len(node.qubits)) != takes:
            raise Fault(f"wrong number of qubits for gate {name!r}: {given}", str(takes))
        operands = [self._values.qubits(operand) for operand in node.qubits]
        if any(isinstance(angle, Value) for angle in angles):
            self._apply_bit_by_bit(node, symbol, angles[0], operands)
            return
        gate = symbol.build(*angles)
        if symbol.phase is not None and (node.modifiers or self._program.in_gate):
            gate = _with_phase(gate, symbol.phase(*angles))
        self._append(self._modified(node, gate), operands)

    def phase(self, node: ast.QuantumPhase) -> None:
        """Apply ``gphase``, with controls or without."""
        angle = self._angle(node.argument)
        if isinstance(angle, Value):
            raise Fault("gphase of an angle that measurements decide is not supported", "p on a qubit")
        takes = self._controls(node.modifiers)
        if (given := len(node.qubits)) != takes:
            raise Fault(f"wrong number of qubits: {given}", str(takes))
        gate = self._modified(node, QuantumCircuit(global_phase=angle, name="gphase()").to_gate())
        if takes:
            self._append(gate, [self._values.qubits(operand) for operand in node.qubits])
        elif not self._program.depth:
            self._program.circuit.global_phase += gate.definition.global_phase

    def _gate(self, node: ast.QuantumGate) -> GateName:
        name = node.name.name
        symbol = self._program.scope.find(name)
        if isinstance(symbol, GateName):
            return symbol
        if symbol is not None:
            kind = symbol.value.type if isinstance(symbol, Variable) else QUBIT
            raise Fault(f"{name!r} is of type {kind}", "a gate")
        known = [own for own, item in self._program.top.names.items() if isinstance(item, GateName)]
        raise Fault(f"gate {name!r} is not defined", diagnostics.of_unknown_gate(name, known))

    def _angle(self, node: ast.Expression) -> Any:
        """Return radians: a number, an expression of parameters, or a value that measurements decide."""
        value = self._values(node)
        kind = value.type
        if kind.kind not in ("int", "uint", "float", "angle") or kind.dimensions:
            word = self._program.source.word(self._program.offset(node))
            raise self._program.invalid(
                node, f"{word!r} is no angle", "a number, pi, or an input of type float or angle"
            )
        if not value.is_known:
            if kind.kind != "angle":
                raise self._program.invalid(
                    node, f"an angle is computed from a {kind} that measurements decide", "a variable of type angle[n]"
                )
            return value
        number = convert(value, FLOAT).data
        if not isinstance(number, ParameterExpression) and not math.isfinite(number):
            raise self._program.invalid(node, f"the angle is {number}", "a finite number")
        return number

    def _controls(self, modifiers: Sequence[ast.QuantumGateModifier]) -> int:
        total = 0
        for modifier in modifiers:
            if modifier.modifier in (ast.GateModifierName.ctrl, ast.GateModifierName.negctrl):
                count = 1 if modifier.argument is None else self._values.integer(modifier.argument)
                if not 0 < count <= _MAX_CONTROLS:
                    raise self._program.invalid(modifier, f"a gate with {count} controls", f"1 to {_MAX_CONTROLS}")
                total += count
        return total

    def _modified(self, node: ast.QuantumGate | ast.QuantumPhase, gate: Gate) -> Gate:
        for modifier in reversed(node.modifiers):
            if modifier.modifier is ast.GateModifierName.inv:
                gate = gate.inverse()
            elif modifier.modifier is ast.GateModifierName.pow:
                assert modifier.argument is not None
                gate = self._power(gate, self._values.number(modifier.argument))
            else:
                count = 1 if modifier.argument is None else self._values.integer(modifier.argument)
                closed = modifier.modifier is ast.GateModifierName.ctrl
                gate = gate.control(count, ctrl_state=(1 << count) - 1 if closed else 0)
        return gate

    def _power(self, gate: Gate, exponent: float) -> Gate:
        if not any(isinstance(angle, ParameterExpression) and angle.parameters for angle in gate.params):
            return gate.power(exponent)
        # Of a gate whose angles are open only whole powers are known.
        if not exponent.is_integer() or abs(exponent) > _MAX_POWER:
            raise Fault(
                f"the power {exponent:g} of a gate whose angles are inputs",
                f"a whole power of at most {_MAX_POWER}, or a gate of known angles",
            )
        self._program.step(abs(int(exponent)))
        repeated = QuantumCircuit(gate.num_qubits, name=f"{gate.name}^{exponent:g}")
        for _ in range(abs(int(exponent))):
            repeated.append(gate if exponent > 0 else gate.inverse(), range(gate.num_qubits))
        return repeated.to_gate()

    def _append(self, gate: Gate, operands: Sequence[Value]) -> None:
        circuit = self._program.circuit
        registers = [len(operand.data) for operand in operands if operand.type.is_register]
        if not registers:
            circuit.append(gate, [operand.data for operand in operands], copy=False)
            return
        size = registers[0]
        if any(other != size for other in registers):
            raise Fault("the registers have different sizes", "registers of one size")
        self._program.step(size // 10)
        for place in range(size):
            qubits = [operand.data[place] if operand.type.is_register else operand.data for operand in operands]
            circuit.append(gate if place == 0 else gate.copy(), qubits, copy=False)

    def _apply_bit_by_bit(self, node: ast.QuantumGate, symbol: GateName, angle: Any, operands: Sequence[Value]) -> None:
        """Apply a gate by an angle that measurements decide: the gate of each of its bits, where that is set."""
        name = node.name.name
        if name not in _ADDITIVE or not isinstance(symbol.node, ast.Include):
            raise Fault(
                f"gate {name!r} by an angle that measurements decide is not supported", f"one of {', '.join(_ADDITIVE)}"
            )
        own = cells_of(angle)
        for place, cell in enumerate(own):
            gate = self._modified(node, symbol.build(math.tau * (1 << place) / (1 << len(own))))
            if isinstance(cell, bool):
                if cell:
                    self._append(gate, operands)
                continue
            with self._program.circuit.if_test(cells.condition(cell)):
                self._append(gate, operands)


def _with_phase(gate: Gate, phase: Any) -> Gate:
    """Return a gate with a further global phase."""
    # A name of its own: modifiers go by names.
    circuit = QuantumCircuit(gate.num_qubits, name=f"{gate.name}()", global_phase=phase)
    circuit.append(gate, range(gate.num_qubits))
    return circuit.to_gate()
