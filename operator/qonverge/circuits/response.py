"""How a circuit's outcomes respond to errors: the Hellinger fidelity for so many errors, before any device is known.

The Hellinger fidelity of an ideal distribution p and a noisy one q is (sum_x sqrt(p(x) q(x)))^2. What errors do to it
depends on p: a uniform p stays as it is, a single peak falls with every error. So the circuit itself is asked. Errors
of gates are taken as Pauli errors after gates, of which the device makes E in the mean, Poisson distributed, anywhere:

    q_E = sum_k Poisson(k; E) p_k,    p_k: mean distribution with k random Pauli errors in the circuit,

and misread bits as a flip of each measured bit with probability r. F(E, r) is tabled. A device gives E and r.

- A circuit small enough is run: p_0 and a few dozen trajectories for the p_k, their states side by side in one array.
- A wider one is followed in the Clifford circuit nearest to it, which is itself where it is Clifford. A stabilizer
  state's outcomes are uniform on an affine space over GF(2); a Pauli error shifts it, by the error's X part at the end
  (frames as in Gidney, Quantum 5, 497, 2021). If the shift is in the space's own directions nothing is seen, else q
  has left the support of p: F is the probability that nothing is seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.steps import Matrix, Step

Floats = NDArray[np.float64]
Basis = Literal["Simulated", "Stabilizer", "NearStabilizer", "Unknown"]

ERRORS = (0.0, 0.05, 0.15, 0.3, 0.6, 1.0, 1.7, 3.0, 6.0, 12.0)
"""E, expected errors of gates, at which F is tabled."""
FLIPS = (0.0, 0.01, 0.03, 0.08, 0.2, 0.5)
"""r, probability that a bit is misread, at which F is tabled."""

# Errors in a trajectory, and how many trajectories have so many; in between it is interpolated.
_COUNTS = (1, 2, 4, 8, 16)
_SHARES = (0.4, 0.25, 0.15, 0.1, 0.1)
_MOST_COLUMNS = 128
_LEAST_COLUMNS = 16
# Amplitudes times steps times trajectories: some tens of milliseconds.
_WORK = 6_000_000
_FRAMES = 512
_WIDEST = 1024
_FLOOR = 1e-9
# A pulse fails about so often as a CX does, on the devices of devices/snapshots.
_PULSE_WEIGHT = 0.03


@dataclass(frozen=True, slots=True)
class Response:
    """The table, and where it comes from."""

    basis: Basis
    """``Simulated`` and ``Stabilizer`` are true to the circuit, ``NearStabilizer`` to the nearest Clifford circuit;
    ``Unknown`` supposes that every error is seen."""
    table: tuple[tuple[float, ...], ...]
    """F, a row for each of ``ERRORS``, a column for each of ``FLIPS``."""
    ones: tuple[float, ...]
    """Probability to be 1 of each measured qubit, in their order; 1/2 where it is not known."""

    def at(self, errors: float, flips: float) -> float:
        """Return F for so many expected errors and such a mean probability of a flip; log F is interpolated."""
        logs = np.log(np.maximum(self.table, _FLOOR))
        row, down = _between(ERRORS, errors)
        column, right = _between(FLIPS, flips)
        square = logs[row : row + 2, column : column + 2]
        value = np.array([1 - down, down]) @ square @ np.array([1 - right, right])
        return min(1.0, math.exp(value))

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON and msgpack carry."""
        return {"basis": self.basis, "table": [list(row) for row in self.table], "ones": list(self.ones)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the response that ``to_dict`` gave."""
        return cls(data["basis"], tuple(tuple(row) for row in data["table"]), tuple(data["ones"]))


def respond(steps: Sequence[Step], measured: Sequence[int], num_qubits: int, *, exact: bool = True) -> Response:
    """Return the response of a circuit without control flow, measurements inside and resets.

    Args:
        steps: those on measured qubits without a matrix are passed over.
        measured: qubits that are measured at the end, in order.
        num_qubits: of the circuit.
        exact: whether the nearest Clifford circuit is the circuit itself.
    """
    gates = [step for step in steps if step.matrix is not None or len(step.qubits) == 2]
    used = sorted({qubit for step in gates for qubit in step.qubits} | set(measured))
    if not measured or len(used) > _WIDEST:
        return unknown(len(measured))
    place = {qubit: index for index, qubit in enumerate(used)}
    gates = [Step(tuple(place[qubit] for qubit in step.qubits), step.matrix) for step in gates]
    bits = [place[qubit] for qubit in measured]
    work = (1 << min(len(used), 60)) * max(1, len(gates))
    if work * _LEAST_COLUMNS <= _WORK:
        return _simulated(gates, bits, len(used), max(_LEAST_COLUMNS, min(_MOST_COLUMNS, _WORK // work)))
    return _framed(gates, bits, len(used), "Stabilizer" if exact else "NearStabilizer")


def unknown(bits: int) -> Response:
    """Return the response of a circuit of which nothing is known: whatever errs is seen."""
    table = tuple(tuple(math.exp(-errors) * (1 - flip) ** bits for flip in FLIPS) for errors in ERRORS)
    return Response("Unknown", table, (0.5,) * bits)


def _between(grid: Sequence[float], value: float) -> tuple[int, float]:
    """Return the place of the lower neighbour, and how far the value lies towards the next one; the ends hold."""
    index = min(max(int(np.searchsorted(grid, value, side="right")) - 1, 0), len(grid) - 2)
    return index, min(1.0, max(0.0, (value - grid[index]) / (grid[index + 1] - grid[index])))


def _weights(errors: float) -> Floats:
    """Return the weight of no error and of each of ``_COUNTS``: Poisson's, those between shared by their neighbours."""
    counts = (0, *_COUNTS)
    weights = np.zeros(len(counts))
    probability, left = math.exp(-errors), 1.0
    for k in range(_COUNTS[-1]):
        index, along = _between(counts, k)
        weights[index] += probability * (1 - along)
        weights[index + 1] += probability * along
        left -= probability
        probability *= errors / (k + 1)
    weights[-1] += max(0.0, left)
    return weights


def _errors(gates: Sequence[Step], columns: int, random: np.random.Generator) -> tuple[NDArray[np.int64], list[Any]]:
    """Draw trajectories.

    Returns:
        How many errors each has, and for each gate a list of (trajectory, Paulis), a Pauli for each of its qubits as
        ``x + 2 z``.
    """
    counts = np.repeat(_COUNTS, np.maximum(2, np.round(np.array(_SHARES) * columns).astype(int)))
    weights = np.array([1.0 if step.matrix is None else _PULSE_WEIGHT * max(step.pulses, 0.1) for step in gates])
    after: list[list[tuple[int, int]]] = [[] for _ in gates]
    if not gates:
        return counts, after
    edges = np.cumsum(weights) / weights.sum()
    for number in _COUNTS:
        # Spread evenly over the circuit, not independently: fewer trajectories say as much.
        (members,) = np.nonzero(counts == number)
        total = len(members) * number
        spots = np.searchsorted(edges, (random.permutation(total) + random.random(total)) / total)
        for slot, spot in enumerate(np.minimum(spots, len(gates) - 1)):
            paulis = int(random.integers(1, 4 ** len(gates[spot].qubits)))
            after[spot].append((int(members[slot % len(members)]), paulis))
    return counts, after


def _simulated(gates: Sequence[Step], bits: Sequence[int], n: int, columns: int) -> Response:
    counts, after = _errors(gates, columns, np.random.default_rng(0))
    # The last column has no error. Trajectories are the last axis, so that steps work on long contiguous runs.
    state = np.zeros((1 << n, len(counts) + 1), dtype=np.complex64)
    state[0] = 1
    for step, errors in zip(gates, after, strict=True):
        if step.matrix is None:
            _apply_cx(state, *step.qubits, n)
        else:
            _apply(state, step.matrix, step.qubits[0], n)
        for column, paulis in errors:
            for index, qubit in enumerate(step.qubits):
                _apply_pauli(state[:, column : column + 1], paulis >> (2 * index) & 3, qubit, n)
    chances = _marginal(np.abs(state).astype(np.float64) ** 2, bits, n)
    chances /= chances.sum(axis=0)
    ideal = chances[:, -1]
    levels = np.stack([ideal, *(chances[:, :-1][:, counts == k].mean(axis=1) for k in _COUNTS)])
    root = np.sqrt(ideal)
    rows = []
    for errors in ERRORS:
        noisy = _weights(errors) @ levels
        rows.append(tuple(float(np.sum(root * np.sqrt(_flipped(noisy, flip, len(bits)))) ** 2) for flip in FLIPS))
    cube = ideal.reshape((2,) * len(bits))
    # The first axis is the highest bit.
    ones = tuple(float(np.take(cube, 1, axis=len(bits) - 1 - index).sum()) for index in range(len(bits)))
    return Response("Simulated", tuple(rows), ones)


def _apply(state: NDArray[np.complex64], matrix: Matrix, qubit: int, n: int) -> None:
    view = state.reshape(1 << (n - 1 - qubit), 2, 1 << qubit, state.shape[1])
    (a, b), (c, d) = matrix.astype(np.complex64)
    zero, one = view[:, 0], view[:, 1]
    if b == 0 and c == 0:
        zero *= a
        one *= d
        return
    kept = zero.copy()
    zero *= a
    zero += b * one
    one *= d
    one += c * kept


def _apply_cx(state: NDArray[np.complex64], control: int, target: int, n: int) -> None:
    high, low = max(control, target), min(control, target)
    view = state.reshape(1 << (n - 1 - high), 2, 1 << (high - 1 - low), 2, 1 << low, state.shape[1])
    if control == high:
        first, second = view[:, 1, :, 0], view[:, 1, :, 1]
    else:
        first, second = view[:, 0, :, 1], view[:, 1, :, 1]
    kept = first.copy()
    first[...] = second
    second[...] = kept


def _apply_pauli(column: NDArray[np.complex64], pauli: int, qubit: int, n: int) -> None:
    view = column.reshape(1 << (n - 1 - qubit), 2, 1 << qubit) if column.flags.c_contiguous else None
    if view is None:
        # A column of a wider array cannot be reshaped in place.
        copied = np.ascontiguousarray(column)
        _apply_pauli(copied, pauli, qubit, n)
        column[...] = copied
        return
    if pauli & 2:
        view[:, 1] *= -1
    if pauli & 1:
        view[...] = view[:, ::-1].copy()


def _marginal(chances: Floats, bits: Sequence[int], n: int) -> Floats:
    """Return the distribution of the bits, the first as the lowest; columns stay."""
    columns = chances.shape[1]
    cube = chances.reshape((2,) * n + (columns,))
    rest = tuple(n - 1 - qubit for qubit in range(n) if qubit not in bits)
    kept = [qubit for qubit in range(n - 1, -1, -1) if qubit in bits]
    cube = cube.sum(axis=rest).transpose([*(kept.index(qubit) for qubit in reversed(bits)), len(kept)])
    return cube.reshape(1 << len(bits), columns)


def _flipped(chances: Floats, flip: float, bits: int) -> Floats:
    for bit in range(bits) if flip else ():
        view = chances.reshape(-1, 2, 1 << bit)
        chances = ((1 - flip) * view + flip * view[:, ::-1]).reshape(-1)
    return chances


def _framed(gates: Sequence[Step], bits: Sequence[int], n: int, basis: Basis) -> Response:
    random = np.random.default_rng(0)
    counts, after = _errors(gates, _FRAMES, random)
    # Row q holds qubit q's X, or Z, of every frame: bit j is frame j. The first n frames are the stabilizers Z_q.
    x = [0] * n
    z = [1 << qubit for qubit in range(n)]
    for step, errors in zip(gates, after, strict=True):
        first = step.qubits[0]
        if step.matrix is None:
            second = step.qubits[1]
            x[second] ^= x[first]
            z[first] ^= z[second]
        else:
            x[first], z[first] = _turned(step.matrix, x[first], z[first])
        for column, paulis in errors:
            for index, qubit in enumerate(step.qubits):
                x[qubit] ^= (paulis >> (2 * index) & 1) << (n + column)
                z[qubit] ^= (paulis >> (2 * index + 1) & 1) << (n + column)
    shifts = _columns([x[qubit] for qubit in bits], n + len(counts))
    space = _Space(shifts[:n])
    unseen = np.array([space.has(shift) for shift in shifts[n:]])
    kept = [1.0, *(float(unseen[counts == k].mean()) for k in _COUNTS)]
    unread = [1.0, *(_unread(space, len(bits), k, random) for k in _COUNTS)]
    # Where both have left the support, chance leads back.
    chance = 0.5 ** (len(bits) - space.rank)
    rows = []
    for errors in ERRORS:
        gate = float(_weights(errors) @ kept)
        read = [float(_weights(_as_errors(flip) * len(bits)) @ unread) for flip in FLIPS]
        rows.append(tuple(gate * r + (1 - gate) * (1 - r) * chance for r in read))
    return Response(basis, tuple(rows), (0.5,) * len(bits))


def _as_errors(flip: float) -> float:
    """Return the rate of a Poisson process that leaves a bit alone as often as flips of this probability do."""
    return -math.log1p(-flip)


def _unread(space: _Space, bits: int, flips: int, random: np.random.Generator) -> float:
    """Return how often so many different flipped bits are not seen."""
    if flips == 1:
        return sum(space.has(1 << bit) for bit in range(bits)) / bits
    patterns = random.permuted(np.tile(np.arange(bits), (64, 1)), axis=1)[:, :flips]
    return sum(space.has(sum(1 << int(bit) for bit in row)) for row in patterns) / len(patterns)


def _turned(matrix: Matrix, x: int, z: int) -> tuple[int, int]:
    """Return the frames after the Clifford nearest to a unitary, signs left out.

    A unitary turns the Bloch sphere; of the six ways to permute its axes, the one with most overlap is taken.
    """
    rotation = _bloch(matrix) ** 2
    best = max(itertools.permutations(range(3)), key=lambda p: round(sum(rotation[p[i], i] for i in range(3)), 6))
    bits = ((1, 0), (1, 1), (0, 1))  # X, Y, Z as (x, z)
    (xx, xz), (zx, zz) = bits[best[0]], bits[best[2]]
    return (x * xx) ^ (z * zx), (x * xz) ^ (z * zz)


def _bloch(matrix: Matrix) -> Floats:
    paulis = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    turned = matrix @ paulis @ matrix.conj().T
    rotation: Floats = np.einsum("iab,jba->ij", paulis, turned).real / 2
    return rotation


def _columns(rows: Sequence[int], width: int) -> list[int]:
    """Return the transpose of a bit matrix: for each column, bit i is from row i."""
    size = (width + 7) // 8
    packed = np.frombuffer(b"".join(row.to_bytes(size, "little") for row in rows), np.uint8).reshape(len(rows), size)
    bits = np.unpackbits(packed, axis=1, bitorder="little")[:, :width]
    return [int.from_bytes(column.tobytes(), "little") for column in np.packbits(bits.T, axis=1, bitorder="little")]


class _Space:
    """The span over GF(2) of some vectors, each an integer."""

    def __init__(self, vectors: Sequence[int]) -> None:
        self._basis: dict[int, int] = {}
        for vector in vectors:
            if rest := self._reduced(vector):
                self._basis[rest.bit_length()] = rest

    @property
    def rank(self) -> int:
        return len(self._basis)

    def has(self, vector: int) -> bool:
        return self._reduced(vector) == 0

    def _reduced(self, vector: int) -> int:
        while vector and (base := self._basis.get(vector.bit_length())) is not None:
            vector ^= base
        return vector
