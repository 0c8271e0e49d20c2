"""All metrics are made in one package, from one table, which is a page of the documentation too."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import qonverge
from qonverge.amounts import Amounts, Money
from qonverge.telemetry import BackendMetrics, JobEnd, OperatorMetrics, ProgramMetrics, Reading, reference
from qonverge.telemetry.backend import LINKS, OTHER
from qonverge.telemetry.definitions import BACKEND, MOST_REASONS, OPERATOR, PROGRAM, Metric
from qonverge.telemetry.exposition import Exposition
from qonverge.telemetry.operator import MOST_SPENDERS, OTHERS

# When each series began is a series of its own otherwise.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library lacks them here

PACKAGE = Path(qonverge.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_UNITS = {"bytes", "joules", "ratio", "seconds", "watts"}
_NOT_BASE = {"milliseconds", "ms", "minutes", "hours", "percent", "kb", "mib", "age"}


def _imports(text: str) -> set[str]:
    """Return the modules that a source names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return found


def _operator() -> OperatorMetrics:
    """Return metrics of which each has a value."""
    metrics = OperatorMetrics()
    metrics.read_at_scrape(lambda: _one_each(OPERATOR))
    metrics.reconcile_seconds.labels("HybridJob").observe(0.1)
    metrics.reconciled("HybridJob", 1e9, failed=False)
    metrics.planned(0.1, [("online", "Pod")])
    metrics.answered("Prometheus", up=True)
    metrics.spend("chem", "lab/a", Amounts(5, costs=(Money(Decimal(2), "EUR"),), joules=7.5))
    metrics.ended(JobEnd("lab/a", "Complete", "Completed", 3.0, 4.0))
    metrics.compare("lab/a", "run", (1.0, 2.0, 3.0), 2.5)
    metrics.shadow_rounds.labels("Compared").inc()
    metrics.shadow_jobs.labels("true").inc()
    metrics.shadow_figures.labels("fidelity", "Shadow").inc()
    metrics.shadow_figure_jobs.labels("fidelity").inc()
    return metrics


def _backend() -> BackendMetrics:
    metrics = BackendMetrics()
    metrics.read_at_scrape(lambda: _one_each(BACKEND))
    metrics.read_links_at_scrape(lambda: (Reading(each, 1.0, each.labels) for each in LINKS))
    metrics.tasks.labels("Completed").inc()
    metrics.failed("CircuitTooLarge")
    metrics.cloud_calls.labels("submit", "Ok").inc()
    metrics.cloud_wait_seconds.labels("submit").inc(0.5)
    metrics.cloud_billed.labels("USD").inc(1.5)
    metrics.spool_tasks.labels("true").set(1)
    metrics.remote_calls.labels("poll", "true").inc()
    return metrics


def _program() -> ProgramMetrics:
    return ProgramMetrics(lambda: (Reading(each, 1.0, each.labels) for each in PROGRAM))


def _one_each(metrics: tuple[Metric, ...]) -> Iterator[Reading]:
    """Yield a reading of each metric that is read at a scrape."""
    from qonverge.telemetry import backend, operator

    yield from (Reading(each, 1.0, each.labels) for each in metrics if each in (*backend.READ, *operator.READ))


FAMILIES = pytest.mark.parametrize(("table", "made"), [(BACKEND, _backend), (OPERATOR, _operator), (PROGRAM, _program)])


def test_only_this_package_makes_metrics() -> None:
    makers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "prometheus_client" for name in _imports(path.read_text()))
    }
    assert makers == {"telemetry"}


