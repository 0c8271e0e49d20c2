"""IBM Quantum as the API, placement and the command line see it. Nothing heavy is imported here."""

from __future__ import annotations

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import Figures

_PACKAGE = "qonverge.backend.clouds.ibm"

IBM = Descriptor(
    name="IBM",
    implementation=f"{_PACKAGE}.translator:IBMTranslator",
    cloud=f"{_PACKAGE}.cloud:IBMCloud",
    methods=("Automatic",),
    lacks=frozenset(("Exact",)),
    imitates=False,
    takes_long=True,
    costs_money=True,
    figures=Figures(
        # What a job takes besides its shots: it is compiled and loaded (an estimate, which the models correct). What
        # shots and gates take is that of any device.
        task_seconds=1.0,
        prepare_seconds=2e-4,
        circuit_seconds=3.0,
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
    ),
    options=f"{_PACKAGE}.options:IBMOptions",
)
