"""Runs OpenQASM 3 texts for the tests: outcomes of programs without chance, on the engine itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qiskit import qpy

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer import Aer
from qonverge.circuits.checker.checked_circuit import check
from qonverge.wire.messages import Pub

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def counts(
    text: str,
    parameters: Mapping[str, float] | None = None,
    shots: int = 20,
    engine: Callable[[EngineConfig], Any] = Aer,
) -> dict[str, int]:
    """Return how often each outcome came, for a text without its first two lines."""
    given = dict(parameters or {})
    checked = check(HEADER + text, given, [])
    circuit = qpy.load(io.BytesIO(checked.qpy))[0]
    provider = engine(EngineConfig())
    sets = {free.name: np.array([float(given[free.name])]) for free in circuit.parameters}
    pub = Pub(circuit=checked.digest, shots=shots, parameters=sets)
    return dict(provider.run(provider.prepare(circuit), pub, seed=7, memory=False).counts[0])


def outcome(
    text: str, parameters: Mapping[str, float] | None = None, engine: Callable[[EngineConfig], Any] = Aer
) -> str:
    """Return the only outcome of a program without chance."""
    found = counts(text, parameters, engine=engine)
    assert len(found) == 1, found
    return next(iter(found))
