"""How Aer keeps its states: decided before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from qonverge.amounts import format_bytes
from qonverge.backend.engines.descriptors import AER_FIGURES
from qonverge.circuits.analysis.analysis import Analysis
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit

NARROW_CLIFFORD = AER_FIGURES.narrow_clifford_qubits
# From this width on a matrix product state of at most this bond dimension is faster than the statevector (measured on
# one thread, chains of 20 qubits: 2^4 125 and 448 ms, 2^6 816 and 677 ms; of 16 qubits: 2^4 90 and 27 ms).
_WIDE = 20
_FAST_BOND_BITS = 4
# A density matrix takes as long as so many runs of 2^n shots for every 4^n (measured on one thread, three layers on 10
# qubits: 2.0 s, and 0.7 s for 100 shots; on 12 qubits 34 s, and 23 s for 1,024 shots; before errors were superoperators
# of the circuit itself, which made density matrices faster).
_DENSITY_GAIN = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """A method, by the API's name, and why."""

    method: str
    reason: str


def choose(method: str, analysis: Analysis, limit: int, *, mixed: bool = False) -> Choice:
    """Return the method for a circuit.

    Args:
        method: what the backend is set to; Automatic leaves the choice here.
        analysis: of the circuit.
        limit: bytes that the circuit may take.
        mixed: the average over all outcomes is wanted of a circuit that resets qubits.

    Raises:
        CircuitTooLarge: no method, or not the one that is set, has room for it.
    """
    n = analysis.num_qubits
    if mixed and method != "DensityMatrix":
        fit("density matrix", n, 2, limit, advice="give shots or precision, which take less memory")
        return Choice("DensityMatrix", "a reset leaves a mixed state")
    if method == "Automatic":
        return _choose_freely(analysis, limit)
    if method in ("Statevector", "DensityMatrix"):
        fit("density matrix" if method == "DensityMatrix" else "statevector", n, 1 + (method == "DensityMatrix"), limit)
    return Choice(method, "the backend is set to it")


def _choose_freely(analysis: Analysis, limit: int) -> Choice:
    n, bits = analysis.num_qubits, analysis.bond_bits
    if analysis.clifford and n > NARROW_CLIFFORD:
        return Choice("Stabilizer", f"all gates are Clifford, on {n} qubits")
    fits = analysis.statevector_bytes <= limit
    if fits and (n < _WIDE or bits > _FAST_BOND_BITS):
        return Choice("Statevector", f"{n} qubits need {format_bytes(analysis.statevector_bytes)}")
    if analysis.compact_bytes is not None and analysis.compact_bytes <= limit:
        return Choice("MatrixProductState", f"{n} qubits with a bond dimension of at most {2**bits}")
    if not fits:
        fit("statevector", n, 1, limit, f", and it may entangle too much (a bond dimension of up to 2^{bits})")
    return Choice("Statevector", f"{n} qubits need {format_bytes(analysis.statevector_bytes)}")


def fit(
    kind: str,
    qubits: int,
    power: int,
    limit: int,
    more: str = "",
    advice: str = "use fewer qubits, more memory or the method MatrixProductState",
    *,
    copies: int = 1,
) -> None:
    """Refuse a state that has no room.

    Args:
        kind: what it is called.
        qubits: of the circuit.
        power: 1 for 2^n amplitudes, 2 for 4^n.
        limit: bytes that the circuit may take.
        more: what else is to be said.
        advice: what to do.
        copies: states of this size that the engine holds at a time.

    Raises:
        CircuitTooLarge: with both figures.
    """
    needed = copies * 16 << (power * qubits)
    if needed <= limit:
        return
    fits = int(math.log2(max(1, limit // (16 * copies)))) // power
    raise CircuitTooLarge(
        f"a {kind} of {qubits} qubits needs {format_bytes(needed)} and one circuit has {format_bytes(limit)} here, "
        f"enough for {fits} qubits{more}: {advice}",
        has_bytes=limit,
    )


def choose_noisy(
    method: str, analysis: Analysis, limit: int, *, shots: int | None, pauli: Callable[[], bool]
) -> Choice:
    """Return the method for a circuit with errors.

    A density matrix holds all that errors may do, and is run once; other states are run once for each shot.

    Args:
        method: what the backend is set to; Automatic leaves the choice here.
        analysis: of the circuit on the qubits that it uses.
        limit: bytes that the circuit may take.
        shots: runs that are wanted; None for exact values.
        pauli: tells whether every error is a random choice of Pauli operators and resets.

    Raises:
        CircuitTooLarge: no method, or not the one that is set, has room for it.
        InvalidCircuit: the method that is set cannot run it.
    """
    n = analysis.num_qubits
    if shots is None:
        fit("density matrix", n, 2, limit, advice="give shots or precision, which take less memory")
        return Choice("DensityMatrix", "the values are averages over all errors")
    if method == "Stabilizer" and not (analysis.clifford and pauli()):
        what = "errors" if analysis.clifford else "gates"
        raise InvalidCircuit(f"the method Stabilizer cannot run the circuit's {what}: use the method Automatic")
    if method != "Automatic":
        return choose(method, analysis, limit)
    once = not (analysis.mid_circuit or analysis.control_flow)
    if once and 16 << 2 * n <= limit and 1 << n <= _DENSITY_GAIN * shots:
        return Choice("DensityMatrix", f"errors on {n} qubits, run once for all {shots} shots")
    if analysis.clifford and pauli():
        return Choice("Stabilizer", f"all gates are Clifford and all errors Pauli, on {n} qubits")
    choice = _choose_freely(replace(analysis, clifford=False), limit)
    return replace(choice, reason=f"{choice.reason}, run once for each of {shots} shots")
