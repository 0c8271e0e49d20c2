"""Whether what a translator read can be the answer to what was asked."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qonverge.backend.clouds.translators import Estimates, Outcomes

State: TypeAlias = "NDArray[np.complex128]"
"""Amplitudes, shape (2^n,), qubit 0 in the least significant bit of an index."""
# Of the sum of a state's probabilities, computed in double precision, or in single.
_ROUNDING = 1e-5


def checked(outcomes: Outcomes, shots: int, bits: int) -> Outcomes:
    """Return what a translator read, if it can be the answer to so many shots of so many bits.

    Raises:
        ValueError: it cannot.
    """
    total = len(outcomes.values) if outcomes.times is None else sum(outcomes.times)
    if total != shots or (outcomes.times is not None and len(outcomes.times) != len(outcomes.values)):
        raise ValueError(f"it has {total} shots and {shots} were asked for")
    if any(value < 0 or value >> bits for value in outcomes.values):
        raise ValueError(f"it has outcomes of more than the {bits} bits that the circuit has")
    return outcomes


def checked_estimates(estimates: Estimates, count: int) -> Estimates:
    """Return what a translator read, if it can be the answer to so many observables.

    Raises:
        ValueError: it cannot.
    """
    if not len(estimates.values) == len(estimates.errors) == count:
        raise ValueError(f"it has {len(estimates.values)} values and {count} observables were asked for")
    if not all(map(math.isfinite, (*estimates.values, *estimates.errors))):
        raise ValueError("it has values that are no numbers")
    return estimates


def checked_state(state: State, num_qubits: int) -> State:
    """Return what a translator read, if it can be a state of so many qubits.

    Raises:
        ValueError: it cannot.
    """
    if state.shape != (2**num_qubits,):
        raise ValueError(f"it has amplitudes of shape {state.shape}, and {2**num_qubits} were asked for")
    total = float(np.sum(np.abs(state) ** 2))
    if not abs(total - 1) <= _ROUNDING:
        raise ValueError(f"its amplitudes are of no state: the probabilities sum to {total}")
    return state
