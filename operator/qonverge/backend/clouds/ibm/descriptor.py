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
    # A job has all parameter sets, and takes about 2 s besides its shots ("Workload usage" of IBM's guides, read on
    # 2026-11-30). What a set takes is an estimate.
    figures=replace(DEVICE_ELSEWHERE, task_seconds=2.0, circuit_seconds=0.01),
    options=f"{_PACKAGE}.options:IBMOptions",
)