@FAMILIES
def test_what_is_exposed_is_the_table(table: tuple[Metric, ...], made: type[BackendMetrics]) -> None:
    """With names, types, helps, and labels in their order; of the process only what its collector has."""
    exposed: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for family in text_string_to_metric_families(made().exposition().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = tuple(label for label in family.samples[0].labels if label != "le") if family.samples else ()
        exposed[name] = (family.type, family.documentation, labels)
    ours = {name: said for name, said in exposed.items() if not name.startswith("process_")}
    assert {name: (kind, text, set(labels)) for name, (kind, text, labels) in ours.items()} == {
        each.name: (each.type, each.help, set(each.labels)) for each in table
    }
    assert "process_cpu_seconds_total" in exposed


_AWKWARD = ('a "quoted" one', "back\\slash", "two\nlines", "", "ü", "a,b=c}")
_NUMBERS = (0.0, -0.0, 3, 1.5, 1e-9, 123456.5, 1234567.0, 1e6, 1e12, 1e300, -5e7, math.inf, -math.inf, math.nan)


def _text_of_library(registry: CollectorRegistry) -> str:
    text: bytes = generate_latest(registry)
    return text.decode()


def _without_process(text: bytes) -> str:
    lines = text.decode().splitlines(keepends=True)
    return "".join(line for line in lines if not re.match("(# (HELP|TYPE) )?process_", line))


def test_the_text_is_the_librarys_own() -> None:
    """Whatever is in labels and values, and again after what was written once has changed."""
    ours, library = Exposition(), CollectorRegistry()
    labels = ("zone", "kind")
    counted, plain = Metric("q_things_total", "counter", "Things."), Metric("q_size", "gauge", "Size.")
    kinds = Metric("q_kinds_total", "counter", "Kinds.", labels)
    sizes = Metric("q_sizes", "gauge", "Sizes.", labels)
    spread = Metric("q_wait_seconds", "histogram", "Wait.", labels, buckets=(0.001, 1, 2.5, 1e7))
    our_count, our_size = ours.counter(counted).labels(), ours.gauge(plain).labels()
    our_kinds, our_sizes, our_spread = ours.counter(kinds), ours.gauge(sizes), ours.histogram(spread)
    count = Counter(counted.name, counted.help, registry=library)
    size = Gauge(plain.name, plain.help, registry=library)
    kind = Counter(kinds.name, kinds.help, labels, registry=library)
    sized = Gauge(sizes.name, sizes.help, labels, registry=library)
    waits = Histogram(spread.name, spread.help, labels, buckets=spread.buckets, registry=library)
    assert _without_process(ours.text()) == _text_of_library(library), "nothing was counted"
    for name in _AWKWARD:
        for number in _NUMBERS:
            our_size.set(number)
            size.set(number)
            our_sizes.labels(name, f"{number}").set(number)
            sized.labels(name, f"{number}").set(number)
            our_spread.labels(kind="x", zone=name).observe(number)
            waits.labels(kind="x", zone=name).observe(number)
            if number >= 0:
                our_count.inc(number)
                count.inc(number)
                our_kinds.labels(name, kind="k").inc(number)
                kind.labels(name, "k").inc(number)
            assert _without_process(ours.text()) == _text_of_library(library), (name, number)
    our_sizes.labels("f", "f").set_function(lambda: 7.0)
    sized.labels("f", "f").set_function(lambda: 7.0)
    our_kinds.forget("zone", "ü")
    kind.remove_by_labels({"zone": "ü"})
    assert _without_process(ours.text()) == _text_of_library(library)


def test_what_is_read_at_a_scrape_is_written_as_the_library_does() -> None:
    """With the value of that scrape, though lines of the last one are used again; 0 and -0 are one value."""
    ours = Exposition()
    gauge = Metric("q_sizes", "gauge", "Sizes.", ("zone", "kind"))
    counter = Metric("q_kinds_total", "counter", "Kinds.", ("kind",))
    values: dict[str, float] = {}
    ours.read((gauge, counter), lambda: _read_twice(gauge, counter, values))
    for number in (*_NUMBERS[2:], 0.0, *_NUMBERS[2:]):
        for name in _AWKWARD:
            values[name] = number
        library = CollectorRegistry()
        sized = Gauge(gauge.name, gauge.help, gauge.labels, registry=library)
        kinds = Counter(counter.name, counter.help, counter.labels, registry=library)
        for name, value in values.items():
            sized.labels(name, "x").set(value)
            kinds.labels(name).inc(abs(value))
        assert _without_process(ours.text()) == _text_of_library(library), number
    values.clear()
    assert "{" not in _without_process(ours.text()), "what is not known any more has no series"


def _read_twice(gauge: Metric, counter: Metric, values: dict[str, float]) -> Iterator[Reading]:
    for name, value in values.items():
        yield Reading(counter, abs(value), (name,))
        yield Reading(gauge, value, (name, "x"))


def test_series_refuse_what_they_cannot_count() -> None:
    kinds = Exposition().counter(Metric("q_kinds_total", "counter", "Kinds.", ("kind", "zone")))
    with pytest.raises(ValueError, match="counts up, not by -1"):
        kinds.labels("a", "b").inc(-1.0)
    with pytest.raises(ValueError, match="has the labels"):
        kinds.labels("a")
    with pytest.raises(ValueError, match="has the labels"):
        kinds.labels("a", "b", "c")


def test_names_follow_prometheus_conventions() -> None:
    names = [each.name for each in (*BACKEND, *PROGRAM, *OPERATOR)]
    assert len(set(names)) == len(names)
    for each in (*BACKEND, *PROGRAM, *OPERATOR):
        assert re.fullmatch(r"qonverge_(backend|program|operator)(_[a-z]+)+", each.name), each.name
        assert each.name.endswith("_total") == (each.type == "counter"), each.name
        assert not _NOT_BASE & set(each.name.split("_")), each.name
        assert not {"job", "name", "task", "pod", "id"} & set(each.labels), each.name
        assert bool(each.buckets) == (each.type == "histogram"), each.name
        assert each.unit in _UNITS or each.unit == "", each.name
        assert each.help.endswith("."), each.name


def test_the_page_is_generated() -> None:
    assert PAGE.read_text() == reference.render(), "run make generate"


def test_reasons_of_errors_are_so_many_only() -> None:
    metrics = BackendMetrics()
    for number in range(MOST_REASONS + 5):
        metrics.failed(f"Code{number}")
    metrics.failed("Code0")
    lines = [
        line for line in metrics.exposition().decode().splitlines() if line.startswith("qonverge_backend_task_err")
    ]
    assert len(lines) == MOST_REASONS + 1
    assert f'qonverge_backend_task_errors_total{{reason="{OTHER}"}} 5.0' in lines
    assert 'qonverge_backend_task_errors_total{reason="Code0"} 2.0' in lines


def _series(metrics: OperatorMetrics, backend: str) -> list[str]:
    return [line for line in metrics.exposition().decode().splitlines() if f'backend="{backend}"' in line]


def test_a_backend_has_so_many_series_and_none_once_it_is_gone() -> None:
    """But for what was spent there, which a restart alone begins anew."""
    metrics = OperatorMetrics()
    for number in range(3 * MOST_REASONS):
        for state in ("Complete", "Failed"):
            metrics.ended(JobEnd("lab/a", state, f"Reason{number}", 1.0, float(number)))
    for within in (1.5, 9.0):
        for figure in ("run", "wait"):
            metrics.compare("lab/a", figure, (1.0, 2.0, 3.0), within)
    metrics.spend("chem", "lab/a", Amounts(5))
    metrics.ended(JobEnd("lab/b", "Complete", "Completed"))
    of_read = sum(each.per == "backend" for each in OPERATOR if each.type == "gauge")
    assert len(_series(metrics, "lab/a")) == reference.series(OPERATOR, "backend") - of_read + 1
    metrics.forget("lab/a")
    assert len(_series(metrics, "lab/a")) == 1
    assert len(_series(metrics, "lab/b")) == 1
    metrics.ended(JobEnd("lab/a", "Complete", "Reason99"))
    assert 'reason="Reason99"' in _series(metrics, "lab/a")[1]


def test_an_outcome_is_compared_with_its_forecast() -> None:
    metrics = OperatorMetrics()
    metrics.compare("lab/a", "run", (1.0, 2.0, 3.0), 2.0)
    metrics.compare("lab/a", "run", (1.0, 2.0, 3.0), 8.0)
    metrics.compare("lab/a", "wait", (0.0, 0.0, 0.0), 1.0)
    text = "\n".join(_series(metrics, "lab/a"))
    for within, figure, count in (("true", "run", 1), ("false", "run", 1), ("false", "wait", 1)):
        assert f'forecasts_total{{backend="lab/a",figure="{figure}",within="{within}"}} {count}.0' in text
    assert 'forecast_ratio_bucket{backend="lab/a",figure="run",le="1.25"} 1.0' in text
    assert 'forecast_ratio_sum{backend="lab/a",figure="run"} 5.0' in text
    assert 'forecast_ratio_count{backend="lab/a",figure="wait"}' not in text, "nothing is a part of 0"


def test_money_is_counted_by_currency_and_so_many_spenders_only() -> None:
    metrics = OperatorMetrics()
    some = Amounts(5, costs=(Money(Decimal("2.5"), "EUR"), Money(Decimal(1))))
    for number in range(MOST_SPENDERS + 2):
        metrics.spend(f"n{number}", "lab/a", some)
    metrics.spend("n0", "lab/a", some)
    text = metrics.exposition().decode()
    for labels, value in (("n0", 5.0), ("n1", 2.5)):
        assert f'qonverge_operator_cost_total{{backend="lab/a",currency="EUR",namespace="{labels}"}} {value}' in text
    assert f'qonverge_operator_cost_total{{backend="{OTHERS}",currency="USD",namespace="{OTHERS}"}} 2.0' in text
    assert f'qonverge_operator_shots_total{{backend="{OTHERS}",namespace="{OTHERS}"}} 10.0' in text


def test_gauges_are_read_at_each_scrape_and_what_is_not_known_has_no_series() -> None:
    from qonverge.telemetry.definitions import DEVICE_WAIT, QUEUE_LENGTH

    known = [Reading(QUEUE_LENGTH, 2.0)]
    metrics = BackendMetrics()
    metrics.read_at_scrape(lambda: known)
    text = metrics.exposition().decode()
    assert "qonverge_backend_queue_length 2.0" in text
    assert not re.search(rf"^{DEVICE_WAIT.name}", text, re.MULTILINE)
    known.append(Reading(DEVICE_WAIT, 7.0))
    assert f"{DEVICE_WAIT.name} 7.0" in metrics.exposition().decode()
