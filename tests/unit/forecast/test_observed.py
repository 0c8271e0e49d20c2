"""The fidelity that counts show is the one that they were drawn with, as nearly as it says itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fidelity.circuits import cases
from bench.fidelity.simulate import outcomes
from qonverge.circuits.error_response.ideal import Floats
from qonverge.circuits.mapping.mapped import map_to
from qonverge.devices import snapshots
from qonverge.forecast.observed import Observed, observed

SHAPES: dict[str, Floats] = {
    "peak": np.eye(32)[5],
    "two peaks": (np.eye(64)[0] + np.eye(64)[63]) / 2,
    "even": np.full(64, 1 / 64),
    "random": np.random.default_rng(5).exponential(size=128),
    "geometric": np.power(0.7, np.arange(64)),
}


def depolarised(p: Floats, share: float) -> Floats:
    return (1 - share) * p + share / len(p)


def relaxed(p: Floats, share: float) -> Floats:
    for bit in range(len(p).bit_length() - 1):
        view = p.reshape(-1, 2, 1 << bit).copy()
        view[:, 0] += share * view[:, 1]
        view[:, 1] *= 1 - share
        p = view.reshape(-1)
    return p


def seen(p: Floats, q: Floats, shots: int, times: int) -> list[Observed]:
    draws = np.random.default_rng(7).multinomial(shots, q, size=times).astype(float)
    kept = p > 1e-6
    found = [observed(p[kept], draw[kept], shots, len(p).bit_length() - 1) for draw in draws]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shots", [2000, 20_000])
@pytest.mark.parametrize("share", [0.02, 0.2])
@pytest.mark.parametrize("noise", [depolarised, relaxed])
def test_the_estimate_is_without_bias_and_its_error_is_what_it_says(
    shape: str, shots: int, share: float, noise: object
) -> None:
    p = SHAPES[shape] / SHAPES[shape].sum()
    q = noise(p, share)  # type: ignore[operator]
    true = float(np.sqrt(p * q).sum() ** 2)
    found = seen(p, q, shots, 150)
    assert len(found) == 150
    scores = np.array([(one.fidelity - true) / one.error for one in found])
    assert abs(scores.mean()) < 0.6, "most of it is the mean of 150 draws"
    assert 0.3 < scores.std() < 1.3 or scores.std() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("device", ["lima", "hanoi", "torino"])
def test_it_holds_for_the_noise_of_devices(device: str) -> None:
    calibration = snapshots.load(device)
    circuits = {case.name: case.circuit for case in cases()}
    scores = []
    for name in ("ghz-5", "w-state-3", "phase-estimation-4", "quantum-volume-3", "vqe-linear-4"):
        circuit = circuits[name].copy()
        if not circuit.num_clbits:
            circuit.measure_all()
        p, q = outcomes(map_to(circuit, calibration), calibration)
        q = q / q.sum()
        true = float(np.sqrt(p * q).sum() ** 2)
        found = seen(p, q, 4000, 20)
        assert len(found) == 20
        scores += [(one.fidelity - true) / one.error for one in found]
        assert np.mean([one.fidelity for one in found]) == pytest.approx(true, abs=0.006)
    assert abs(np.mean(scores)) < 0.35
    assert np.mean(np.abs(scores) < 2) > 0.9


def test_the_plug_in_would_be_far_off() -> None:
    p = SHAPES["even"]
    draw = np.random.default_rng(1).multinomial(1000, p).astype(float)
    found = observed(p, draw, 1000, 6)
    assert found is not None
    plugged = float(np.sqrt(p * draw / 1000).sum() ** 2)
    assert 1 - plugged > 0.01
    assert abs(1 - found.fidelity) < 2.5 * found.error < 0.02


def test_few_shots_over_many_outcomes_say_nothing() -> None:
    p = np.full(512, 1 / 512)
    draw = np.random.default_rng(2).multinomial(500, p).astype(float)
    assert observed(p, draw, 500, 9) is None
    assert observed(p, np.zeros(512), 0, 9) is None
    assert observed(p, draw, 400, 9) is None, "more counts than shots are no counts"


@settings(deadline=None)
@given(st.integers(30, 5000), st.integers(0, 5000))
def test_of_a_single_outcome_it_is_the_share(shots: int, hits: int) -> None:
    hits = min(hits, shots)
    found = observed(np.ones(1), np.array([float(hits)]), shots, 4)
    assert found is not None
    share = hits / shots
    assert found.fidelity == pytest.approx(share, abs=2 / shots)
    assert found.error == pytest.approx(math.sqrt(share * (1 - share) / shots), abs=3 / shots**0.75)


@given(st.integers(200, 20_000))
def test_more_shots_say_more(shots: int) -> None:
    p = SHAPES["geometric"] / SHAPES["geometric"].sum()
    q = depolarised(p, 0.1)
    few, many = (observed(p[:32], n * q[:32], n, 6) for n in (shots, 4 * shots))
    assert few is not None
    assert many is not None
    assert many.error < few.error
