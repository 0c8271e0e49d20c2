"""Without a cluster an impossible job is refused as it is with one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qonverge.api import HybridJob, QuantumBackend
from qonverge.backend.config import EngineConfig
from qonverge.circuits.checker.checker import Checker
from qonverge.local.placement import Placing
from tests.unit.controller.worlds import BELL, NOW

NOISE = {"rates": {"oneQubit": 0.01}}


@pytest.mark.parametrize(
    ("simulator", "changes", "says"),
    [
        ({"engine": "Stim"}, {"clifford": False}, "b has no gates beyond Clifford ones"),
        ({"engine": "Stim", "noise": NOISE}, {"control_flow": True}, "b has no conditions and loops"),
        ({"engine": "BraketLocal", "noise": NOISE}, {"control_flow": True}, "b has no conditions and loops"),
        ({"engine": "BraketLocal"}, {"num_qubits": 27}, "a statevector of 27 qubits needs 6 GiB"),
        ({"engine": "Stim"}, {"num_qubits": 200_000}, "a stabilizer tableau of 200000 qubits needs 18.6 GiB"),
        ({"engine": "Stim"}, {"num_qubits": 5000}, None),
        ({}, {"num_qubits": 5000}, None),
    ],
)
async def test_what_an_engine_would_refuse_is_not_sent_to_it(
    simulator: dict[str, Any], changes: dict[str, Any], says: str | None
) -> None:
    backend = QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": {"simulator": simulator}})
    program = {"circuit": {"openqasm": "x"}}
    job = HybridJob.model_validate({"metadata": {"name": "j"}, "spec": {"program": program}})
    placing = Placing({"default/b": backend}, lambda _: EngineConfig(memory_bytes=4 * 1024**3), Checker())
    checked = replace(BELL, analysis=replace(BELL.analysis, **changes))
    decision = (await placing.place(job, checked, {}, NOW)).decision
    if says is None:
        assert decision.backend is not None
    else:
        assert decision.impossible
        assert says in decision.reason
