"""The study's circuits: families of algorithms, each in several widths. All measure every qubit that they use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import QFTGate, efficient_su2, quantum_volume, real_amplitudes


@dataclass(frozen=True, slots=True)
class Case:
    """A circuit of the study."""

    family: str
    name: str
    circuit: QuantumCircuit
    fresh: bool = False
    """Whether it was run for the first time when all else was done."""


def cases() -> Iterator[Case]:
    """Yield all circuits, the same each time."""
    for family, (make, widths) in (FAMILIES | FRESH).items():
        for width in widths:
            circuit = make(width, np.random.default_rng([width, *family.encode()]))
            yield Case(family, f"{family}-{width}", circuit, family in FRESH)


def ghz(n: int, random: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


def w_state(n: int, random: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    circuit.x(0)
    for qubit in range(n - 1):
        circuit.cry(2 * math.acos(math.sqrt(1 / (n - qubit))), qubit, qubit + 1)
        circuit.cx(qubit + 1, qubit)
    circuit.measure_all()
    return circuit


def phase_estimation(n: int, random: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n, n - 1)
    phase = random.random()
    circuit.x(n - 1)
    circuit.h(range(n - 1))
    for qubit in range(n - 1):
        circuit.cp(2 * math.pi * phase * 2**qubit, qubit, n - 1)
    circuit.append(QFTGate(n - 1).inverse(), range(n - 1))
    circuit.measure(range(n - 1), range(n - 1))
    return circuit


def qft_of_period(n: int, random: np.random.Generator) -> QuantumCircuit:
    """The Fourier transform of a state of period 4, whose outcomes are peaks."""
    circuit = QuantumCircuit(n)
    circuit.h(range(2, n))
    circuit.append(QFTGate(n), range(n))
    circuit.measure_all()
    return circuit


def bernstein_vazirani(n: int, random: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n, n - 1)
    circuit.x(n - 1)
    circuit.h(range(n))
    for qubit in np.flatnonzero(random.integers(0, 2, n - 1) | (np.arange(n - 1) == 0)):
        circuit.cx(int(qubit), n - 1)
    circuit.h(range(n - 1))
    circuit.measure(range(n - 1), range(n - 1))
    return circuit


def grover(n: int, random: np.random.Generator) -> QuantumCircuit:
    marked = int(random.integers(2**n))
    circuit = QuantumCircuit(n)
    circuit.h(range(n))
    for _ in range(1 if n > 3 else 2):
        _reflect(circuit, marked)
        circuit.h(range(n))
        _reflect(circuit, 0)
        circuit.h(range(n))
    circuit.measure_all()
    return circuit


def _reflect(circuit: QuantumCircuit, state: int) -> None:
    n = circuit.num_qubits
    zeros = [qubit for qubit in range(n) if not state >> qubit & 1]
    circuit.x(zeros) if zeros else None
    circuit.h(n - 1)
    circuit.mcx(list(range(n - 1)), n - 1)
    circuit.h(n - 1)
    circuit.x(zeros) if zeros else None


def qaoa(n: int, random: np.random.Generator) -> QuantumCircuit:
    """One or two layers for MaxCut on a random graph of mean degree 3."""
    pairs = [(a, b) for a in range(n) for b in range(a) if random.random() < 3 / (n - 1)]
    circuit = QuantumCircuit(n)
    circuit.h(range(n))
    for _ in range(1 + n % 2):
        gamma, beta = random.uniform(0.3, 1.2, 2)
        for a, b in pairs:
            circuit.rzz(gamma, a, b)
        circuit.rx(2 * beta, range(n))
    circuit.measure_all()
    return circuit


def vqe_linear(n: int, random: np.random.Generator) -> QuantumCircuit:
    ansatz = real_amplitudes(n, entanglement="linear", reps=2)
    return _measured(ansatz.assign_parameters(random.normal(0, 0.6, ansatz.num_parameters)))


def vqe_full(n: int, random: np.random.Generator) -> QuantumCircuit:
    ansatz = efficient_su2(n, entanglement="full", reps=1)
    return _measured(ansatz.assign_parameters(random.normal(0, 0.8, ansatz.num_parameters)))


def volume(n: int, random: np.random.Generator) -> QuantumCircuit:
    return _measured(quantum_volume(n, min(n, 5), seed=int(random.integers(2**31))).decompose())


def clifford_t(n: int, random: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    for _ in range(6 * n):
        if random.random() < 0.4:
            circuit.cx(*map(int, random.choice(n, 2, replace=False)))
        else:
            getattr(circuit, str(random.choice(["h", "s", "t", "x"])))(int(random.integers(n)))
    circuit.measure_all()
    return circuit


def ising(n: int, random: np.random.Generator) -> QuantumCircuit:
    """Trotter steps of a chain in a transverse field, from all spins up."""
    circuit = QuantumCircuit(n)
    for _ in range(int(random.integers(2, 6))):
        for qubit in (*range(0, n - 1, 2), *range(1, n - 1, 2)):
            circuit.rzz(0.4, qubit, qubit + 1)
        circuit.rx(0.5, range(n))
    circuit.measure_all()
    return circuit


def heisenberg(n: int, random: np.random.Generator) -> QuantumCircuit:
    """Trotter steps of a ring from the Neel state."""
    circuit = QuantumCircuit(n)
    circuit.x(range(0, n, 2))
    for _ in range(2):
        for qubit in range(n):
            pair = (qubit, (qubit + 1) % n)
            circuit.rxx(0.3, *pair)
            circuit.ryy(0.3, *pair)
            circuit.rzz(0.3, *pair)
    circuit.measure_all()
    return circuit


def adder(n: int, random: np.random.Generator) -> QuantumCircuit:
    """A ripple of majorities on random bits: one basis state."""
    circuit = QuantumCircuit(n)
    for one in np.flatnonzero(random.integers(0, 2, n)).tolist():
        circuit.x(one)
    for qubit in range(0, n - 2, 2):
        circuit.cx(qubit + 2, qubit + 1)
        circuit.ccx(qubit, qubit + 1, qubit + 2)
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


def hidden_shift(n: int, random: np.random.Generator) -> QuantumCircuit:
    shift = np.flatnonzero(random.integers(0, 2, n)).tolist()
    circuit = QuantumCircuit(n)
    circuit.h(range(n))
    circuit.x(shift) if shift else None
    for qubit in range(0, n - 1, 2):
        circuit.cz(qubit, qubit + 1)
    circuit.x(shift) if shift else None
    circuit.h(range(n))
    for qubit in range(0, n - 1, 2):
        circuit.cz(qubit, qubit + 1)
    circuit.h(range(n))
    circuit.measure_all()
    return circuit


def draper(n: int, random: np.random.Generator) -> QuantumCircuit:
    """A number is added by phases, between a Fourier transform and its inverse: one basis state."""
    start, added = random.integers(2**n, size=2).tolist()
    circuit = QuantumCircuit(n)
    for qubit in range(n):
        if start >> qubit & 1:
            circuit.x(qubit)
    circuit.append(QFTGate(n), range(n))
    for qubit in range(n):
        circuit.p(2 * math.pi * added * 2**qubit / 2**n, qubit)
    circuit.append(QFTGate(n).inverse(), range(n))
    circuit.measure_all()
    return circuit


def swap_test(n: int, random: np.random.Generator) -> QuantumCircuit:
    """The overlap of two product states, read from one qubit; n is odd."""
    half = n // 2
    circuit = QuantumCircuit(n, 1)
    for qubit in range(1, n):
        circuit.ry(random.uniform(0, 2), qubit)
    circuit.h(0)
    for qubit in range(1, half + 1):
        circuit.cswap(0, qubit, qubit + half)
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


def brickwork(n: int, random: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    for layer in range(4):
        for qubit in range(n):
            circuit.u(*random.uniform(0, 3, 3), qubit)
        for qubit in range(layer % 2, n - 1, 2):
            circuit.cz(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


def walk(n: int, random: np.random.Generator) -> QuantumCircuit:
    """Two steps of a walk on a circle, qubit 0 as the coin."""
    circuit = QuantumCircuit(n)
    for _ in range(2):
        circuit.ry(1.1, 0)
        for qubit in range(n - 1, 0, -1):
            circuit.mcx(list(range(qubit)), qubit)
    circuit.measure_all()
    return circuit


def deutsch_jozsa(n: int, random: np.random.Generator) -> QuantumCircuit:
    circuit = QuantumCircuit(n, n - 1)
    flips = np.flatnonzero(random.integers(0, 2, n - 1)).tolist()
    circuit.x(n - 1)
    circuit.h(range(n))
    for qubit in range(n - 1):
        if qubit in flips:
            circuit.x(qubit)
        circuit.cx(qubit, n - 1)
        if qubit in flips:
            circuit.x(qubit)
    circuit.h(range(n - 1))
    circuit.measure(range(n - 1), range(n - 1))
    return circuit


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.measure_all()
    return circuit


FAMILIES: dict[str, tuple[Callable[[int, np.random.Generator], QuantumCircuit], tuple[int, ...]]] = {
    "ghz": (ghz, (3, 5, 7, 10)),
    "w-state": (w_state, (3, 5, 7)),
    "phase-estimation": (phase_estimation, (4, 5, 6, 7)),
    "qft": (qft_of_period, (3, 4, 5, 6, 7)),
    "bernstein-vazirani": (bernstein_vazirani, (4, 6, 8, 10)),
    "grover": (grover, (3, 4, 5)),
    "qaoa": (qaoa, (4, 5, 6, 7, 8)),
    "vqe-linear": (vqe_linear, (4, 6, 8)),
    "vqe-full": (vqe_full, (3, 4, 5, 6)),
    "quantum-volume": (volume, (3, 4, 5, 6)),
    "clifford-t": (clifford_t, (3, 4, 5, 6, 7)),
    "ising": (ising, (4, 6, 8, 10)),
    "heisenberg": (heisenberg, (4, 5, 6)),
    "adder": (adder, (3, 5, 7, 9)),
    "hidden-shift": (hidden_shift, (4, 6, 8)),
}
# Added when nothing was to be changed any more: the other families were seen while forecasts were made.
FRESH: dict[str, tuple[Callable[[int, np.random.Generator], QuantumCircuit], tuple[int, ...]]] = {
    "draper": (draper, (3, 4, 5)),
    "swap-test": (swap_test, (3, 5, 7)),
    "brickwork": (brickwork, (4, 6, 8)),
    "walk": (walk, (3, 4, 5)),
    "deutsch-jozsa": (deutsch_jozsa, (4, 6)),
}
