"""A calibration as arrays: what each place of a device costs, made once and kept by digest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from qonverge.circuits.error_response.accumulated_errors import Decay, pauli_error
from qonverge.devices import Calibration, Gate

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

# Pauli errors of a CX for each average infidelity, see circuits.load.pauli_error.
PAULI_2Q = 5 / 4
# A larger device is cut to the part around its best coupling: distances between all pairs take the square of it.
MOST_PLACES = 1024
# For what nobody measured: orders of magnitude of superconducting devices.
_PULSE_SECONDS, _CX_SECONDS, _READOUT_SECONDS = 50e-9, 300e-9, 1e-6
_LEAST_WEIGHT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """Costs are expected Pauli errors beyond relaxation; arrays are by place, and places are qubits that work."""

    places: NDArray[np.int64]
    """The device's own number of each place."""
    pulse: Floats
    """Errors of a pulse."""
    read_1_as_0: Floats
    read_0_as_1: Floats
    resets: Floats
    """Falls to 0 per second."""
    phases: Floats
    """Dephasings per second."""
    couplings: NDArray[np.bool_]
    """Which pairs of places have a gate."""
    hops: Floats
    """Couplings on the shortest way between two places; infinite where there is none."""
    hop_error: Floats
    """Mean Pauli errors of a CX on the couplings of the best way between two places, relaxation included."""
    hop_cost: Floats
    """The same beyond relaxation, and for places that are not coupled about so."""
    hop_seconds: Floats
    """Duration of a CX there; of places that are not coupled the median."""
    pulse_seconds: float
    readout_seconds: float
    extra_pulses: float
    """Pulses that a CX costs besides the device's own gate on two qubits."""

    @property
    def size(self) -> int:
        """How many places."""
        return len(self.places)


def device(calibration: Calibration, members: Sequence[int] | None = None) -> Device:
    """Return the arrays of a calibration; for what was not measured stands the median of what was.

    Args:
        calibration: the device's.
        members: qubits that work, sorted; None for the largest part, of a huge one its best region.
    """
    size = len(calibration.qubits)
    decays = [Decay.of(qubit) for qubit in calibration.qubits]
    name = calibration.pulse_gate
    pulses = [gate for gate in calibration.gates if gate.name == name and len(gate.qubits) == 1]
    pulse_seconds = _median((gate.seconds for gate in pulses), _PULSE_SECONDS)
    errors = _by_place({gate.qubits[0]: gate.error for gate in pulses}, size)
    pulse = np.array([pauli_error(error, pulse_seconds, [decays[q]]) for q, error in enumerate(errors.tolist())])
    cx = _cx(calibration.gates)
    cx_seconds = _median((gate.seconds for gate in cx.values()), _CX_SECONDS)
    middle = _median((gate.error for gate in cx.values()), 0.0)
    error = {pair: PAULI_2Q * (middle if gate.error is None else gate.error) for pair, gate in cx.items()}
    seconds = {pair: cx_seconds if gate.seconds is None else gate.seconds for pair, gate in cx.items()}
    works = _best_region(size, calibration.parts, error) if members is None else np.array(members, dtype=np.int64)
    couplings, hops, hop_error = _distances(works, error)
    cost = {
        pair: pauli_error(error[pair] / PAULI_2Q, seconds[pair], [decays[qubit] for qubit in pair]) for pair in error
    }
    beyond = sum(cost.values()) / max(_LEAST_WEIGHT, sum(error.values()))
    misread = np.array([calibration.misreading(qubit) for qubit in works.tolist()]).reshape(-1, 2).T
    return Device(
        works,
        pulse[works],
        misread[0],
        misread[1],
        np.array([decays[qubit].resets for qubit in works]),
        np.array([decays[qubit].phases for qubit in works]),
        couplings,
        hops,
        hop_error,
        _on_couplings(cost, works, hop_error * beyond),
        _on_couplings(seconds, works, np.full_like(hop_error, cx_seconds)),
        pulse_seconds,
        _median((qubit.readout_seconds for qubit in calibration.qubits), _READOUT_SECONDS),
        0.0 if all(gate.name == "cx" for gate in cx.values()) else 1.0,
    )


class Devices:
    """Keeps the arrays of the calibrations that were used last."""

    def __init__(self, most: int = 256) -> None:
        """Keep at most so many; one of 156 places takes about half a megabyte."""
        self._known: LRUCache[tuple[str, tuple[int, ...] | None], Device] = LRUCache(most)

    def of(self, calibration: Calibration, members: tuple[int, ...] | None = None) -> Device:
        """Return the arrays of a calibration, see ``device``."""
        key = (calibration.digest, members)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = device(calibration, members)
        return known


def _cx(gates: Iterable[Gate]) -> dict[tuple[int, int], Gate]:
    """Return the best gate of each pair, the lower qubit first."""
    best: dict[tuple[int, int], Gate] = {}
    for gate in gates:
        if len(gate.qubits) != 2 or not gate.works:
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


def _best_region(size: int, parts: Sequence[Sequence[int]], costs: dict[tuple[int, int], float]) -> NDArray[np.int64]:
    """Return the qubits of the largest part, sorted; of a huge one those around its best coupling."""
    members = np.array(parts[0] if parts else (), dtype=np.int64)
    if len(members) <= MOST_PLACES:
        return members
    from scipy.sparse.csgraph import dijkstra

    best = min((pair for pair in costs if pair[0] in set(members.tolist())), key=costs.__getitem__)
    reach = dijkstra(_sparse(size, costs), directed=False, indices=best[0])[members]
    return np.sort(members[np.argsort(reach, kind="stable")[:MOST_PLACES]])


def _sparse(size: int, costs: dict[tuple[int, int], float]) -> csr_matrix:
    # It is a sixth of what ``qonverge run`` takes to start, and most jobs need no distances.
    from scipy.sparse import csr_matrix

    pairs = np.array(list(costs), dtype=np.int64).reshape(-1, 2)
    # A weight of 0 would be no edge.
    weights = np.maximum(list(costs.values()), _LEAST_WEIGHT)
    return csr_matrix((weights, (pairs[:, 0], pairs[:, 1])), shape=(size, size))


def _distances(
    works: NDArray[np.int64], error: dict[tuple[int, int], float]
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return couplings, hops and mean errors on the way, between all pairs of places."""
    from scipy.sparse.csgraph import dijkstra

    size = int(works.max(initial=-1)) + 1
    matrix = _sparse(size, {pair: weight for pair, weight in error.items() if max(pair) < size})[works][:, works]
    best = dijkstra(matrix, directed=False)
    hops = dijkstra(matrix, directed=False, unweighted=True)
    mean = np.divide(best, hops, out=np.zeros_like(best), where=(hops > 0) & np.isfinite(hops))
    couplings = _on_couplings(error, works, np.full_like(best, np.nan))
    return np.isfinite(couplings), hops, np.where(np.isfinite(couplings), couplings, mean)


def _on_couplings(values: dict[tuple[int, int], float], works: NDArray[np.int64], elsewhere: Floats) -> Floats:
    """Return a matrix with these values at the couplings."""
    place = {int(qubit): index for index, qubit in enumerate(works)}
    matrix = elsewhere.copy()
    for (a, b), value in values.items():
        if a in place and b in place:
            matrix[place[a], place[b]] = matrix[place[b], place[a]] = value
    return matrix
