"""Bits that are no result stay out of outcomes, whatever engine runs the circuit."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit import qpy

from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.aer import Aer
from qonverge.backend.engines.braket import BraketLocal
from qonverge.backend.engines.stim import Stim
from qonverge.circuits import InvalidProgram
from qonverge.circuits.analysis.hidden import hidden_bits
from qonverge.circuits.checker.checked_circuit import check
from qonverge.wire.messages import Pub
from tests.unit.circuits.qasm.qasm3_outcomes import HEADER, outcome

ENGINES = [Aer, Stim, BraketLocal]
# A bit of a block decides; the registers have a space between them.
TEXT = (
    "qubit[3] q; bit[2] c; bit[1] d; x q[0]; { bit k; k = measure q[0]; if (k) x q[2]; }"
    "c = measure q[1:2]; d[0] = measure q[0];"
)


@pytest.mark.parametrize("engine", ENGINES)
def test_hidden_bits_are_in_no_outcome(engine: Callable[[EngineConfig], Any]) -> None:
    assert outcome(TEXT, engine=engine) == "1 10"


@pytest.mark.parametrize("engine", ENGINES)
def test_outcomes_that_differ_in_hidden_bits_only_are_one(engine: Callable[[EngineConfig], Any]) -> None:
    assert outcome("qubit[2] q; bit c; h q[1]; measure q[1]; x q[0]; c = measure q[0];", engine=engine) == "1"


@pytest.mark.parametrize("engine", ENGINES)
def test_hidden_bits_are_in_no_shot(engine: Callable[[EngineConfig], Any]) -> None:
    checked = check(HEADER + TEXT, {}, [])
    circuit = qpy.load(io.BytesIO(checked.qpy))[0]
    assert hidden_bits(circuit) == 1
    provider = engine(EngineConfig())
    result = provider.run(provider.prepare(circuit), Pub(circuit="x", shots=3), seed=1, memory=True)
    assert sorted(result.registers) == ["c", "d"]
    width, shots = result.registers["c"]
    assert width == 2
    assert np.array_equal(shots.ravel(), [2, 2, 2])


def test_hidden_bits_alone_are_no_result() -> None:
    with pytest.raises(InvalidProgram, match="the program measures nothing"):
        check(f"{HEADER}qubit q; measure q;", {}, [])


def test_hidden_bits_are_used_again() -> None:
    body = "for int i in [0:40] { bit k; k = measure q[i % 2]; if (k) x q[1]; }"
    checked = check(f"{HEADER}qubit[2] q; bit c; {body} c = measure q[0];", {}, [])
    assert hidden_bits(qpy.load(io.BytesIO(checked.qpy))[0]) == 1
