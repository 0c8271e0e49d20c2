"""What makes PennyLane's tapes such that one run of a circuit answers each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from numpy.typing import NDArray
from pennylane.measurements import ClassicalShadowMP, ExpectationMP, MeasurementProcess, ShadowExpvalMP
from pennylane.ops.qubit.observables import BasisStateProjector
from pennylane.tape import QuantumScript
from pennylane.transforms import split_non_commuting
from pennylane.transforms.core import transform

SHADOWS = (ClassicalShadowMP, ShadowExpvalMP)
_COPY = "qonverge:postselected:"


@transform  # type: ignore[untyped-decorator]
def split_sampled(tape: QuantumScript) -> tuple[Sequence[QuantumScript], Callable[[Any], Any]]:
    """Split a tape whose measurements one run of shots cannot answer; exact values need no such thing.

    Observables that are Pauli words share runs where they commute, and expectation values of sums are those of their
    terms. Other statistics of what is no Pauli word, such as samples of a sum, are measured in its eigenbasis, each in
    a run of its own.
    """
    if not tape.shots:
        return (tape,), lambda results: results[0]
    alone = [index for index, mp in enumerate(tape.measurements) if _needs_own_run(mp)]
    if len(tape.measurements) == len(alone) == 1:
        return (tape,), lambda results: results[0]
    shared = [index for index in range(len(tape.measurements)) if index not in alone]
    tapes: list[QuantumScript] = []
    combine: Callable[[Any], Any] = tuple
    if shared:
        split, combine = split_non_commuting(tape.copy(measurements=[tape.measurements[index] for index in shared]))
        tapes += split
    own = len(tapes)
    tapes += [tape.copy(measurements=[tape.measurements[index]]) for index in alone]
    if not alone:
        return tapes, combine
    copies = len(tape.shots.shot_vector) and tape.shots.num_copies

    def joined(results: Sequence[Any]) -> Any:
        found: dict[int, Any] = dict(zip(alone, results[own:], strict=True))
        if shared:
            answer = combine(results[:own])
            if len(shared) == 1:
                found[shared[0]] = answer
            elif tape.shots.has_partitioned_shots:
                found.update(zip(shared, zip(*answer, strict=True), strict=True))
            else:
                found.update(zip(shared, answer, strict=True))
        values = [found[index] for index in range(len(tape.measurements))]
        if not tape.shots.has_partitioned_shots:
            return values[0] if len(values) == 1 else tuple(values)
        by_shots = [tuple(value[copy] for value in values) for copy in range(copies)]
        return tuple(one[0] if len(one) == 1 else one for one in by_shots)

    return tapes, joined


def _needs_own_run(mp: MeasurementProcess) -> bool:
    if isinstance(mp, SHADOWS) or mp.obs is None:
        return isinstance(mp, SHADOWS)
    words = mp.obs.pauli_rep
    if words is not None and not any(words):
        # Of identities there is nothing to measure but how often.
        return True
    # A sum of equal words is one, but PennyLane goes by its form.
    return not isinstance(mp, ExpectationMP) and (isinstance(mp.obs, qml.ops.Sum) or words is None or len(words) != 1)


@transform  # type: ignore[untyped-decorator]
def postselect_last(tape: QuantumScript) -> tuple[Sequence[QuantumScript], Callable[[Any], Any]]:
    """Let postselection be the last operation of a tape: a wire that goes on is copied where it is postselected."""
    operations: list[Any] = []
    values: list[int] = []
    wires: list[Any] = []
    for place, op in enumerate(tape.operations):
        if not isinstance(op, BasisStateProjector):
            operations.append(op)
            continue
        later = qml.wires.Wires.all_wires([other.wires for other in tape.operations[place + 1 :]])
        for value, wire in zip(np.asarray(op.parameters[0]).tolist(), op.wires, strict=True):
            kept = wire
            if wire in later or any(not mp.wires or wire in mp.wires for mp in tape.measurements):
                kept = f"{_COPY}{len(wires)}"
                operations.append(qml.CNOT([wire, kept]))
            values.append(int(value))
            wires.append(kept)
    if not wires:
        return (tape,), lambda results: results[0]
    operations.append(BasisStateProjector(np.array(values), wires=wires))
    return (tape.copy(operations=operations),), lambda results: results[0]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which outcomes of a tape count, and the wires that its measurements are about."""

    columns: NDArray[np.intp]
    """Places of the postselected wires among the tape's."""
    values: NDArray[np.int64]
    rest: NDArray[np.intp]
    """Places of the others, and of those postselected that are wires of the program."""
    wires: qml.wires.Wires
    """The wires at ``rest``."""

    @classmethod
    def of(cls, tape: QuantumScript, wires: qml.wires.Wires) -> Selection | None:
        """Return a tape's, None where every outcome counts."""
        last = tape.operations[-1] if tape.operations else None
        if not isinstance(last, BasisStateProjector):
            return None
        columns = np.array(wires.indices(last.wires), dtype=np.intp)
        rest = np.array([i for i, wire in enumerate(wires) if not str(wire).startswith(_COPY)], dtype=np.intp)
        values = np.asarray(last.parameters[0], dtype=np.int64)
        return cls(columns, values, rest, qml.wires.Wires([wires[i] for i in rest]))

    def of_bits(self, bits: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which shots count, and all shots' bits on the wires of the program."""
        return (bits[:, self.columns] == self.values).all(axis=1), bits[:, self.rest]

    def of_state(self, state: NDArray[np.complex128]) -> tuple[float, NDArray[np.complex128]]:
        """Return the probability, and the state given it: one axis for each wire of the program; NaN if impossible."""
        kept = np.zeros_like(state)
        place: list[Any] = [slice(None)] * state.ndim
        for column, value in zip(self.columns, self.values, strict=True):
            place[column] = int(value)
        kept[tuple(place)] = state[tuple(place)]
        # The copies have one value now, and no axis any more.
        copies = [slice(None) if axis in self.rest else place[axis] for axis in range(state.ndim)]
        kept = kept[tuple(copies)]
        probability = float(np.vdot(kept, kept).real)
        with np.errstate(invalid="ignore", divide="ignore"):
            return probability, kept / (np.sqrt(probability) if probability > _IMPOSSIBLE else 0.0)


# Squared, what is left of a state that rounding alone keeps from 0.
_IMPOSSIBLE = 1e-16
