"""Circuits that measure and branch, on Braket's simulations: a path for each run of outcomes, with its shots.

Braket's own interpreter of OpenQASM goes along such paths, too. Here they start from Qiskit's circuits, depth first, so
that few states are held at a time, and draw from a generator that is given, so that a seed gives the same bits again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from braket.default_simulator.density_matrix_simulation import DensityMatrixSimulation
from braket.default_simulator.gate_operations import Reset
from braket.default_simulator.simulation import Simulation
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, Qubit

from qonverge.amounts import format_bytes
from qonverge.backend.engines.braket_gates import Outcome, operations_of
from qonverge.backend.engines.conditions import value_of
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit

# A loop's steps are laid out before they run.
_MOST_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a path stands in a block, and what comes after it."""

    items: Sequence[CircuitInstruction]
    index: int
    outer: Mapping[Any, Any] | None
    """The circuit's bits by the block's; None at the top."""
    then: _Frame | None
    after_loop: _Frame | None = None
    """In the body of a loop: where break goes."""
    is_body: bool = False

    def at(self, index: int) -> _Frame:
        return _Frame(self.items, index, self.outer, self.then, self.after_loop, self.is_body)

    def bits(self, inner: Sequence[Any]) -> list[Any]:
        return list(inner) if self.outer is None else [self.outer[bit] for bit in inner]


@dataclass(slots=True)
class Path:
    """One run of outcomes."""

    simulation: Simulation
    shots: int
    bits: dict[Clbit, int] = field(default_factory=dict)
    """Measured bits that are not those of the end."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A circuit without free parameters, and which measurements can wait for its end."""

    circuit: QuantumCircuit
    late: Mapping[int, tuple[Qubit, Clbit]]
    """Measurements whose qubit and bit nothing uses afterwards, by their places in the circuit."""
    confusions: Sequence[NDArray[np.float64]] = ()
    """How each qubit is misread: rows for what is there, columns for what is read; empty where none is."""

    @classmethod
    def of(cls, circuit: QuantumCircuit, confusions: Sequence[NDArray[np.float64]] = ()) -> Walk:
        """Find the measurements at the end."""
        late, used = {}, set[Any]()
        for index in range(len(circuit.data) - 1, -1, -1):
            item = circuit.data[index]
            if item.operation.name == "measure" and not used.intersection((*item.qubits, *item.clbits)):
                late[index] = (item.qubits[0], item.clbits[0])
                if confusions:
                    # A qubit that is read twice may be misread differently.
                    used.update(item.qubits)
            elif item.operation.name == "store":
                # It does not say which bits it reads.
                used.update(circuit.clbits)
            elif item.operation.name != "barrier":
                used.update(item.qubits, item.clbits)
        return cls(circuit, dict(sorted(late.items())), confusions)

    def final(self) -> dict[int, int]:
        """Return which qubit each classical bit is measured from at the end, by places."""
        place = {bit: index for bits in (self.circuit.qubits, self.circuit.clbits) for index, bit in enumerate(bits)}
        return {place[clbit]: place[qubit] for qubit, clbit in self.late.values()}

    def paths(
        self, simulation: Simulation, shots: int, generator: np.random.Generator, *, state_bytes: int, limit: int
    ) -> Iterator[Path]:
        """Yield each path when it has reached the circuit's end.

        Args:
            simulation: in its first state.
            shots: runs, shared among the paths.
            generator: draws how many go each way.
            state_bytes: memory of a state.
            limit: bytes for all states together.

        Raises:
            CircuitTooLarge: more states wait than there is memory for.
            InvalidCircuit: the circuit has what cannot be run.
        """
        waiting = [(Path(simulation, shots), _Frame(list(self.circuit.data), 0, None, None))]
        while waiting:
            if len(waiting) * state_bytes > limit:
                raise CircuitTooLarge(
                    f"the circuit measures so often before its end that {len(waiting)} states of "
                    f"{format_bytes(state_bytes)} each wait at a time and one circuit has {format_bytes(limit)} here: "
                    "use fewer qubits, fewer such measurements or more memory",
                    has_bytes=limit,
                )
            path, frame = waiting.pop()
            forks = self._advance(path, frame, generator)
            if forks is None:
                yield path
            else:
                waiting.extend(forks)

    def _advance(
        self, path: Path, frame: _Frame | None, generator: np.random.Generator
    ) -> list[tuple[Path, _Frame]] | None:
        """Go on to the end, and return None, or to a measurement, and return the paths from there."""
        last, place = self.circuit.num_qubits - 1, {qubit: index for index, qubit in enumerate(self.circuit.qubits)}
        gates: list[Any] = []
        while frame is not None:
            if frame.index == len(frame.items):
                frame = frame.then
                continue
            item, here = frame.items[frame.index], frame.at(frame.index + 1)
            name = item.operation.name
            if name in ("measure", "reset"):
                if name == "measure" and frame.outer is None and frame.index in self.late:
                    frame = here
                    continue
                qubit = place[frame.bits(item.qubits)[0]]
                target = last - qubit
                if name == "reset" and isinstance(path.simulation, DensityMatrixSimulation):
                    gates.append(Reset([target]))
                    frame = here
                    continue
                path.simulation.evolve(gates)
                clbit = frame.bits(item.clbits)[0] if name == "measure" else None
                confusion = self.confusions[qubit] if self.confusions else np.eye(2)
                return [(own, here) for own in _forked(path, target, clbit, confusion, generator)]
            if name in ("barrier", "delay"):
                frame = here
            elif name == "store":
                path.bits = {**path.bits, item.operation.lvalue.var: value_of(item.operation.rvalue, path.bits)}
                frame = here
            elif name in ("if_else", "while_loop", "for_loop", "break_loop", "continue_loop"):
                frame = _entered(item, frame, here, path.bits)
            elif item.clbits:
                raise InvalidCircuit(f"BraketLocal cannot run {name}: use a backend with the engine Aer")
            else:
                gates += operations_of(item.operation, [place[qubit] for qubit in frame.bits(item.qubits)], last)
                frame = here
        path.simulation.evolve(gates)
        return None


