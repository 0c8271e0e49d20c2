"""The providers of Qonverge's own, as the API and placement see them. Their code is in the modules that they name."""

from __future__ import annotations

import re

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import Figures

_PACKAGE = "qonverge.backend.engines"
_WORD = re.compile(r"(?<!^)(?=[A-Z])")

AER_FIGURES = Figures(
    # Those of Aer 0.18 on one machine (``bench.runtimes``), rounded.
    task_seconds=2e-3,
    prepare_seconds=5e-5,
    circuit_seconds=2e-4,
    circuit_operation_seconds=5e-6,
    run_seconds=3e-6,
    run_operation_seconds=1e-6,
    amplitude_seconds=2e-9,
    # Below this width starting threads costs more than they gain.
    threaded_qubits=18,
    bond_seconds=1e-5,
    bond_cubed_seconds=1e-8,
    bond_shot_seconds=2e-7,
    tableau_seconds=1e-8,
    # Up to here the probabilities of all outcomes are fewer than what sampling would touch.
    drawn_bits=14,
    drawn_outcome_seconds=1e-6,
    shot_seconds=3e-6,
    term_seconds=5e-6,
    term_outcome_seconds=2e-8,
    term_number_seconds=1e-9,
    # Up to here a statevector is as fast as a stabilizer tableau for random Clifford circuits (measured: 8 qubits 3.1
    # and 3.4 ms, 12 qubits 7.0 and 6.3 ms, 16 qubits 60 and 10 ms).
    narrow_clifford_qubits=11,
    operation_bytes=1024,
    outcome_bytes=400,
)

AUTOMATIC = Descriptor(
    name="Automatic",
    implementation=f"{_PACKAGE}.auto:Automatic",
    methods=("Automatic", "Statevector", "DensityMatrix", "MatrixProductState", "Stabilizer"),
    devices=("CPU", "GPU"),
)

AER = Descriptor(
    name="Aer",
    implementation=f"{_PACKAGE}.aer:Aer",
    methods=AUTOMATIC.methods,
    pauli_methods=frozenset(("Stabilizer",)),
    devices=("CPU", "GPU"),
    candidate=True,
    figures=AER_FIGURES,
)

STIM = Descriptor(
    name="Stim",
    implementation=f"{_PACKAGE}.stim:Stim",
    methods=("Automatic", "Stabilizer"),
    automatic_method="Stabilizer",
    # Without noise it takes some conditions and loops, which only it can tell from others.
    lacks_with_noise=frozenset(("ControlFlow",)),
    candidate=True,
)

BRAKET_LOCAL = Descriptor(
    name="BraketLocal",
    implementation=f"{_PACKAGE}.braket:BraketLocal",
    methods=("Automatic", "Statevector", "DensityMatrix"),
    automatic_method="Statevector",
    automatic_method_with_noise="DensityMatrix",
    noiseless_methods=frozenset(("Statevector",)),
    lacks_with_noise=frozenset(("ControlFlow",)),
    # A step holds the state and buffers of its size (measured).
    state_copies={"Statevector": 3, "DensityMatrix": 4},
    # Braket's simulator and what Numba compiles take so much more than Aer does (measured: 120 MiB and about 80 MiB).
    more_bytes=128 * 1024**2,
)


def result_method(method: str) -> str:
    """Return a method as results name it, and Aer too: in lower case, with underscores."""
    return _WORD.sub("_", method).lower()
