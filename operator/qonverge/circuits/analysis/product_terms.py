"""A bound on entanglement: a state written as a sum of few products of single qubits' states.

A sum of K products has a Schmidt rank of at most K across any cut, however the qubits are ordered. Gates on one qubit
and permutations of qubits keep K; so does a controlled gate whose control is 0 or 1 in a term, or whose target is an
eigenstate there, which gives its phase to the control. Else the term is split by the control. Terms that come to differ
in one qubit only are put together again. So arithmetic on basis states has one term, however wide it is, and a swap
test two; a circuit that entangles without such structure soon has too many, and is followed up to there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qiskit.circuit import Operation

Mask = NDArray[np.bool_]
Matrix = NDArray[np.complex128]

MOST_TERMS = 512
# Of amplitudes: what counts as 0, and what two states may differ by to be the same. Simulators keep more than 1e-8.
_TINY = 1e-10
_DIGITS = 1e9
# Terms times qubits, summed over the gates: about a second.
_MOST_WORK = 40_000_000


class Untracked(Exception):
    """The operation cannot be followed, or leaves too many terms."""


class ProductTerms:
    """The state of a circuit from |0...0> on."""

    def __init__(self, num_qubits: int) -> None:
        """Begin with all qubits in |0>."""
        self._factors = np.zeros((num_qubits, 1, 2), dtype=np.complex128)
        self._factors[:, :, 0] = 1
        self._weights = np.ones(1, dtype=np.complex128)
        random = np.random.default_rng(0)
        # Hashes of factors, and of a term's factors together: what is equal but in one qubit is found by differences.
        self._parts = random.integers(1, 2**62, 4, dtype=np.int64) | 1
        self._places = random.integers(1, 2**62, num_qubits, dtype=np.int64) | 1
        self._keys = self._hashes(self._factors)
        self._ended: set[int] = set()
        self._work = 0
        self.peak = 1
        """The most terms so far."""

    @property
    def count(self) -> int:
        """How many terms there are."""
        return len(self._weights)

    def products(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Return the terms: each qubit's states, shape (qubits, K, 2), and the weights of the products, shape (K,)."""
        return self._factors, self._weights

    def apply(self, operation: Operation, qubits: Sequence[int]) -> None:
        """Apply an operation without free parameters.

        Raises:
            Untracked: the terms are no longer those of the state.
        """
        name = operation.name
        if name in ("barrier", "delay", "id") or not qubits:
            return
        if not self._ended.isdisjoint(qubits) or hasattr(operation, "blocks") or name in ("reset", "initialize"):
            # What is left depends on the outcome.
            raise Untracked
        if name == "measure":
            # Which leaves a part of each term.
            self._ended.update(qubits)
            return
        self._work += self.count * len(self._factors)
        if self._work > _MOST_WORK:
            raise Untracked
        before = self.count
        self._gate(operation, qubits)
        self.peak = max(self.peak, self.count)
        if before > 1 or self.count > 1:
            self._merge(qubits)

    def _gate(self, operation: Operation, qubits: Sequence[int]) -> None:
        every = np.ones(self.count, dtype=np.bool_)
        if len(qubits) == 1:
            self._turn(qubits[0], np.asarray(operation.to_matrix(), dtype=np.complex128), every)
            return
        if operation.name == "swap":
            self._swap(qubits, every)
            return
        controls = getattr(operation, "num_ctrl_qubits", 0)
        # The definition of cu has a phase of the control that its base gate lacks.
        if controls and operation.name != "cu":
            base = operation.base_gate
            closed = operation.ctrl_state == 2**controls - 1
            if closed and len(qubits) == controls + base.num_qubits and (base.num_qubits == 1 or base.name == "swap"):
                matrix = np.asarray(base.to_matrix(), dtype=np.complex128) if base.num_qubits == 1 else None
                self._controlled(qubits[:controls], matrix, qubits[controls:], every)
                return
        definition = getattr(operation, "definition", None)
        if definition is None or definition.clbits:
            raise Untracked
        place = dict(zip(definition.qubits, qubits, strict=True))
        for item in definition.data:
            self.apply(item.operation, [place[qubit] for qubit in item.qubits])

    def _controlled(self, controls: Sequence[int], matrix: Matrix | None, targets: Sequence[int], active: Mask) -> None:
        """Apply a gate on one qubit, or without a matrix a swap, where all controls are 1, in some of the terms."""
        if not controls:
            self._swap(targets, active) if matrix is None else self._turn(targets[0], matrix, active)
            return
        sizes = np.abs(self._factors[list(controls)])
        is_0, is_1 = sizes[:, :, 1] < _TINY, sizes[:, :, 0] < _TINY
        active = active & ~is_0.any(axis=0)
        open_ = active & ~is_1
        spread = open_.sum(axis=0)
        if (ready := active & (spread == 0)).any():
            self._controlled((), matrix, targets, ready)
        rest = active & (spread > 0)
        if not rest.any():
            return
        phase, same = self._phase(matrix, targets)
        rest &= ~(same & (np.abs(phase - 1) < _TINY))
        kicked = rest & same & (spread == 1)
        for index, control in enumerate(controls):
            if (here := kicked & open_[index]).any():
                self._factors[control, here, 1] *= phase[here]
                self._rehash(control, here)
        rest &= ~kicked
        if not rest.any():
            return
        first = np.argmax(open_, axis=0)
        for index, control in enumerate(controls):
            here = rest & (first == index)
            if here.any():
                rest = np.concatenate((rest, np.zeros(int(here.sum()), dtype=np.bool_)))
                first = np.concatenate((first, np.zeros(int(here.sum()), dtype=first.dtype)))
                self._split(control, here)
        self._controlled(controls, matrix, targets, rest)

    def _phase(self, matrix: Matrix | None, targets: Sequence[int]) -> tuple[NDArray[np.complex128], Mask]:
        """Return what the gate multiplies each term's targets with, and where it does no more."""
        state = self._factors[targets[0]]
        if matrix is None:
            other = self._factors[targets[1]]
            parallel = np.abs(state[:, 0] * other[:, 1] - state[:, 1] * other[:, 0]) < _TINY
            return np.ones(self.count, dtype=np.complex128), parallel
        turned = state @ matrix.T
        parallel = np.abs(turned[:, 0] * state[:, 1] - turned[:, 1] * state[:, 0]) < _TINY
        return (turned * state.conj()).sum(axis=1), parallel

    def _split(self, control: int, here: Mask) -> None:
        """Replace terms by their parts where a qubit is 1, in place, and where it is 0, at the end."""
        if self.count + int(here.sum()) > MOST_TERMS:
            raise Untracked
        copies, weights = self._factors[:, here].copy(), self._weights[here].copy()
        keys = self._keys[:, here].copy()
        self._weights[here] *= self._factors[control, here, 1]
        self._factors[control, here] = (0, 1)
        self._rehash(control, here)
        weights *= copies[control, :, 0]
        copies[control] = (1, 0)
        self._factors = np.concatenate((self._factors, copies), axis=1)
        self._weights = np.concatenate((self._weights, weights))
        self._keys = np.concatenate((self._keys, keys), axis=1)
        added = np.zeros(self.count, dtype=np.bool_)
        added[-len(weights) :] = True
        self._rehash(control, added)

    def _turn(self, qubit: int, matrix: Matrix, here: Mask) -> None:
        self._factors[qubit, here] = self._factors[qubit, here] @ matrix.T
        self._rehash(qubit, here)

    def _swap(self, qubits: Sequence[int], here: Mask) -> None:
        one, other = qubits
        kept, key = self._factors[one, here].copy(), self._keys[one, here].copy()
        self._factors[one, here], self._keys[one, here] = self._factors[other, here], self._keys[other, here]
        self._factors[other, here], self._keys[other, here] = kept, key

    def _rehash(self, qubit: int, here: Mask) -> None:
        """Give a qubit's states their common form: of norm 1, the first amplitude that is not 0 a positive number."""
        states = self._factors[qubit, here]
        leading = np.where(np.abs(states[:, 0]) > _TINY, states[:, 0], states[:, 1])
        scale = leading / np.abs(leading) * np.sqrt((np.abs(states) ** 2).sum(axis=1))
        self._factors[qubit, here] = states / scale[:, None]
        self._weights[here] *= scale
        self._keys[qubit, here] = self._hashes(self._factors[qubit, here])

    def _hashes(self, factors: NDArray[np.complex128]) -> NDArray[np.int64]:
        whole = np.rint(np.stack((factors.real, factors.imag), axis=-1) * _DIGITS).astype(np.int64)
        hashes: NDArray[np.int64] = (whole.reshape(*factors.shape[:-1], 4) * self._parts).sum(axis=-1)
        return hashes

    def _merge(self, qubits: Sequence[int]) -> None:
        """Put terms together that differ in one of the qubits only, and leave out those that cancel."""
        merged = True
        while merged and self.count > 1:
            merged = False
            together = (self._keys * self._places[:, None]).sum(axis=0)
            for qubit in qubits:
                rest = together - self._keys[qubit] * self._places[qubit]
                _, first, member = np.unique(rest, return_index=True, return_inverse=True)
                if len(first) == self.count:
                    continue
                states = np.zeros((len(first), 2), dtype=np.complex128)
                np.add.at(states, member, self._weights[:, None] * self._factors[qubit])
                kept = np.abs(states).max(axis=1) > _TINY
                if not kept.any():
                    raise Untracked
                first, states = first[kept], states[kept]
                self._factors, self._keys = self._factors[:, first], self._keys[:, first]
                self._factors[qubit], self._weights = states, np.ones(len(first), dtype=np.complex128)
                self._rehash(qubit, np.ones(len(first), dtype=np.bool_))
                merged = True
                break
