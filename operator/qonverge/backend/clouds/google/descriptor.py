"""Google's Quantum Engine as the API, placement and the command line see it. Nothing heavy is imported here."""

from __future__ import annotations

from qonverge.providers.descriptor import Descriptor, Virtual
from qonverge.providers.figures import DEVICE_ELSEWHERE

_PACKAGE = "qonverge.backend.clouds.google"

GOOGLE = Descriptor(
    name="Google",
    implementation=f"{_PACKAGE}.translator:GoogleTranslator",
    cloud=f"{_PACKAGE}.cloud:GoogleCloud",
    methods=("Automatic",),
    lacks=frozenset(("ControlFlow", "MidCircuit", "Exact")),
    imitates=False,
    takes_long=True,
    costs_money=True,
    virtual=Virtual(option="processor", access="GOOGLE_APPLICATION_CREDENTIALS"),
    figures=DEVICE_ELSEWHERE,
    options=f"{_PACKAGE}.options:GoogleOptions",
)
