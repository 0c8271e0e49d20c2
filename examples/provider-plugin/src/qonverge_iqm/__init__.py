"""A provider for IQM's quantum computers: what the operator and the command line read. Nothing heavy is imported."""

from __future__ import annotations

from qonverge.providers.descriptor import Descriptor

DESCRIPTOR = Descriptor(
    name="IQM",
    implementation="qonverge_iqm.translator:IqmTranslator",
    cloud="qonverge_iqm.cloud:IqmCloud",
    methods=("Automatic",),
    lacks=frozenset(("ControlFlow", "MidCircuit", "Exact")),
    imitates=False,
    takes_long=True,
    costs_money=True,
    options="qonverge_iqm.options:IqmOptions",
)
