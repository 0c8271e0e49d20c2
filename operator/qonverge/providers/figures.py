"""What an engine takes for a task, as far as that is assumed before its tasks were timed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Seconds and bytes of an engine on one usual core.

    Models learn a factor for each part of a task, see ``qonverge.forecast.features``: the order of magnitude counts.
    """

    task_seconds: float
    """Of each task."""
    prepare_seconds: float
    """To read and translate a circuit, for each operation."""
    circuit_seconds: float
    """To start the engine on a circuit."""
    circuit_operation_seconds: float
    """The same for each operation."""
    run_seconds: float
    """To apply a circuit's gates once, beyond the arithmetic."""
    run_operation_seconds: float
    """The same for each operation."""
    amplitude_seconds: float
    """To apply a gate, for each number of a full state."""
    threaded_qubits: int
    """From this width on full states are spread over threads."""
    bond_seconds: float
    """To apply a gate to a matrix product state, for each of its bond dimension."""
    bond_cubed_seconds: float
    """To apply a gate on two qubits, for each of the bond dimension's cube."""
    bond_shot_seconds: float
    """To draw one qubit of a shot from a matrix product state, for each of its bond dimension."""
    tableau_seconds: float
    """To apply a gate to a stabilizer tableau, or to measure a bit once, for each qubit."""
    drawn_bits: int
    """Up to so many measured bits outcomes are drawn from their probabilities."""
    drawn_outcome_seconds: float
    """To draw from probabilities, for each outcome that may come."""
    shot_seconds: float
    """To draw a shot otherwise."""
    term_seconds: float
    """For each Pauli term."""
    term_outcome_seconds: float
    """For each outcome that a term sums over."""
    term_number_seconds: float
    """For each number of the state that an exact term reads."""
    narrow_clifford_qubits: int
    """Up to this width a statevector is as fast as a tableau, and Automatic takes it for Clifford circuits."""
    operation_bytes: int
    """Of a circuit's operation."""
    outcome_bytes: int
    """Of an outcome that came."""


DEVICE_ELSEWHERE = Figures(
    # What a task takes besides its shots: it is sent, compiled and written to a queue (an estimate, which the models
    # correct). What shots and gates take is that of any device.
    task_seconds=1.0,
    prepare_seconds=2e-4,
    circuit_seconds=2.0,
    circuit_operation_seconds=0.0,
    run_seconds=0.0,
    run_operation_seconds=0.0,
    amplitude_seconds=0.0,
    threaded_qubits=0,
    bond_seconds=0.0,
    bond_cubed_seconds=0.0,
    bond_shot_seconds=0.0,
    tableau_seconds=0.0,
    drawn_bits=0,
    drawn_outcome_seconds=0.0,
    shot_seconds=0.0,
    term_seconds=5e-6,
    term_outcome_seconds=2e-8,
    term_number_seconds=0.0,
    narrow_clifford_qubits=0,
    operation_bytes=1024,
    outcome_bytes=400,
)
"""A device of a cloud."""
