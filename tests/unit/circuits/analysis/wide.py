"""Wide circuits of known structure, as suites of benchmarks have them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit


def chain(n: int) -> QuantumCircuit:
    """Toffolis on basis states: all qubits end in 1."""
    circuit = QuantumCircuit(n)
    circuit.x([0, 1])
    for first in range(n - 2):
        circuit.ccx(first, first + 1, first + 2)
    for _ in range(20):
        circuit.ccx(0, n // 2 - 1, n - 1)
    return circuit


def adder(n: int, a: int = 0b1011, b: int = 0b0110, *, decomposed: bool = False) -> QuantumCircuit:
    """A ripple-carry adder (Cuccaro et al., quant-ph/0410184): b becomes a + b, the last qubit its highest bit."""
    width = (n - 2) // 2
    circuit = QuantumCircuit(n)
    one, other = list(range(1, width + 1)), list(range(width + 1, 2 * width + 1))
    for value, qubits in ((a, one), (b, other)):
        circuit.x([qubit for place, qubit in enumerate(qubits) if value >> place & 1])
    _add(circuit, one, other, 0, n - 1)
    return circuit.decompose("ccx") if decomposed else circuit


def _add(circuit: QuantumCircuit, a: list[int], b: list[int], carry: int, high: int) -> None:
    carries = [carry, *a]
    for k in range(len(a)):
        circuit.cx(a[k], b[k])
        circuit.cx(a[k], carries[k])
        circuit.ccx(carries[k], b[k], a[k])
    circuit.cx(a[-1], high)
    for k in reversed(range(len(a))):
        circuit.ccx(carries[k], b[k], a[k])
        circuit.cx(a[k], carries[k])
        circuit.cx(carries[k], b[k])


def multiplier(width: int, a: int = 0b101101, b: int = 0b110111) -> QuantumCircuit:
    """Shift and add: the product of two numbers, of ``2 * width`` bits from qubit ``2 * width`` on."""
    x, y = list(range(width)), list(range(width, 2 * width))
    product, partial, carry = list(range(2 * width, 4 * width)), list(range(4 * width, 5 * width)), 5 * width
    circuit = QuantumCircuit(5 * width + 1)
    for value, qubits in ((a, x), (b, y)):
        circuit.x([qubit for place, qubit in enumerate(qubits) if value >> place & 1])
    for j in range(width):
        for i in range(width):
            circuit.ccx(x[i], y[j], partial[i])
        _add(circuit, partial, product[j : j + width], carry, product[j + width])
        for i in range(width):
            circuit.ccx(x[i], y[j], partial[i])
    return circuit


def swap_test(
    n: int, *, decomposed: bool = False, angles: Sequence[float] | NDArray[np.float64] | None = None
) -> QuantumCircuit:
    """A swap test of two product states: qubit 0 is 1 with probability (1 - overlap) / 2."""
    width = (n - 1) // 2
    turns = np.linspace(0.1, 2.9, n - 1) if angles is None else angles
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for qubit, angle in enumerate(turns, start=1):
        circuit.ry(float(angle), qubit)
    for k in range(width):
        circuit.cswap(0, 1 + k, 1 + width + k)
    circuit.h(0)
    return circuit.decompose("cswap").decompose("ccx") if decomposed else circuit


def parity(n: int) -> QuantumCircuit:
    """Bernstein and Vazirani's search for every second bit; the last qubit is in |->."""
    circuit = QuantumCircuit(n)
    circuit.x(n - 1)
    circuit.h(range(n))
    for qubit in range(0, n - 1, 2):
        circuit.cx(qubit, n - 1)
    circuit.h(range(n - 1))
    return circuit


def fourier(n: int) -> QuantumCircuit:
    """The quantum Fourier transform of a basis state, which is a product."""
    circuit = QuantumCircuit(n)
    circuit.x(3)
    for high in reversed(range(n)):
        circuit.h(high)
        for low in range(high):
            circuit.cp(math.pi / 2 ** (high - low), low, high)
    return circuit


def cat(n: int) -> QuantumCircuit:
    """All qubits 0 or all 1, with further gates across it."""
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    for _ in range(10):
        circuit.ccx(0, 1, n - 1)
    return circuit


def scrambled(n: int, layers: int) -> QuantumCircuit:
    """Random gates in a brickwork."""
    random, circuit = np.random.default_rng(0), QuantumCircuit(n)
    for layer in range(layers):
        for qubit in range(n):
            circuit.u(*random.uniform(0, 6, 3), qubit)
        for qubit in range(layer % 2, n - 1, 2):
            circuit.cx(qubit, qubit + 1)
    return circuit
