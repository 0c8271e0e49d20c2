"""The wait in a queue: beside queues that are simulated task by task."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.forecast.intervals import Z_TAIL, Interval
from qonverge.forecast.queue import Queue, QueueModel, Running, expected_wait

DEVIATION = 0.4
HOUR = 3600.0


def around(mid: float, deviation: float = DEVIATION) -> Interval:
    return Interval(mid * math.exp(-Z_TAIL * deviation), mid, mid * math.exp(Z_TAIL * deviation))


def test_a_free_worker_means_no_wait() -> None:
    assert expected_wait(Queue(2, (Running(around(5.0), 1.0),))) == Interval(0.0, 0.0, 0.0)
    assert expected_wait(Queue(1, ready_in=7.0)) == Interval(7.0, 7.0, 7.0), "but for the pod's start"


def test_no_workers_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="0 workers never moves: ask when at least one is to start"):
        expected_wait(Queue(0))


def test_known_run_times_are_added_up() -> None:
    one, two, three = (Interval(t, t, t) for t in (1.0, 2.0, 3.0))
    assert expected_wait(Queue(1, (Running(three, 1.0),), (one, two))).mid == pytest.approx(5.0)
    assert expected_wait(Queue(2, (Running(three, 0.0), Running(one, 0.0)), (two, two))).mid == pytest.approx(3.0)
    assert expected_wait(Queue(2, (), (one, two, three), ready_in=4.0)).low == pytest.approx(6.0)
    assert expected_wait(Queue(1, (Running(one, 0.0), Running(three, 0.0)))).mid == pytest.approx(3.0)


def test_a_running_task_is_forecast_given_that_it_still_runs() -> None:
    def left(elapsed: float) -> Interval:
        return expected_wait(Queue(1, (Running(around(10.0), elapsed),)))

    assert left(0.0).mid == pytest.approx(10.0, rel=0.02)
    random = np.random.default_rng(1)
    times = 10.0 * np.exp(DEVIATION * random.normal(size=400_000))
    for elapsed in (5.0, 10.0, 20.0):
        real = np.quantile(times[times > elapsed] - elapsed, (0.1, 0.5, 0.9))
        assert [left(elapsed).low, left(elapsed).mid, left(elapsed).high] == pytest.approx(real.tolist(), rel=0.15)
    assert 0 < left(100.0).mid < 100.0, "one that is far beyond its forecast ends some time"
    assert math.isfinite(left(1e9).high)


def test_a_long_queue_is_as_if_laid_out_task_by_task() -> None:
    random = np.random.default_rng(2)
    mids = np.exp(random.normal(size=300))
    ahead = tuple(around(float(mid)) for mid in mids)
    got = expected_wait(Queue(4, (Running(around(30.0), 0.0),), ahead))
    waits = []
    for _ in range(300):
        free = [30.0 * math.exp(DEVIATION * random.normal()), 0.0, 0.0, 0.0]
        heapq.heapify(free)
        for time in mids * np.exp(DEVIATION * random.normal(size=300)):
            heapq.heapreplace(free, free[0] + float(time))
        waits.append(free[0])
    # The forecast counts on errors that tasks have in common, so it is wider.
    assert got.mid == pytest.approx(float(np.median(waits)), rel=0.03)
    assert got.low < np.quantile(waits, 0.1)
    assert got.high > np.quantile(waits, 0.9)


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), max_size=10),
    st.lists(st.floats(0, 1e5), max_size=100),
    st.floats(0, 1e4),
)
def test_laws_of_waits(workers: int, running: list[tuple[float, float]], waiting: list[float], ready: float) -> None:
    queue = Queue(
        workers, tuple(Running(around(mid), e) for mid, e in running), tuple(around(mid) for mid in waiting), ready
    )
    wait = expected_wait(queue)
    assert wait == expected_wait(queue), "the same queue has the same forecast"
    assert ready <= wait.low <= wait.mid <= wait.high < math.inf


@dataclass(frozen=True, slots=True)
class Waited:
    """A task of a simulated queue."""

    expected: Interval
    promised: Interval
    sent: float
    wait: float


def simulated(
    count: int, workers: int, load: float, seed: int, slow: Callable[[int], float] = lambda _: 1.0
) -> list[Waited]:
    """Run a queue with Poisson arrivals; the forecasts of run times never learn that the backend became slower."""
    random, model, now, out = np.random.default_rng(seed), QueueModel.cold(shared=False), 0.0, []
    free = [0.0] * workers
    tasks: list[tuple[float, float, Interval]] = []
    started: list[Waited] = []
    for place in range(count):
        mid = float(np.exp(0.6 * random.normal()))
        now += float(random.exponential(1.3 / workers / load)) * slow(place)
        for each in [each for each in started if each.sent + each.wait <= now]:
            model = model.observe(each.expected, each.promised, each.sent, each.wait)
        started = [each for each in started if each.sent + each.wait > now]
        tasks = [task for task in tasks if task[1] > now]
        queue = Queue(
            workers,
            tuple(Running(forecast, now - start) for start, _, forecast in tasks if start <= now),
            tuple(forecast for start, _, forecast in tasks if start > now),
        )
        expected = expected_wait(queue)
        start = max(now, free[0])
        end = start + mid * math.exp(DEVIATION * random.normal()) * slow(place)
        heapq.heapreplace(free, end)
        tasks.append((start, end, around(mid)))
        started.append(Waited(expected, model.predict(expected, now), now, start - now))
        out.append(started[-1])
    return out


def coverage(tasks: list[Waited]) -> float:
    waited = [task for task in tasks if task.expected.high > 0]
    assert len(waited) > len(tasks) / 3
    return float(np.mean([task.promised.low <= task.wait <= task.promised.high for task in waited]))


@pytest.mark.parametrize(("workers", "load"), [(1, 0.7), (3, 0.8)])
def test_waits_are_within_their_intervals_and_after_a_drift(workers: int, load: float) -> None:
    tasks = simulated(5000, workers, load, 4, lambda place: 3.0 if place >= 2500 else 1.0)
    assert 0.75 <= coverage(tasks[:2500]) <= 0.85
    assert 0.75 <= coverage(tasks[2500:]) <= 0.85


def test_a_shared_queue_is_learned_by_the_time_of_day() -> None:
    random, model, unknown, held = np.random.default_rng(7), QueueModel.cold(shared=True), Interval(0.0, 0.0, 0.0), []
    for place in range(1500):
        sent = place * 2000.0
        busy = math.sin(2 * math.pi * sent / (24 * HOUR))
        wait = 600.0 * math.exp(busy + 0.3 * random.normal())
        promised = model.predict(unknown, sent)
        held.append(promised.low <= wait <= promised.high)
        model = model.observe(unknown, promised, sent, wait)
    assert 0.75 <= np.mean(held) <= 0.85
    midnight = 1500 // 43 * 24 * HOUR + 24 * HOUR
    assert model.predict(unknown, midnight + 6 * HOUR).mid == pytest.approx(600 * math.e, rel=0.3)
    assert model.predict(unknown, midnight + 18 * HOUR).mid == pytest.approx(600 / math.e, rel=0.3)


def test_tasks_that_wait_together_teach_once() -> None:
    model, expected = QueueModel.cold(shared=False), around(10.0)
    first = model.observe(expected, expected, 0.0, 12.0)
    assert first.state.seen == 1
    assert first.observe(expected, expected, 5.0, 9.0) is first
    assert first.observe(expected, expected, 12.0, 9.0).state.seen == 2


@pytest.mark.parametrize("waited", [-1.0, math.nan, math.inf])
def test_no_wait_teaches_nothing(waited: float) -> None:
    model, expected = QueueModel.cold(shared=False), around(10.0)
    assert model.observe(expected, expected, 0.0, waited) is model


def test_a_free_worker_is_neither_corrected_nor_learned_from() -> None:
    model, free = QueueModel.cold(shared=False), Interval(0.0, 0.0, 0.0)
    assert model.predict(free, 0.0) == free
    assert model.observe(free, free, 0.0, 0.01) is model
