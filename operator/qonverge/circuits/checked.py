"""A program, checked and ready to travel."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qonverge.circuits.analysis import Analysis
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.hidden import hidden_bits
from qonverge.circuits.observables import Observable, parse_observables, places_of
from qonverge.circuits.profile import CircuitProfile
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
    warnings: tuple[str, ...] = ()
    """Of what is valid and may mislead, with line and column."""
    fixed: tuple[str, ...] = ()
    """Parameters whose given values the circuit depends on: with others it would be another circuit."""


def check(program: str | bytes, parameters: Mapping[str, float], observables: Sequence[object]) -> CheckedCircuit:
    """Read and check a program with the values and observables that it is to run with.

    With observables, measurements at the end are taken off: the expectation values are about the state before them.
    Resets at the end of qubits that nobody looks at afterwards are taken off too.

    Raises:
        InvalidProgram: when the program, a parameter or an observable is wrong.
    """
    from qonverge.circuits.analysis import analyse
    from qonverge.circuits.canonical import serialise
    from qonverge.circuits.final_operations import without_final_measurements, without_final_resets
    from qonverge.circuits.profiling import profile
    from qonverge.circuits.program import read_circuit

    parsed = read_circuit(program, parameters)
    circuit = parsed.circuit
    if circuit.num_qubits == 0:
        raise InvalidProgram("the program has no qubits", expected='a declaration such as "qubit[2] q;"')
    _check_parameters({parameter.name for parameter in circuit.parameters}, parameters)
    canonical = parse_observables(observables, circuit.num_qubits)
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
    known = profile(circuit, analysis, parameters)
    return CheckedCircuit(
        hashlib.sha256(data).hexdigest(), data, analysis, canonical, known, parsed.warnings, parsed.fixed
    )


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
