"""All metrics are made in one package and stand in the operator's guide."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import qonverge
from qonverge.telemetry import BackendMetrics, OperatorMetrics

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
    backend = BackendMetrics()
    backend.tasks.labels("Completed").inc()
    backend.cloud_calls.labels("submit", "Ok").inc()
    backend.cloud_wait_seconds.labels("submit").inc(0.5)
    backend.cloud_billed.labels("USD").inc(1.5)
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


def test_gauges_are_read_at_each_scrape() -> None:
    waiting = [1, 2]
    metrics = OperatorMetrics(queue_length=lambda: len(waiting), in_flight=lambda: 7)
    assert b"qonverge_operator_queue_length 2.0" in metrics.exposition()
    waiting.append(3)
    assert b"qonverge_operator_queue_length 3.0" in metrics.exposition()
    assert b"qonverge_operator_jobs_in_flight 7.0" in metrics.exposition()
