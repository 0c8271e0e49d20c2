"""Run times that are learned: on a record of real tasks, on made ones whose truth is known, and laws."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from bench.forecasts import Judged, replay, slowed, summary
from bench.runtimes import Timed, read, record
from qonverge.backend.engines.descriptors import AER_FIGURES
from qonverge.circuits.analysis.analysis import analyse
from qonverge.forecast.features import Work, peak_bytes, seconds, table
from qonverge.forecast.intervals import Interval
from qonverge.forecast.learning_models import MemoryModel, PartsModel, RunTimeModel

RECORD = Path(__file__).parent / "runtimes.csv"
METHODS = ["Statevector", "DensityMatrix", "MatrixProductState", "Stabilizer", "Device"]
WORKS = st.builds(
    Work,
    num_qubits=st.integers(1, 5000),
    size=st.integers(0, 10**6),
    two_qubit_gates=st.integers(0, 10**6),
    depth=st.integers(0, 10**6),
    bond_bits=st.integers(0, 2500),
    measured_bits=st.integers(0, 5000),
    shots=st.integers(0, 10**8),
    sets=st.integers(1, 10**4),
    terms=st.integers(0, 10**4),
    bases=st.integers(1, 100),
    repeated=st.booleans(),
)


@pytest.fixture(scope="module")
def tasks() -> list[Timed]:
    return read(RECORD)


def coverage(judged: list[Judged]) -> float:
    return summary(judged)["coverage"]


def test_intervals_hold_four_of_five_real_run_times(tasks: list[Timed]) -> None:
    judged, _ = replay(tasks, slowed(len(tasks), 1.0))
    assert len(judged) >= 700
    assert 0.75 <= coverage(judged) <= 0.85
    for method in ("Statevector", "MatrixProductState", "Stabilizer"):
        of_method = [each for each in judged if each.task.method == method]
        assert len(of_method) > 50
        assert 0.7 <= coverage(of_method) <= 0.9


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_and_again_after_the_machine_became_slower_or_faster(tasks: list[Timed], factor: float) -> None:
    half = len(tasks) // 2
    judged, _ = replay(tasks, slowed(len(tasks), factor))
    assert 0.75 <= coverage(judged[:half]) <= 0.85
    assert 0.75 <= coverage(judged[half:]) <= 0.85, "the first tasks after the change count too"
    assert summary(judged[half:])["median_relative_error"] < 0.45
    assert summary(judged[half : half + 60])["median_relative_error"] < 0.75, "the change is seen in a few tasks"


def test_what_is_learned_is_better_than_what_was_believed(tasks: list[Timed]) -> None:
    judged, _ = replay(tasks, slowed(len(tasks), 1.0))
    cold = [Judged(task, RunTimeModel.cold(task.method).predict_task(task.work), task.seconds) for task in tasks]
    learned = summary(judged[200:])
    assert learned["median_relative_error"] < 0.7 * summary(cold[200:])["median_relative_error"]
    assert learned["median_high_by_low"] < 0.6 * summary(cold[200:])["median_high_by_low"]
    assert coverage(cold) > 0.75, "nobody is promised too much before anything was seen"


def test_memory_from_where_it_shows_is_forecast(tasks: list[Timed]) -> None:
    judged, _ = replay(tasks, lambda _, task: float(task.peak_bytes), MemoryModel.cold)
    seen = [each for each in judged if each.outcome > 48 * 1024**2]
    assert len(seen) > 10
    assert summary(seen)["median_relative_error"] < 0.15


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from Linux' /proc")
def test_tasks_are_timed_on_the_engine_and_written(tmp_path: Path) -> None:
    record(tmp_path / "few.csv", 6, seed=2)
    few = read(tmp_path / "few.csv")
    assert len(few) == 6
    assert all(0 < task.seconds < 600 and task.work.num_qubits >= 2 for task in few)
    judged, models = replay(few, slowed(6, 1.0))
    assert all(each.forecast.low < each.forecast.mid < each.forecast.high for each in judged)
    assert sum(model.state.seen for model in models.values()) == 6


def made(count: int, seed: int) -> list[Work]:
    random = np.random.default_rng(seed)
    works = []
    for _ in range(count):
        qubits, size = int(random.integers(2, 24)), int(2 ** random.uniform(3, 10))
        shots, sets = int(10 ** random.uniform(1, 5)), int(2 ** random.uniform(0, 6))
        works.append(Work(qubits, size, size // 3, size // qubits + 1, 4, qubits, shots, sets))
    return works


def test_the_factors_of_a_known_machine_are_found() -> None:
    truth = np.log([3.0, 0.5, 2.0, 2.0, 0.2, 0.4, 4.0, 1.0])
    random, model = np.random.default_rng(5), RunTimeModel.cold("Statevector")
    for work in made(600, 1):
        real = float((seconds("Statevector", table([work]), AER_FIGURES) * np.exp(truth)).sum())
        model = model.observe((work,), real * math.exp(random.normal(0, 0.05)), 0.0)
    for work in made(50, 2):
        real = float((seconds("Statevector", table([work]), AER_FIGURES) * np.exp(truth)).sum())
        assert model.predict_task(work).mid == pytest.approx(real, rel=0.2)


def test_heavy_tails_and_noise_that_grows_keep_the_coverage() -> None:
    random, model, held = np.random.default_rng(6), RunTimeModel.cold("Statevector"), []
    for place, work in enumerate(made(2000, 3)):
        noise = 0.1 * random.standard_t(3) * (3 if place >= 1000 else 1)
        real = float(seconds("Statevector", table([work]), AER_FIGURES).sum()) * math.exp(noise)
        forecast = model.predict_task(work)
        held.append(forecast.low <= real <= forecast.high)
        model = model.observe((work,), real, 0.0)
    assert 0.75 <= np.mean(held[:1000]) <= 0.85
    assert 0.75 <= np.mean(held[1000:]) <= 0.85


def test_a_change_is_learned_from_a_few_tasks_and_one_outlier_is_none() -> None:
    model, works = RunTimeModel.cold("Statevector"), made(330, 4)

    def real(work: Work, slow: float) -> float:
        return slow * float(seconds("Statevector", table([work]), AER_FIGURES).sum())

    for work in works[:300]:
        model = model.observe((work,), real(work, 1.0), 0.0)
    settled = model
    once = model.observe((works[300],), real(works[300], 100.0), 0.0)
    assert once.predict_task(works[301]).mid == pytest.approx(settled.predict_task(works[301]).mid, rel=0.25)
    for work in works[300:312]:
        model = model.observe((work,), real(work, 3.0), 0.0)
    for work in works[312:]:
        assert model.predict_task(work).mid == pytest.approx(real(work, 3.0), rel=0.25)


def test_a_machine_that_becomes_slower_and_faster_all_day_is_followed() -> None:
    random, model, errors = np.random.default_rng(8), RunTimeModel.cold("Statevector"), []
    for place, work in enumerate(made(1200, 5)):
        slow = 2.0 ** math.sin(2 * math.pi * place / 300)
        real = slow * float(seconds("Statevector", table([work]), AER_FIGURES).sum()) * math.exp(0.1 * random.normal())
        errors.append(abs(math.log(model.predict_task(work).mid / real)))
        model = model.observe((work,), real, 0.0)
    assert np.median(errors[300:]) < 0.12
    assert model.state.noise < 0.2


def test_what_was_never_seen_at_work_stays_uncertain() -> None:
    model, small = RunTimeModel.cold("Statevector"), Work(2, 10, 3, 4, 1, 2, 100)
    for _ in range(100):
        model = model.observe((small,), 0.002, 0.0)
    wide = Work(28, 500, 200, 60, 14, 28, 100)

    def width(interval: Interval) -> float:
        return math.log(interval.high / interval.low)

    assert width(model.predict_task(wide)) > 2 * width(model.predict_task(small))


@settings(deadline=None)
@given(st.lists(WORKS, min_size=1, max_size=5), st.sampled_from(METHODS), st.sampled_from([RunTimeModel, MemoryModel]))
def test_a_table_of_tasks_is_forecast_as_each_by_itself(works: list[Work], method: str, kind: type[PartsModel]) -> None:
    model = kind.cold(method)
    together = model.predict(model.parts(table(works)))
    assert len(together) == len(works)
    for index, work in enumerate(works):
        alone = model.predict_task(work)
        assert together[index] == alone
        assert 0 <= alone.low <= alone.mid <= alone.high < math.inf


@settings(deadline=None)
@given(
    st.lists(st.tuples(WORKS, st.floats(1e-9, 1e9)), max_size=30),
    st.sampled_from(METHODS),
)
def test_whatever_is_observed_forecasts_stay_numbers(outcomes: list[tuple[Work, float]], method: str) -> None:
    model = RunTimeModel.cold(method)
    for work, outcome in outcomes:
        model = model.observe((work,), outcome, 1.0)
    assert np.linalg.eigvalsh(model.state.covariance)[0] > -1e-9
    forecast = model.predict_task(Work(5, 20, 5, 8, 2, 5, 1000))
    assert 0 < forecast.low <= forecast.mid <= forecast.high < math.inf
    assert model.state.seen == len(outcomes)


@pytest.mark.parametrize("outcome", [0.0, -1.0, math.nan, math.inf])
def test_no_run_time_teaches_nothing(outcome: float) -> None:
    model = RunTimeModel.cold("Statevector")
    assert model.observe((Work(2, 3, 1, 2, 1, 2, 10),), outcome, 0.0) is model
    assert model.observe((), 1.0, 0.0) is model


def test_a_task_of_two_pubs_takes_both_times_and_the_larger_memory() -> None:
    small, large = Work(4, 20, 5, 8, 2, 4, 1000), Work(26, 400, 100, 50, 13, 26, 1000)
    times, memory = RunTimeModel.cold("Statevector"), MemoryModel.cold("Statevector")
    assert times.predict_task(small, large).mid == pytest.approx(
        times.predict_task(small).mid + times.predict_task(large).mid
    )
    assert memory.predict_task(small, large) == memory.predict_task(large)
    assert memory.predict_task(large).mid == pytest.approx(2**30, rel=0.05)


def test_the_tails_are_judged_by_what_was_promised() -> None:
    model, work = RunTimeModel.cold("Statevector"), Work(4, 20, 5, 8, 2, 4, 1000)
    now = model.predict_task(work)
    kept = model.observe((work,), now.mid, 0.0, promised=now)
    broken = model.observe((work,), now.mid, 0.0, promised=Interval(now.mid / 9, now.mid / 8, now.mid / 7))
    assert broken.state.tails.high_level < model.state.tails.high_level < kept.state.tails.high_level
    assert broken.state.factors == pytest.approx(kept.state.factors), "what the model believes is of now"


def test_the_work_of_a_circuit() -> None:
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure(0, 0)
    plain = Work.of(analyse(circuit), 100)
    assert (plain.num_qubits, plain.size, plain.two_qubit_gates, plain.measured_bits) == (3, 3, 1, 1)
    assert not plain.repeated
    assert Work.of(analyse(circuit), 100, drawn_noise=True).repeated
    circuit.x(0)
    assert Work.of(analyse(circuit), 100).repeated, "what comes after a measurement is run for each shot"
    assert not Work.of(analyse(circuit), 0, terms=4).repeated
    assert Work.of(analyse(circuit), 10, terms=4).measured_bits == 3


@pytest.mark.parametrize("method", METHODS)
def test_more_work_never_takes_less(method: str) -> None:
    base = Work(10, 100, 30, 20, 4, 10, 1000, 2, 0, 1, True)
    more = [
        Work(12, 100, 30, 20, 4, 12, 1000, 2, 0, 1, True),
        Work(10, 200, 60, 40, 4, 10, 1000, 2, 0, 1, True),
        Work(10, 100, 30, 20, 4, 10, 5000, 2, 0, 1, True),
        Work(10, 100, 30, 20, 4, 10, 1000, 4, 0, 1, True),
    ]
    for what in (seconds, peak_bytes):
        first, *others = what(method, table([base, *more]), AER_FIGURES).sum(axis=1)
        assert all(other >= first for other in others)
    assert seconds(method, table([base]), AER_FIGURES).sum() < seconds(method, table([more[2]]), AER_FIGURES).sum()


def test_exact_values_of_a_wide_chain_need_no_full_state() -> None:
    chain = Work(60, 300, 118, 64, 2, 60, 0, 1, 119)
    assert RunTimeModel.cold("MatrixProductState").predict_task(chain).high < 60
    assert RunTimeModel.cold("Statevector").predict_task(chain).low > 1e6
