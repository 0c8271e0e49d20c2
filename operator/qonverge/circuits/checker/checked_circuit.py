"""A program, checked and ready to travel."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qonverge.circuits.analysis.analysis import Analysis
from qonverge.circuits.analysis.hidden import hidden_bits
from qonverge.circuits.analysis.observables import Observable, parse_observables, places_of
from qonverge.circuits.error_response.profile import CircuitProfile
from qonverge.circuits.errors import InvalidProgram
from qonverge.devices import Layout
from qonverge.documents.excerpt import excerpt


@dataclass(frozen=True, slots=True)
class CheckedCircuit:
    """A circuit that was parsed and found good."""

    digest: str
    """SHA-256 of ``qpy``, in hex; equal programs have equal digests, whatever process read them."""
    qpy: bytes
    """The circuit in Qiskit's binary format, its parameters still free."""
    analysis: Analysis
    observables: tuple[Observable, ...]
    """The observables in canonical form."""
    profile: CircuitProfile | None = None
    """What forecasts are made of; None for a circuit that is too long for any device."""
    layout: Layout | None = None
    """Where it lies on a device; None: where it lies best."""
    used: tuple[int, ...] = ()
    """Qubits that operations act on."""
    pairs: tuple[tuple[int, int], ...] = ()
    """Pairs of qubits, the lower first, that gates act on; sorted."""
    warnings: tuple[str, ...] = ()
    """Of what is valid and may mislead, with line and column."""
    fixed: tuple[str, ...] = ()
    """Parameters whose given values the circuit depends on: with others it would be another circuit."""


def check(
    program: str | bytes, parameters: Mapping[str, float], observables: Sequence[object], layout: Layout | None = None
) -> CheckedCircuit:
    """Read and check a program with the values and observables that it is to run with.

    With observables, measurements at the end are taken off: the expectation values are about the state before them.
    Resets at the end of qubits that nobody looks at afterwards are taken off too.
    Of a program with physical qubits (``$3``), the circuit has those that it uses, in the order of their numbers, and
    lies on them without routing; its observables have a letter for each qubit up to the highest number.

    Raises:
        InvalidProgram: when the program, a parameter, an observable or the layout is wrong.
    """
    from qonverge.circuits.analysis.analysis import analyse
    from qonverge.circuits.analysis.canonical import serialise
    from qonverge.circuits.analysis.final_operations import without_final_measurements, without_final_resets
    from qonverge.circuits.analysis.wiring import compact, pairs_of, used_qubits
    from qonverge.circuits.error_response.profile_builder import profile
    from qonverge.circuits.qasm.formats import read_circuit

    parsed = read_circuit(program, parameters)
    circuit = parsed.circuit
    if circuit.num_qubits == 0:
        raise InvalidProgram("the program has no qubits", expected='a declaration such as "qubit[2] q;"')
    width = circuit.num_qubits
    if circuit.layout is not None:
        if layout is not None:
            raise InvalidProgram("the program names physical qubits and a layout is given too", expected="one of them")
        circuit, physical = compact(circuit)
        layout = Layout(physical, routing=False)
    elif layout is not None and len(layout.qubits) != circuit.num_qubits:
        raise InvalidProgram(
            f"the layout has {len(layout.qubits)} qubits and the circuit {circuit.num_qubits}",
            expected="one qubit of the device for each qubit of the circuit",
        )
    _check_parameters({parameter.name for parameter in circuit.parameters}, parameters)
    canonical = parse_observables(observables, width)
    if width > circuit.num_qubits and layout is not None:
        canonical = tuple(_restricted(observable, layout.qubits) for observable in canonical)
    if canonical:
        circuit = without_final_measurements(circuit)
    looked_at = {place for observable in canonical for label, _ in observable for place in places_of(label)}
    circuit = without_final_resets(circuit, [circuit.qubits[place] for place in sorted(looked_at)])
    analysis = analyse(circuit)
    if not canonical and not (analysis.measured_bits and analysis.num_clbits > hidden_bits(circuit)):
        raise InvalidProgram(
            "the program measures nothing",
            expected='a measurement such as "c = measure q;", or observables for expectation values',
        )
    data = serialise(circuit)
    # What may not be routed has its SWAPs made where they stand.
    known = profile(circuit, analysis, parameters, elide_swaps=layout is None or layout.routing)
    return CheckedCircuit(
        hashlib.sha256(data).hexdigest(),
        data,
        analysis,
        canonical,
        known,
        layout,
        used_qubits(circuit),
        tuple(sorted(pairs_of(circuit))),
        parsed.warnings,
        parsed.fixed,
    )


def _restricted(observable: Observable, qubits: Sequence[int]) -> Observable:
    """Return an observable on these qubits alone, where all others are in 0: there Z is 1, and X and Y are 0."""
    terms = []
    for label, weight in observable:
        letters = label[::-1]
        others = {letter for qubit, letter in enumerate(letters) if qubit not in qubits}
        kept = "".join(letters[qubit] for qubit in reversed(qubits))
        terms.append((kept, weight if others.isdisjoint("XY") else 0.0))
    return tuple(terms)


def _check_parameters(free: set[str], given: Mapping[str, float]) -> None:
    if missing := sorted(free - given.keys()):
        raise InvalidProgram(
            f"no value is given for the parameter{'s' * (len(missing) > 1)} {', '.join(missing)}",
            expected="one number for each in parameters",
        )
    if unknown := sorted(given.keys() - free):
        has = f"it has {', '.join(sorted(free))}" if free else "it has none"
        raise InvalidProgram(f"the program has no parameter {', '.join(unknown)}; {has}")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidProgram(f"the parameter {name} is {excerpt(value)}", expected="a finite number")
