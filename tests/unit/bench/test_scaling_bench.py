"""The simulator of scaling beside what is known of queues, and the rivals beside their documentation."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from bench.scaling.__main__ import table
from bench.scaling.plant import Fixed, Plant, Pool, Simulation, Trace
from bench.scaling.rivals import Hpa, Keda, Knative
from bench.scaling.study import Qonverge
from bench.scaling.traces import MADE, from_log
from qonverge.scaling import Demand

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "bench" / "results" / "scaling.json"
PAGE = ROOT / "docs" / "autoscaling.md"


def test_waits_of_a_fixed_pool_are_those_of_erlangs_formula() -> None:
    random = np.random.default_rng(3)
    servers, load, count = 4, 3.0, 40_000
    trace = Trace("m/m/4", np.cumsum(random.exponential(1 / load, count)), random.exponential(1.0, count))
    outcome = Simulation(trace, Fixed(2), Plant(workers_per_pod=2)).run()
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    expected = last / (sum(terms) + last) / (servers - load)
    assert outcome.waits.mean() == pytest.approx(expected, rel=0.1)
    assert outcome.pod_seconds >= 2 * trace.arrivals[-1]


def test_a_thousand_changes_end_no_task() -> None:
    # The pool itself refuses to remove a pod with a task.
    trace = MADE["bursty"](7, 0.7)
    outcome = Simulation(trace, Qonverge(), Plant()).run()
    assert outcome.events >= 1000
    assert outcome.cut_short == 0
    assert outcome.p95 <= 30.0


def tasks(count: int, replicas: int) -> Pool:
    """Return a pool whose pods are ready."""
    return Pool(count, replicas, replicas, Demand)


def test_hpa_tolerates_a_tenth_doubles_at_most_and_waits_five_minutes() -> None:
    hpa = Hpa(10.0, 100)
    assert hpa.replicas(tasks(43, 4), 0.0) == 4
    assert hpa.replicas(tasks(45, 4), 15.0) == 5
    assert hpa.replicas(tasks(900, 30), 30.0) == 60
    assert hpa.replicas(tasks(10, 60), 315.0) == 90, "the largest of five minutes"
    assert hpa.replicas(tasks(10, 60), 631.0) == 1


def test_keda_looks_each_half_minute_and_ends_the_last_pod_after_five() -> None:
    keda = Keda(10.0, 100)
    assert keda.replicas(tasks(0, 0), 0.0) == 0
    assert keda.replicas(tasks(5, 0), 15.0) == 0
    assert keda.replicas(tasks(5, 0), 30.0) == 1
    assert keda.replicas(tasks(0, 1), 315.0) == 1
    assert keda.replicas(tasks(0, 1), 345.0) == 0


def test_knative_panics_over_six_seconds_and_keeps_the_most() -> None:
    knative = Knative(1.0, 100)
    for second in range(0, 60, 2):
        assert knative.replicas(tasks(2, 2), float(second)) == 2
    for second in (60, 62, 64):
        found = knative.replicas(tasks(20, 2), float(second))
    assert found == 20
    assert knative.replicas(tasks(2, 20), 100.0) == 20
    assert knative.replicas(tasks(2, 20), 200.0) < 20


def test_a_log_is_read_from_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "SMALL-1.swf.gz"
    lines = ["; Version: 2.2", *(f" {n} {n * 43200} -1 {n * 10} 1 -1" for n in range(6))]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    trace = from_log(path, skip=1, days=1, faster=10)
    assert trace.name == "SMALL-1"
    assert trace.arrivals.tolist() == [0.0, 4320.0]
    assert trace.seconds.tolist() == [20.0, 30.0]


def test_the_published_figures_hold_what_the_page_says() -> None:
    studies = json.loads(RESULTS.read_text())["traces"]
    assert table(studies) in PAGE.read_text()
    for study in studies:
        ours, fixed, *rivals = study["rows"]
        assert ours["p95"] <= 30.0
        assert ours["pod_hours"] <= 0.7 * fixed["pod_hours"]
        assert ours["cut_short"] == 0
        assert all(rival["p95"] > ours["p95"] for rival in rivals)
        assert all(rival["pod_hours"] >= ours["pod_hours"] for rival in rivals)
