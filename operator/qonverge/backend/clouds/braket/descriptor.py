"""Amazon Braket as the API, placement and the command line see it. Nothing heavy is imported here."""

from __future__ import annotations

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import DEVICE_ELSEWHERE

_PACKAGE = "qonverge.backend.clouds.braket"

BRAKET = Descriptor(
    name="Braket",
    implementation=f"{_PACKAGE}.translator:BraketTranslator",
    cloud=f"{_PACKAGE}.cloud:BraketCloud",
    methods=("Automatic",),
    # Some devices take measurements on the way as an experimental capability; no program is sent that needs one.
    lacks=frozenset(("ControlFlow", "MidCircuit")),
    imitates=False,
    takes_long=True,
    costs_money=True,
    figures=DEVICE_ELSEWHERE,
    options=f"{_PACKAGE}.options:BraketOptions",
)
