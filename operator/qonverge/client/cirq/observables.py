"""Cirq's observables as they travel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cirq

from qonverge.wire.messages import Observable


def observable(given: Any, qubits: Mapping[cirq.Qid, int], measured: frozenset[int]) -> Observable:
    """Return an observable as a sum of Pauli terms.

    Args:
        given: what ``cirq.PauliSum.wrap`` takes.
        qubits: index of each qubit.
        measured: qubits that a measurement ends; on these X and Y average to 0 over the outcomes.

    Raises:
        ValueError: it is not Hermitian, or acts on a qubit that the circuit lacks.
    """
    terms = []
    for term in cirq.PauliSum.wrap(given):
        coefficient = complex(term.coefficient)
        # Products of Pauli operators leave rounding errors.
        if abs(coefficient.imag) > 1e-9 * max(1.0, abs(coefficient)):
            raise ValueError(
                f"the observable {given} has the complex coefficient {coefficient}, so that its value is not "
                "real: take the real and the imaginary part as two observables"
            )
        letters = ["I"] * len(qubits)
        for qubit, pauli in term.items():
            if qubit not in qubits:
                raise ValueError(
                    f"the observable {given} acts on {qubit!r}, which the circuit lacks: name it in qubit_order"
                )
            letters[qubits[qubit]] = str(pauli)
        if not any(letters[index] in "XY" for index in measured):
            terms.append(("".join(reversed(letters)), coefficient.real))
    return tuple(terms) or (("I" * len(qubits), 0.0),)
