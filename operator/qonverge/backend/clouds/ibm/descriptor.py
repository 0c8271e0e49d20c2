"""IBM Quantum as the API, placement and the command line see it. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import replace

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import DEVICE_ELSEWHERE

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
    # It is compiled and loaded there, an estimate like the others.
    figures=replace(DEVICE_ELSEWHERE, circuit_seconds=3.0),
    options=f"{_PACKAGE}.options:IBMOptions",
)
