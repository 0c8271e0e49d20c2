"""An engine for small circuits: what the operator and the command line read of it. Nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.options import Options


class DenseOptions(Options):
    """``spec.simulator.options``."""

    ignore_below: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Outcomes that are less probable than this never come."""


DESCRIPTOR = Descriptor(
    name="Dense",
    implementation="qonverge_dense.engine:Dense",
    methods=("Automatic", "Statevector"),
    automatic_method="Statevector",
    lacks=frozenset(("ControlFlow", "MidCircuit")),
    imitates=False,
    # Qiskit evolves a copy of the state, and reads probabilities from another one.
    state_copies={"Statevector": 3},
    options=DenseOptions,
)
