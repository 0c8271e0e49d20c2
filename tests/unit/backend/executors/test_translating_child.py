"""What the process that translates circuits loads and keeps: it serves all who send circuits, for weeks."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from qiskit import QuantumCircuit, qpy
from stevedore import ExtensionManager

from qonverge.backend.clouds import translation
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.transpiler_plugins import load_only_imported_plugins
from qonverge.wire.messages import Pub, Task
from tests.clouds.running import provider


def test_of_transpiler_plugins_only_those_of_imported_packages_are_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = tmp_path / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[qiskit.transpiler.translation]\nplugin_other = other.x:Plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})

    def translations() -> set[str]:
        load_only_imported_plugins()
        return {point.name for point in ExtensionManager.ENTRY_POINT_CACHE["qiskit.transpiler.translation"]}

    assert {"translator", "synthesis"} <= translations()
    assert "plugin_other" not in translations()
    monkeypatch.setitem(sys.modules, "other", ModuleType("other"))
    assert "plugin_other" in translations()


def test_what_is_kept_of_circuits_is_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def task(angle: float, gates: int = 1) -> Task:
        circuit, buffer = QuantumCircuit(1, 1), io.BytesIO()
        for _ in range(gates):
            circuit.rx(angle, 0)
        circuit.measure(0, 0)
        qpy.dump(circuit, buffer)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        return Task("t", (Pub(digest, shots=5),), {digest: buffer.getvalue()})

    first, second, large = task(0.1), task(0.2), task(0.3, 50)
    (size,) = map(len, first.circuits.values())
    monkeypatch.setattr(translation, "_KEPT_BYTES", int(1.5 * size))
    with provider(tmp_path):
        translating = translation.Translation(EngineConfig(provider="Keyed", options={"endpoint": "x"}))
    prepared: list[QuantumCircuit] = []
    prepare = translating._translator.prepare

    def counted(circuit: QuantumCircuit, layout: Any = None) -> QuantumCircuit:
        prepared.append(circuit)
        return prepare(circuit, layout)

    monkeypatch.setattr(translating._translator, "prepare", counted)
    for given, times in ((first, 1), (first, 1), (second, 2), (first, 3), (large, 4), (first, 4)):
        (measurement,) = translating.plan(given, None)
        assert len(prepared) == times
    assert json.loads(translating.encode(large, [measurement]).program)[-1][0] == "measure"
