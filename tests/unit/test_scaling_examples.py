"""The examples for an HPA and for KEDA fit each other and the operator's metrics."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from e2e.layers import require_prometheus
from qonverge.telemetry.definitions import OPERATOR

EXAMPLES = Path(__file__).parents[2] / "examples"
_RECORDED = "backend:qonverge_operator_backend_work_seconds:max"


def test_the_rules_give_the_work_its_backends_namespace_and_name(tmp_path: Path) -> None:
    require_prometheus()
    work = "qonverge_operator_backend_work_seconds"
    series = {
        f'{work}{{backend="lab/a.b", instance="one"}}': "40 40",
        f'{work}{{backend="lab/a.b", instance="two"}}': "10 10",
        f'{work}{{backend="other/a.b", instance="one"}}': "7 7",
    }
    expected = [
        {"labels": f'{_RECORDED}{{namespace="lab", name="a.b"}}', "value": 40},
        {"labels": f'{_RECORDED}{{namespace="other", name="a.b"}}', "value": 7},
    ]
    tests = {
        "rule_files": [str(EXAMPLES / "hpa" / "prometheus-rules.yaml")],
        "tests": [
            {
                "interval": "5s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": _RECORDED, "eval_time": "5s", "exp_samples": expected}],
            }
        ],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    command = ["promtool", "test", "rules", "tests.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_adapter_serves_what_is_recorded_under_the_name_that_the_hpa_asks_for() -> None:
    (rule,) = yaml.safe_load((EXAMPLES / "hpa" / "prometheus-adapter.yaml").read_text())["externalRules"]
    _, hpa = yaml.safe_load_all((EXAMPLES / "hpa" / "autoscaling.yaml").read_text())
    (metric,) = hpa["spec"]["metrics"]
    assert f'__name__="{_RECORDED}"' in rule["seriesQuery"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    assert metric["external"]["metric"]["selector"] == {"matchLabels": {"name": hpa["spec"]["scaleTargetRef"]["name"]}}


def test_keda_asks_for_metrics_that_there_are() -> None:
    _, scaled = yaml.safe_load_all((EXAMPLES / "keda" / "autoscaling.yaml").read_text())
    queries = " ".join(trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"])
    asked = re.findall(r"(qonverge_\w+)\{backend=\"(.*?)\"", queries)
    target = scaled["spec"]["scaleTargetRef"]["name"]
    assert len(asked) == 2 * len(scaled["spec"]["triggers"]), "each as it is now, and as it was last"
    assert {name for name, _ in asked} <= {each.name for each in OPERATOR if "backend" in each.labels}
    assert {backend for _, backend in asked} == {f"{scaled['metadata']['namespace']}/{target}"}
