"""The providers of Qonverge's own, as the API and placement see them. Their code is in the modules that they name."""

from __future__ import annotations

from qonverge.providers.descriptor import Descriptor

_PACKAGE = "qonverge.backend.engines"

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
