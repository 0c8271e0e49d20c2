"""What the tests of several engines share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer import Aer
from qonverge.backend.engines.braket import BraketLocal
from qonverge.backend.engines.protocol import Provider, load
from qonverge.backend.engines.stim import Stim
from qonverge.wire.messages import Observable, Pub, PubResult

GIB = 1024**3
KINDS: Mapping[str, type[Any]] = {"Aer": Aer, "Stim": Stim, "BraketLocal": BraketLocal}

CLIFFORD = ("h", "s", "sdg", "x", "y", "z", "sx", "sxdg")
CLIFFORD_2 = ("cx", "cy", "cz", "swap", "ecr", "iswap", "dcx")
ROTATIONS = ("rx", "ry", "rz", "p")
ROTATIONS_2 = ("rxx", "ryy", "rzz", "rzx", "cp", "crx", "cry")


def engine(name: str, **config: Any) -> Provider:
    return load(EngineConfig(**{"provider": name, "memory_bytes": 4 * GIB, **config}))


def run(provider: Provider, circuit: QuantumCircuit, *, seed: int = 7, memory: bool = False, **pub: Any) -> PubResult:
    return provider.run(provider.prepare(circuit), Pub("digest", **pub), seed=seed, memory=memory)


def label(operator: str) -> Observable:
    return ((operator, 1.0),)


def distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Return the total variation distance of two samples' frequencies."""
    a, b = sum(one.values()), sum(other.values())
    return sum(abs(one.get(key, 0) / a - other.get(key, 0) / b) for key in one.keys() | other.keys()) / 2


def same(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Return whether two samples may come from one distribution.

    A two-sample chi-square over the outcomes that came often enough; less than 1e-7 of equal ones fail.
    """
    from scipy.stats import chi2

    a, b = sum(one.values()), sum(other.values())
    pairs: list[tuple[float, float]] = []
    rest = np.zeros(2)
    for key in one.keys() | other.keys():
        pair = one.get(key, 0), other.get(key, 0)
        if sum(pair) >= 10:
            pairs.append(pair)
        else:
            rest += pair
    if rest.sum():
        pairs.append((float(rest[0]), float(rest[1])))
    table = np.array(pairs, dtype=float)
    expected = np.outer(table.sum(axis=1), [a, b]) / (a + b)
    statistic = float(((table - expected) ** 2 / expected).sum())
    return bool(chi2.sf(statistic, max(1, len(pairs) - 1)) > 1e-7)


@st.composite
def circuits(draw: st.DrawFn, *, clifford: bool, dynamic: bool = False, measured: bool = True) -> QuantumCircuit:
    """Circuits of 1 to 4 qubits, with registers that do not divide evenly into bytes and qubits in another order."""
    n = draw(st.integers(1, 4))
    one, two = ClassicalRegister(n, "a"), ClassicalRegister(draw(st.integers(1, 9)), "b")
    circuit = QuantumCircuit(QuantumRegister(n, "q"), *((one, two) if measured else ()))
    choices = ["one"] + (["two"] if n > 1 else []) + ([] if clifford else ["turn"] + (["turn2"] if n > 1 else []))
    if dynamic:
        choices += ["measure", "reset", "if"]
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(choices))
        places = draw(st.permutations(range(n)))
        if kind == "one":
            getattr(circuit, draw(st.sampled_from(CLIFFORD)))(places[0])
        elif kind == "two":
            getattr(circuit, draw(st.sampled_from(CLIFFORD_2)))(places[0], places[1])
        elif kind in ("turn", "turn2"):
            angle = draw(st.floats(-3, 3, allow_subnormal=False))
            names = ROTATIONS if kind == "turn" else ROTATIONS_2
            getattr(circuit, draw(st.sampled_from(names)))(angle, *places[: 1 if kind == "turn" else 2])
        elif kind == "measure":
            circuit.measure(places[0], draw(st.sampled_from(circuit.clbits)))
        elif kind == "reset":
            circuit.reset(places[0])
        else:
            bit = draw(st.sampled_from(circuit.clbits))
            with circuit.if_test((bit, draw(st.integers(0, 1)))) as otherwise:
                getattr(circuit, draw(st.sampled_from(("x", "y", "z"))))(places[0])
            if draw(st.booleans()):
                with otherwise:
                    getattr(circuit, draw(st.sampled_from(("x", "z"))))(places[-1])
    if measured:
        order = draw(st.permutations(range(n)))
        kept = draw(st.integers(1, n))
        circuit.measure(order[:kept], list(one)[:kept])
    return circuit


def joint(answer: PubResult, sizes: Sequence[tuple[str, int]]) -> Counter[str]:
    """Return counts, as Qiskit writes them, of bits that came shot by shot."""
    columns = []
    for name, size in reversed(sizes):
        bits, raw = answer.registers[name]
        assert bits == size
        unpacked: NDArray[np.uint8] = np.unpackbits(raw[0], axis=-1)[:, -size:]
        columns.append(["".join(map(str, row)) for row in unpacked.tolist()])
    return Counter(" ".join(parts) for parts in zip(*columns, strict=True))
