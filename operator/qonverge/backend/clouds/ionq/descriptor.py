"""IonQ's cloud as the API, placement and the command line see it. Nothing heavy is imported here."""

from __future__ import annotations

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import DEVICE_ELSEWHERE

_PACKAGE = "qonverge.backend.clouds.ionq"

IONQ = Descriptor(
    name="IonQ",
    implementation=f"{_PACKAGE}.translator:IonqTranslator",
    cloud=f"{_PACKAGE}.cloud:IonqCloud",
    methods=("Automatic",),
    lacks=frozenset(("ControlFlow", "MidCircuit", "Exact")),
    imitates=False,
    takes_long=True,
    costs_money=True,
    figures=DEVICE_ELSEWHERE,
    options=f"{_PACKAGE}.options:IonqOptions",
)
