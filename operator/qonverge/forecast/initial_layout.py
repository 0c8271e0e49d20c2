"""Where a circuit may lie on a device, found in milliseconds: what a transpiler would find in seconds, roughly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.forecast.device import Device, Floats

# Starts of the greedy search: the wider the circuit, the fewer.
_STARTS = 48
_LEAST_STARTS = 6
# Rounds of improvement, and up to which width every two qubits are tried the other way round.
_ROUNDS = 8
_MOST_EXCHANGED = 24
_GAIN = 1e-12
# SWAPs that a coupling between the qubits of a CX beyond the first counts for: more than it takes in the end, since a
# transpiler looks for places without SWAPs before it looks at errors.
_AVERSION = 2.0
# Three CX make a SWAP.
SWAP = 3.0


@dataclass(frozen=True, slots=True)
class Pattern:
    """A circuit's interactions as arrays, the same for every device."""

    order: tuple[int, ...]
    """Qubits that do anything, each with the most CX to those before it."""
    weights: Floats
    """CX between each two of them, in that order."""
    pulses: Floats
    """Pulses on each."""
    reads: Floats
    """How often each is measured."""
    alive: Floats
    """Layers of CX from the first step of each to the end."""


def pattern(profile: CircuitProfile) -> Pattern:
    """Return the interactions of a circuit."""
    n = profile.num_qubits
    weights = np.zeros((n, n))
    for a, b, count in profile.pairs:
        weights[a, b] = weights[b, a] = count
    reads = np.zeros(n)
    for qubit, _ in profile.measured:
        reads[qubit] += 1
    pulses = np.array(profile.pulses, dtype=float)
    active = (weights.sum(axis=1) > 0) | (reads > 0) | (pulses > 0)
    total, near = weights.sum(axis=1), np.zeros(n)
    left = np.where(active, 0.0, -np.inf)
    order: list[int] = []
    for _ in range(int(active.sum())):
        # Among those with most CX to what is placed, the busiest.
        chosen = int(np.argmax(left + near * (total.max() + 1) + total))
        order.append(chosen)
        left[chosen] = -np.inf
        near += weights[chosen]
    index = np.array(order, dtype=np.int64)
    return Pattern(
        tuple(order),
        weights[np.ix_(index, index)],
        pulses[index],
        reads[index],
        np.array(profile.alive, dtype=float)[index],
    )


def place(wanted: Pattern, device: Device) -> NDArray[np.int64]:
    """Return a place for each qubit of the pattern.

    Qubits are placed one by one where they cost least, from many starts at once; then the best layouts are improved by
    moving a qubit or exchanging two while that helps.

    Args:
        wanted: the circuit; no more qubits than the device has places.
        device: the device, in one piece.
    """
    count = len(wanted.order)
    pair_cost = device.hop_error * (1 + SWAP * _AVERSION * np.maximum(device.hops - 1, 0))
    own = np.stack(
        [
            wanted.pulses[k] * device.pulse + wanted.reads[k] * (device.read_1_as_0 + device.read_0_as_1) / 2
            for k in range(count)
        ]
    )
    starts = _starts(own, pair_cost, device)
    layouts = _grow(wanted, device, pair_cost, own, starts)
    costs = _cost(layouts, wanted, pair_cost, own)
    best = layouts[int(np.argmin(costs))].copy()
    return _improved(best, wanted, pair_cost, own)


def _starts(own: Floats, pair_cost: Floats, device: Device) -> NDArray[np.int64]:
    """Return the places where the first qubit may lie: those with the best surroundings."""
    size = device.size
    near = min(size, own.shape[0])
    around = np.sort(pair_cost, axis=1)[:, :near].sum(axis=1)
    return np.argsort(own[0] + around, kind="stable")[: max(_LEAST_STARTS, _STARTS * 8 // max(8, near))]


def _grow(
    wanted: Pattern, device: Device, pair_cost: Floats, own: Floats, starts: NDArray[np.int64]
) -> NDArray[np.int64]:
    count, rows = len(wanted.order), np.arange(len(starts))
    layouts = np.zeros((len(starts), count), dtype=np.int64)
    layouts[:, 0] = starts
    free = np.ones((len(starts), device.size))
    free[rows, starts] = 0
    # A qubit with neighbours still to come wants free neighbours itself: each that is missing costs a detour.
    coupled = device.couplings.astype(float)
    room = coupled.sum(axis=0) - coupled[starts]
    later = (wanted.weights > 0).astype(float)
    detour = SWAP * float(np.median(device.hop_error[device.couplings])) if device.couplings.any() else 0.0
    for k in range(1, count):
        (placed,) = np.nonzero(wanted.weights[k, :k])
        cost = np.tile(own[k], (len(starts), 1))
        for other in placed:
            cost += wanted.weights[k, other] * pair_cost[layouts[:, other]]
        to_come = later[k, k + 1 :].sum()
        if to_come:
            cost += detour * np.maximum(to_come - room, 0)
        cost[free == 0] = np.inf
        chosen = cost.argmin(axis=1)
        layouts[:, k] = chosen
        free[rows, chosen] = 0
        room -= coupled[chosen]
    return layouts


def _cost(layouts: NDArray[np.int64], wanted: Pattern, pair_cost: Floats, own: Floats) -> Floats:
    count = layouts.shape[1]
    total: Floats = own[np.arange(count), layouts].sum(axis=1)
    first, second = np.nonzero(np.triu(wanted.weights))
    total += pair_cost[layouts[:, first], layouts[:, second]] @ wanted.weights[first, second]
    return total


def _improved(layout: NDArray[np.int64], wanted: Pattern, pair_cost: Floats, own: Floats) -> NDArray[np.int64]:
    count = len(layout)
    first, second = np.triu_indices(count if count <= _MOST_EXCHANGED else 1, 1)
    rows = np.arange(len(first))
    for _ in range(_ROUNDS):
        moved = False
        for k in range(count):
            # What qubit k costs at each place, the others where they are.
            there = own[k] + wanted.weights[k] @ pair_cost[layout]
            gain = there[layout[k]] - there
            gain[layout] = 0
            target = int(gain.argmax())
            if gain[target] > _GAIN:
                layout[k], moved = target, True
        if len(rows):
            exchanged = np.tile(layout, (len(rows), 1))
            exchanged[rows, first], exchanged[rows, second] = layout[second], layout[first]
            costs = _cost(exchanged, wanted, pair_cost, own)
            best = int(costs.argmin())
            if costs[best] < _cost(layout[None], wanted, pair_cost, own)[0] - _GAIN:
                layout, moved = exchanged[best], True
        if not moved:
            break
    return layout
