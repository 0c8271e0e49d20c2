"""Devices to which there is no access are imitated where their figures are published, and only then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qonverge.api import HybridJob, QuantumBackend
from qonverge.backend.options import EngineOptions
from qonverge.circuits.checker.checker import Checker
from qonverge.devices import snapshots
from qonverge.local.placement import Placing
from qonverge.local.virtual import virtual_device, without_access
from tests.unit.controller.worlds import BELL, NOW

WILLOW = {"project": "p", "processor": "willow_pink"}
DATED = "willow_pink of 2024-08-16, published in cirq-google"


def backend(**spec: Any) -> QuantumBackend:
    return QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": spec})


def test_a_processor_is_imitated_by_its_published_figures() -> None:
    given = backend(
        google={**WILLOW, "credentials": {"name": "google"}},
        capacity={"concurrency": 200, "maxShots": 5000},
        pricing={"perSecond": "0.50", "currency": "USD"},
        location={"tier": "Cloud"},
        access={"namespaces": {"from": "All"}},
    )
    found = virtual_device(given, {})
    assert found is not None
    spec = found.backend.spec
    assert spec.source.noise is not None
    assert spec.source.noise.known() == snapshots.load("willow_pink")
    assert found.calibration.startswith(DATED)
    # It costs nothing, and has processes of this machine in the place of jobs at the vendor.
    assert (spec.pricing, spec.capacity.concurrency, spec.capacity.max_shots) == (None, None, 5000)
    assert (spec.location, spec.access) == (given.spec.location, given.spec.access)
    assert EngineOptions.of(spec).noise == "willow_pink"


@pytest.mark.parametrize(
    ("spec", "environment"),
    [
        ({"google": WILLOW}, {"GOOGLE_APPLICATION_CREDENTIALS": "key.json"}),
        ({"google": {**WILLOW, "endpoint": "http://localhost:4519"}}, {}),
        ({"google": {**WILLOW, "processor": "unheard_of"}}, {}),
        # Of which there is a snapshot too, and no virtual device is meant.
        ({"ibm": {"backend": "ibm_fez"}}, {}),
        ({"ionq": {"backend": "simulator"}}, {}),
        ({"plugin": {"provider": "NotInstalled"}}, {}),
        ({"simulator": {}}, {}),
    ],
)
def test_others_are_used_as_they_are(spec: dict[str, Any], environment: dict[str, str]) -> None:
    assert virtual_device(backend(**spec), environment) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, f"b is a virtual device, with the figures of {DATED}"),
        ({"mid_circuit": True}, "b has no measurements before the end"),
    ],
)
async def test_what_the_processor_would_refuse_is_not_sent_to_the_virtual_one(
    changes: dict[str, Any], says: str
) -> None:
    found = virtual_device(backend(google=WILLOW), {})
    assert found is not None
    options = EngineOptions.of(found.backend.spec)
    config = options.config(cpus=1, memory_bytes=4 * 1024**3, noise=snapshots.load("willow_pink"))
    program = {"circuit": {"openqasm": "x"}}
    job = HybridJob.model_validate({"metadata": {"name": "j"}, "spec": {"program": program, "shots": 10}})
    checked = replace(BELL, analysis=replace(BELL.analysis, **changes))
    checker = Checker()
    try:
        placing = Placing({"default/b": found.backend}, lambda _: config, checker, virtual={"default/b": found})
        decision = (await placing.place(job, checked, {}, NOW)).decision
    finally:
        await checker.close()
    assert (decision.backend is None) == bool(changes)
    assert says in decision.reason


def test_only_a_vendor_s_device_needs_an_account() -> None:
    assert "credentials are read from the environment" in without_access(
        backend(ionq={"backend": "simulator"}).spec.source
    )
    others: tuple[dict[str, Any], ...] = (
        {"simulator": {}},
        {"remote": {"url": "http://localhost:1"}},
        {"plugin": {"provider": "NotInstalled"}},
    )
    for spec in others:
        assert without_access(backend(**spec).spec.source) == ""
