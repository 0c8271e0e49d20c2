"""A calibration as arrays: what each place of a device costs, made once and kept by digest."""

from __future__ import annotations

import math
import statistics
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from qonverge.circuits.load import PAULI_1Q, PAULI_2Q
from qonverge.devices import Calibration, Gate

Floats = NDArray[np.float64]

# A larger device is cut to the part around its best coupling: distances between all pairs take the square of it.
MOST_PLACES = 1024
# For what nobody measured: orders of magnitude of superconducting devices.
_PULSE_SECONDS, _CX_SECONDS, _READOUT_SECONDS = 50e-9, 300e-9, 1e-6
_PULSES = ("sx", "x", "u2", "u3", "rx", "ry", "r", "prx")
_LEAST_WEIGHT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """Costs are expected Pauli errors; arrays are by place, and places are qubits that work."""

    places: NDArray[np.int64]
    """The device's own number of each place."""
    pulse: Floats
    """Errors of a pulse."""
    read_1_as_0: Floats
    read_0_as_1: Floats
    rate_t1: Floats
    """1/T1, per second; 0 where it is not known."""
    rate_t2: Floats
    """1/T2, per second; 0 where it is not known."""
    couplings: NDArray[np.bool_]
    """Which pairs of places have a gate."""
    hops: Floats
    """Couplings on the shortest way between two places; infinite where there is none."""
    hop_cost: Floats
    """Mean errors of a CX on the couplings of the best way between two places."""
    pulse_seconds: float
    cx_seconds: float
    readout_seconds: float
    extra_pulses: float
    """Pulses that a CX costs besides the device's own gate on two qubits."""

    @property
    def size(self) -> int:
        """How many places."""
        return len(self.places)


def device(calibration: Calibration) -> Device:
    """Return the arrays of a calibration; for what was not measured stands the median of what was."""
    size = len(calibration.qubits)
    pulses = [gate for gate in calibration.gates if len(gate.qubits) == 1 and gate.name in _PULSES]
    # The gate of one pulse, where the basis has several.
    name = min({gate.name for gate in pulses}, key=_PULSES.index, default=None)
    pulses = [gate for gate in pulses if gate.name == name]
    pulse = _by_place({gate.qubits[0]: gate.error for gate in pulses}, size)
    cx = _cx(calibration.gates)
    errors = {pair: gate.error for pair, gate in cx.items()}
    known = [error for error in errors.values() if error is not None]
    middle = statistics.median(known) if known else 0.0
    costs = {pair: PAULI_2Q * (middle if error is None else error) for pair, error in errors.items()}
    works = _largest(size, pulse, costs)
    place = {int(qubit): index for index, qubit in enumerate(works)}
    costs = {(place[a], place[b]): cost for (a, b), cost in costs.items() if a in place and b in place}
    couplings, hops, hop_cost = _distances(len(works), costs)
    qubits = calibration.qubits
    seconds = [gate.seconds for gate in cx.values() if gate.seconds is not None]
    return Device(
        works,
        PAULI_1Q * pulse[works],
        _by_place({i: q.read_1_as_0 for i, q in enumerate(qubits)}, size)[works],
        _by_place({i: q.read_0_as_1 for i, q in enumerate(qubits)}, size)[works],
        np.array([1 / qubits[i].t1 if qubits[i].t1 else 0.0 for i in works]),  # type: ignore[operator]
        np.array([1 / qubits[i].t2 if qubits[i].t2 else 0.0 for i in works]),  # type: ignore[operator]
        couplings,
        hops,
        hop_cost,
        _median((gate.seconds for gate in pulses), _PULSE_SECONDS),
        statistics.median(seconds) if seconds else _CX_SECONDS,
        _median((qubit.readout_seconds for qubit in qubits), _READOUT_SECONDS),
        0.0 if all(gate.name == "cx" for gate in cx.values()) else 1.0,
    )


class Devices:
    """Keeps the arrays of the calibrations that were used last."""

    def __init__(self, most: int = 256) -> None:
        """Keep at most so many; one of 156 places takes about half a megabyte."""
        self._most = most
        self._known: OrderedDict[str, Device] = OrderedDict()

    def of(self, calibration: Calibration) -> Device:
        """Return the arrays of a calibration."""
        known = self._known.pop(calibration.digest, None)
        if known is None:
            known = device(calibration)
        self._known[calibration.digest] = known
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return known


def _cx(gates: Iterable[Gate]) -> dict[tuple[int, int], Gate]:
    """Return the best gate of each pair, the lower qubit first."""
    best: dict[tuple[int, int], Gate] = {}
    for gate in gates:
        if len(gate.qubits) != 2 or gate.error == 1:
            continue
        pair = (min(gate.qubits), max(gate.qubits))
        there = best.get(pair)
        if there is None or _error(gate) < _error(there):
            best[pair] = gate
    return best


def _error(gate: Gate) -> float:
    return math.inf if gate.error is None else gate.error


def _by_place(known: dict[int, float | None], size: int) -> Floats:
    values = [value for value in known.values() if value is not None]
    middle = statistics.median(values) if values else 0.0
    return np.array([middle if (value := known.get(index)) is None else value for index in range(size)])


def _median(values: Iterable[float | None], default: float) -> float:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else default


def _largest(size: int, pulse: Floats, costs: dict[tuple[int, int], float]) -> NDArray[np.int64]:
    """Return the qubits that work, sorted: of a device in parts the largest part, of a huge one its best region."""
    matrix = _sparse(size, costs)
    _, labels = connected_components(matrix, directed=False)
    works = pulse < 1
    sizes = np.bincount(labels[works], minlength=int(labels.max()) + 1)
    (members,) = np.nonzero(works & (labels == sizes.argmax()))
    if len(members) <= MOST_PLACES:
        return members
    best = min((pair for pair in costs if pair[0] in set(members.tolist())), key=costs.__getitem__)
    reach = dijkstra(matrix, directed=False, indices=best[0])[members]
    return np.sort(members[np.argsort(reach, kind="stable")[:MOST_PLACES]])


def _sparse(size: int, costs: dict[tuple[int, int], float]) -> csr_matrix:
    pairs = np.array(list(costs), dtype=np.int64).reshape(-1, 2)
    # A weight of 0 would be no edge.
    weights = np.maximum(list(costs.values()), _LEAST_WEIGHT)
    return csr_matrix((weights, (pairs[:, 0], pairs[:, 1])), shape=(size, size))


def _distances(size: int, costs: dict[tuple[int, int], float]) -> tuple[NDArray[np.bool_], Floats, Floats]:
    matrix = _sparse(size, costs)
    best = dijkstra(matrix, directed=False)
    hops = dijkstra(matrix, directed=False, unweighted=True)
    mean = np.divide(best, hops, out=np.zeros_like(best), where=(hops > 0) & np.isfinite(hops))
    return hops == 1, hops, mean


def qubits_of(found: Device, places: Sequence[int]) -> tuple[int, ...]:
    """Return the device's own numbers of places."""
    return tuple(int(qubit) for qubit in found.places[list(places)])
