"""Primitives as IBM's users make them: a mode, options as a dict or as attributes, sessions and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from qonverge.client import Batch, EstimatorV2, QonvergeBackend, SamplerV2, Session
from qonverge.client.qiskit.options import EstimatorOptions, SamplerOptions
from qonverge.client.transport.embedded import Embedded


@pytest.fixture(scope="module")
def backend() -> QonvergeBackend:
    return QonvergeBackend(Embedded())


def coin() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    return circuit


def shots_of(sampler: SamplerV2) -> int:
    shots: int = sampler.run([coin()]).result()[0].data.meas.num_shots
    return shots


Made = Callable[[QonvergeBackend], SamplerV2]


@pytest.mark.parametrize(
    "made",
    [
        lambda backend: SamplerV2(backend, {"default_shots": 9}),
        lambda backend: SamplerV2(mode=backend, options={"default_shots": 9}),
        lambda backend: SamplerV2(backend.runner, SamplerOptions(default_shots=9)),
        lambda backend: SamplerV2(mode=Session(backend=backend), default_shots=9),
        lambda backend: SamplerV2(Batch(backend), default_shots=9),
    ],
)
def test_a_sampler_runs_where_and_as_it_is_told(backend: QonvergeBackend, made: Made) -> None:
    assert shots_of(made(backend)) == 9


def test_options_are_attributes(backend: QonvergeBackend) -> None:
    sampler, estimator = SamplerV2(backend), EstimatorV2(mode=backend)
    sampler.options.default_shots = 5
    assert shots_of(sampler) == 5
    sampler.options.update(default_shots=6, seed_simulator=3)
    assert (shots_of(sampler), sampler.seed) == (6, 3)
    sampler.options.default_shots = None
    assert shots_of(sampler) == 1024
    estimator.options.default_shots = 50
    asked: Any = [(QuantumCircuit(1), "X")]
    assert estimator.run(asked).result()[0].metadata["shots"] == 50
    # Who names a precision gets that.
    assert estimator.run(asked, precision=0.0).result()[0].metadata["shots"] is None
    estimator.options.default_shots, estimator.options.default_precision = None, 0.1
    assert estimator.run(asked).result()[0].metadata["target_precision"] == 0.1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"default_shot": 5},
            "no option default_shot, only default_shots, seed_simulator; did you mean default_shots?",
        ),
        ({"dynamical_decoupling": {"enable": True}}, "no option dynamical_decoupling"),
        ({"twirling": None}, "no option twirling"),
    ],
)
def test_options_that_there_are_not_are_refused_by_name(backend: QonvergeBackend, options: Any, says: str) -> None:
    with pytest.raises(AttributeError, match=says):
        SamplerV2(backend, options)
    with pytest.raises(AttributeError, match="has no option resilience_level"):
        EstimatorV2(backend).options.resilience_level = 1
    with pytest.raises(AttributeError, match="has no option dynamical_decoupling"):
        SamplerV2(backend).options.dynamical_decoupling.enable = True
    with pytest.raises(TypeError, match="options is of type EstimatorOptions"):
        SamplerV2(backend, EstimatorOptions())  # type: ignore[arg-type]


def test_a_session_is_where_its_primitives_run(backend: QonvergeBackend) -> None:
    with Session(backend=backend) as session:
        assert session.backend() == "qonverge"
        assert SamplerV2()._sender.runner is backend.runner
        with Batch(backend=QonvergeBackend(Embedded())) as batch:
            assert EstimatorV2()._sender.runner is batch.runner
            assert SamplerV2(session)._sender.runner is backend.runner
        assert SamplerV2()._sender.runner is backend.runner
    assert SamplerV2()._sender.runner is not backend.runner


@pytest.mark.parametrize("mode", [5, "ibm_torino", AerSimulator()])
def test_a_mode_that_is_none_is_refused(mode: Any) -> None:
    with pytest.raises(TypeError, match=f"mode is of type {type(mode).__name__}: give a QonvergeBackend"):
        SamplerV2(mode)
    with pytest.raises(TypeError, match="give a QonvergeBackend"):
        Session(backend=mode)
