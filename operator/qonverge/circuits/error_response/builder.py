"""Making a circuit's response to errors: see ``circuits.response``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qonverge.circuits.analysis.gate_sequence import Step
from qonverge.circuits.error_response.error_response import ERRORS, FLIPS, Basis, Response, between
from qonverge.circuits.error_response.error_trajectories import COUNTS, KINDS, draw
from qonverge.circuits.error_response.ideal import Ideal
from qonverge.circuits.error_response.pauli_frames import follow
from qonverge.circuits.error_response.statevector import distributions, flipped

Floats = NDArray[np.float64]

_MOST_COLUMNS = 192
_LEAST_COLUMNS = 24
WORK = 6_000_000
"""Amplitudes times steps times trajectories that are worth it: some tens of milliseconds."""
_FRAMES = 512
_WIDEST = 1024


def respond(
    steps: Sequence[Step], measured: Sequence[int], num_qubits: int, *, exact: bool = True, most_work: int = WORK
) -> Response:
    """Return the response of a circuit without control flow, measurements inside and resets.

    Args:
        steps: measurements are passed over.
        measured: qubits that are measured at the end, in order.
        num_qubits: of the circuit.
        exact: whether the nearest Clifford circuit is the circuit itself.
        most_work: amplitudes times steps times trajectories of a simulation; what takes more is followed by frames.
    """
    gates = [step for step in steps if step.bit is None]
    used = sorted({qubit for step in gates for qubit in step.qubits} | set(measured))
    # Bits that a qubit shares would not be independent.
    if len(set(measured)) < max(1, len(measured)) or len(used) > _WIDEST:
        return unknown(len(measured))
    place = {qubit: index for index, qubit in enumerate(used)}
    gates = [Step(tuple(place[qubit] for qubit in step.qubits), step.matrix) for step in gates]
    bits = [place[qubit] for qubit in measured]
    work = (1 << min(len(used), 60)) * max(1, len(gates))
    if work * _LEAST_COLUMNS <= most_work:
        return _simulated(gates, bits, len(used), max(_LEAST_COLUMNS, min(_MOST_COLUMNS, most_work // work)))
    return _framed(gates, bits, len(used), "Stabilizer" if exact else "NearStabilizer")


def unknown(bits: int) -> Response:
    """Return the response of a circuit of which nothing is known: whatever errs is seen."""
    kept = tuple(math.exp(-errors) for errors in ERRORS)
    return Response(
        "Unknown", tuple(tuple(f * (1 - flip) ** bits for flip in FLIPS) for f in kept), kept, kept, (0.5,) * bits
    )


def _weights(errors: float) -> Floats:
    """Return the weight of no error and of each of ``COUNTS``: Poisson's, those between shared by their neighbours."""
    counts = (0, *COUNTS)
    weights = np.zeros(len(counts))
    probability, left = math.exp(-errors), 1.0
    for k in range(COUNTS[-1]):
        index, along = between(counts, k)
        weights[index] += probability * (1 - along)
        weights[index + 1] += probability * along
        left -= probability
        probability *= errors / (k + 1)
    weights[-1] += max(0.0, left)
    return weights


def _simulated(gates: Sequence[Step], bits: Sequence[int], n: int, columns: int) -> Response:
    faults = draw(gates, n, columns, np.random.default_rng(0))
    chances = distributions(gates, faults, bits, n)
    ideal = chances[:, -1]
    root = np.sqrt(ideal)
    weights = np.array([_weights(errors) for errors in ERRORS])
    noisy = {
        kind: weights
        @ np.stack([ideal, *(chances[:, :-1][:, faults.of(kind, count)].mean(axis=1) for count in COUNTS)])
        for kind in KINDS
    }

    def fidelity(outcomes: Floats, flip: float = 0.0) -> float:
        return float(np.sum(root * np.sqrt(flipped(outcomes, flip, len(bits)))) ** 2)

    cube = ideal.reshape((2,) * len(bits))
    return Response(
        "Simulated",
        tuple(tuple(fidelity(outcomes, flip) for flip in FLIPS) for outcomes in noisy["Gate"]),
        tuple(map(fidelity, noisy["Reset"])),
        tuple(map(fidelity, noisy["Phase"])),
        # The first axis is the highest bit.
        tuple(float(np.take(cube, 1, axis=len(bits) - 1 - index).sum()) for index in range(len(bits))),
        Ideal.of(ideal, len(bits)),
    )


def _framed(gates: Sequence[Step], bits: Sequence[int], n: int, basis: Basis) -> Response:
    random = np.random.default_rng(0)
    faults = draw(gates, n, _FRAMES, random)
    found = follow(gates, faults, bits, n, COUNTS, random)
    weights = np.array([_weights(errors) for errors in ERRORS])
    kept = {
        kind: weights @ np.array([1.0, *(found.unseen[faults.of(kind, count)].mean() for count in COUNTS)])
        for kind in KINDS
    }
    # A Poisson process of this rate leaves the bits alone as often as flips do.
    read = [float(_weights(-math.log1p(-flip) * len(bits)) @ np.array([1.0, *found.unread])) for flip in FLIPS]
    # Where both have left the support, chance leads back.
    chance = 0.5 ** (len(bits) - found.rank)
    inside = 0.0 if basis == "Stabilizer" else found.rank / len(bits)

    def fidelity(unseen: float, unread: float, intact: float) -> float:
        seen = unseen * unread + (1 - unseen) * (1 - unread) * chance
        return float(seen * _spread_fidelity(intact) ** inside)

    clean = [math.exp(-errors) for errors in ERRORS]
    resets, phases = (
        tuple(fidelity(f, 1.0, left) for f, left in zip(kept[kind], clean, strict=True)) for kind in KINDS[1:]
    )
    table = tuple(
        tuple(fidelity(f, r, left * (1 - flip) ** len(bits)) for r, flip in zip(read, FLIPS, strict=True))
        for f, left in zip(kept["Gate"], clean, strict=True)
    )
    return Response(basis, table, resets, phases, (0.5,) * len(bits))


def _spread_fidelity(intact: float) -> float:
    """Return F where p is as uneven as a random state's, and mixed with as even a distribution but for this share.

    Probabilities of a random state, in units of their mean, are distributed as exp(-x) (Porter & Thomas, Phys. Rev.
    104, 483, 1956), so F is the square of the mean of sqrt(x (l x + 1 - l)): from 1 to pi/4.
    """
    x, weights = np.polynomial.laguerre.laggauss(24)
    return float(np.sum(weights * np.sqrt(x * (intact * x + 1 - intact))) ** 2)
