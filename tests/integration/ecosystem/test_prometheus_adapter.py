"""The examples of an HPA: rules of Prometheus, prometheus-adapter and Kubernetes' controller scale a backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster import ControlPlane
from e2e.layers import require
from tests.integration import prometheus_server
from tests.integration.conftest import ROOT, SOME_SECONDS, Lab, eventually, job, running_plane
from tests.integration.ecosystem.prometheus_adapter import running_adapter
from tests.integration.prometheus_server import Target
from tests.integration.test_autoscaling import figure, replicas

pytestmark = pytest.mark.ecosystem
EXAMPLES = ROOT / "examples" / "hpa"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with Kubernetes' controller of HPAs."""
    require("integration")
    with running_plane(tmp_path_factory.mktemp("plane"), "horizontal-pod-autoscaler-controller") as plane:
        yield plane


def test_an_hpa_follows_the_work_and_changes_nothing_while_there_are_no_figures(lab: Lab, tmp_path: Path) -> None:
    outside, hpa = yaml.safe_load_all((EXAMPLES / "autoscaling.yaml").read_text())
    lab.start_operator()
    lab.ready()
    # No pod runs here: what waits goes on waiting, and its forecast stays.
    jobs = [f"waits-{number}" for number in range(3)]
    lab.apply(outside, *(job(name, SOME_SECONDS, backend={"name": "hpa"}) for name in jobs))
    eventually(lambda: figure(lab, "backend_waiting_tasks", "hpa") == len(jobs), "jobs that wait")
    work = figure(lab, "backend_work_seconds", "hpa")
    assert work is not None
    hpa["spec"]["metrics"][0]["external"]["target"]["averageValue"] = f"{work / 2.5 * 1000:.0f}m"
    hpa["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 0

    target, rules = Target(f"127.0.0.1:{lab.health}", {}, honor_labels=True), EXAMPLES / "prometheus-rules.yaml"
    with (
        prometheus_server.running(tmp_path / "prometheus", [target], rules=[rules]) as prometheus,
        running_adapter(lab.plane, tmp_path, prometheus.url),
    ):
        lab.apply(hpa)
        eventually(lambda: replicas(lab, "hpa") == 3, "three pods, for two and a half times the target")

        lab.stop_operator()
        eventually(lambda: _active(lab) == ("False", "FailedGetExternalMetric"), "an HPA without a figure")
        assert lab.get("qb", "hpa")["spec"]["replicas"] == 3

        for name in jobs:
            lab.api.delete("hj", name, "default")
        lab.start_operator()
        eventually(lambda: replicas(lab, "hpa") == hpa["spec"]["minReplicas"], "one pod, without work")
        assert _active(lab)[0] == "True"
        lab.api.delete("hpa", "hpa", "default")


def _active(lab: Lab) -> tuple[str, str]:
    """Return status and reason of the HPA's condition ScalingActive."""
    conditions = lab.get("hpa", "hpa").get("status", {}).get("conditions") or []
    return next(((each["status"], each["reason"]) for each in conditions if each["type"] == "ScalingActive"), ("", ""))