def _forked(
    path: Path, target: int, clbit: Clbit | None, confusion: NDArray[np.float64], generator: np.random.Generator
) -> list[Path]:
    """Measure a qubit, into a bit or to reset it, and return a path for each outcome that came, and was read."""
    halves = path.simulation.probabilities.reshape(2**target, 2, -1).sum(axis=(0, 2))
    likely = halves / halves.sum()
    ones = int(generator.binomial(path.shots, likely[1]))
    came: list[tuple[int, int, int]] = []
    for outcome, shots in ((0, path.shots - ones), (1, ones)):
        read_as_1 = shots * outcome if clbit is None else int(generator.binomial(shots, confusion[outcome, 1]))
        came += [(outcome, read, times) for read, times in ((0, shots - read_as_1), (1, read_as_1)) if times]
    forks = []
    for outcome, read, shots in came:
        simulation = copy.deepcopy(path.simulation) if len(came) > 1 else path.simulation
        simulation.evolve([Outcome(target, outcome, likely[outcome], to=0 if clbit is None else outcome)])
        forks.append(Path(simulation, shots, path.bits if clbit is None else {**path.bits, clbit: read}))
    return forks


def _entered(item: CircuitInstruction, frame: _Frame, here: _Frame, bits: Mapping[Clbit, int]) -> _Frame | None:
    """Return where a path goes from a control flow operation; ``here`` is after it."""
    operation, name = item.operation, item.operation.name
    if name in ("break_loop", "continue_loop"):
        body = frame
        while not body.is_body:
            assert body.then is not None, "Qiskit has these inside of loops only"
            body = body.then
        return body.after_loop if name == "break_loop" else body.then
    if name == "for_loop":
        return _iterations(item, frame, here)
    if name == "while_loop":
        if not value_of(operation.condition, bits):
            return here
        return _block(operation.blocks[0], item, frame, then=frame, after_loop=here)
    blocks = operation.blocks
    taken = 0 if value_of(operation.condition, bits) else 1
    return _block(blocks[taken], item, frame, then=here) if taken < len(blocks) else here


def _iterations(item: CircuitInstruction, frame: _Frame, here: _Frame) -> _Frame:
    values, variable, body = item.operation.params
    if len(values) > _MOST_STEPS:
        raise CircuitTooLarge(f"a loop has {len(values)} steps and at most {_MOST_STEPS} are run: use a shorter one")
    first = here
    for value in reversed(values):
        bound = body if variable is None else body.assign_parameters({variable: value})
        first = _block(bound, item, frame, then=first, after_loop=here)
    return first


def _block(
    block: QuantumCircuit, item: CircuitInstruction, frame: _Frame, *, then: _Frame, after_loop: _Frame | None = None
) -> _Frame:
    outer = frame.bits((*item.qubits, *item.clbits))
    own = dict(zip((*block.qubits, *block.clbits), outer, strict=True))
    return _Frame(list(block.data), 0, own, then, after_loop, after_loop is not None)
