"""All metrics are made in one package and stand in the operator's guide."""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from pathlib import Path

import pytest

import qonverge
from qonverge.amounts import Amounts, Money
from qonverge.telemetry import BackendMetrics, OperatorMetrics
from qonverge.telemetry.operator import MOST_SPENDERS, OTHERS

PACKAGE = Path(qonverge.__file__).parent
GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"


def _imports(text: str) -> set[str]:
    """Return the modules that a source names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return found


def test_only_this_package_makes_metrics() -> None:
    makers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "prometheus_client" for name in _imports(path.read_text()))
    }
    assert makers == {"telemetry"}


@pytest.mark.parametrize("family", ["backend", "operator"])
def test_the_guide_names_every_metric_with_its_kind_and_labels(family: str) -> None:
    operator = OperatorMetrics(queue_length=lambda: 3, in_flight=lambda: 2)
    operator.reconciles.labels("HybridJob", "done").inc()
    operator.reconcile_seconds.labels("HybridJob").observe(0.1)
    operator.spend("chem", "lab/a", Amounts(5, costs=(Money(Decimal(2), "EUR"),)))
    operator.shadow_rounds.labels("Compared").inc()
    operator.shadow_jobs.labels("true").inc()
    operator.shadow_figures.labels("fidelity", "Shadow").inc()
    operator.shadow_figure_jobs.labels("fidelity").inc()
    backend = BackendMetrics()
    backend.tasks.labels("Completed").inc()
    backend.cloud_calls.labels("submit", "Ok").inc()
    backend.cloud_wait_seconds.labels("submit").inc(0.5)
    backend.cloud_billed.labels("USD").inc(1.5)
    backend.spool_tasks.labels("true").set(1)
    backend.remote_calls.labels("poll", "true").inc()
    families: dict[str, BackendMetrics | OperatorMetrics] = {"backend": backend, "operator": operator}
    text = families[family].exposition().decode()
    made = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    # Of counters and histograms the client library also writes when they were made.
    made = {name: kind for name, kind in made.items() if not name.endswith("_created")}
    rows = re.findall(rf"^\| `(qonverge_{family}_\w+)(?:{{(.*)}})?` \| (\w+) \|", GUIDE.read_text(), re.MULTILINE)
    assert {name: kind for name, _, kind in rows} == made
    for name, labels, _ in rows:
        named = re.search(rf"^{name}(?:_count)?{{(.*)}}", text, re.MULTILINE)
        assert (re.findall(r"(\w+)=", named[1]) if named else []) == [each for each in labels.split(", ") if each]


def test_money_is_counted_by_currency_and_so_many_spenders_only() -> None:
    metrics = OperatorMetrics(queue_length=lambda: 0, in_flight=lambda: 0)
    some = Amounts(5, costs=(Money(Decimal("2.5"), "EUR"), Money(Decimal(1))))
    for number in range(MOST_SPENDERS + 2):
        metrics.spend(f"n{number}", "lab/a", some)
    metrics.spend("n0", "lab/a", some)
    text = metrics.exposition().decode()
    for labels, value in (("n0", 5.0), ("n1", 2.5)):
        assert f'qonverge_operator_cost_total{{backend="lab/a",currency="EUR",namespace="{labels}"}} {value}' in text
    assert f'qonverge_operator_cost_total{{backend="{OTHERS}",currency="USD",namespace="{OTHERS}"}} 2.0' in text
    assert f'qonverge_operator_shots_total{{backend="{OTHERS}",namespace="{OTHERS}"}} 10.0' in text


def test_gauges_are_read_at_each_scrape() -> None:
    waiting = [1, 2]
    metrics = OperatorMetrics(queue_length=lambda: len(waiting), in_flight=lambda: 7)
    assert b"qonverge_operator_queue_length 2.0" in metrics.exposition()
    waiting.append(3)
    assert b"qonverge_operator_queue_length 3.0" in metrics.exposition()
    assert b"qonverge_operator_jobs_in_flight 7.0" in metrics.exposition()
