"""KEDA starts the first pod of a backend for jobs that wait, its HPA more, and KEDA ends all once nothing is to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster import ControlPlane
from e2e.layers import require
from tests.integration import prometheus_server
from tests.integration.conftest import ROOT, Lab, eventually, job, running_plane
from tests.integration.deployment_controller import DeploymentController
from tests.integration.ecosystem.keda import running_keda
from tests.integration.prometheus_server import Target
from tests.integration.test_autoscaling import SOME_TENTHS, condition, figure, replicas

pytestmark = pytest.mark.ecosystem
COOLDOWN = 3
JOBS = [f"job-{number}" for number in range(30)]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with Kubernetes' controller of HPAs, and KEDA."""
    require("integration")
    folder = tmp_path_factory.mktemp("plane")
    with running_plane(folder, "horizontal-pod-autoscaler-controller") as plane, running_keda(plane, folder):
        yield plane


def test_from_zero_through_a_burst_and_an_outage_of_the_figures_back_to_zero(lab: Lab, tmp_path: Path) -> None:
    outside, scaled = yaml.safe_load_all((ROOT / "examples" / "keda" / "autoscaling.yaml").read_text())
    outside["spec"] |= {"replicas": 0, "capacity": {"concurrency": 1}}
    outside["spec"]["template"] = {"resources": {"limits": {"memory": "1000Mi"}}}
    lab.start_operator()
    lab.ready()
    lab.apply(outside, *(job(name, SOME_TENTHS, backend={"name": "keda"}) for name in JOBS))
    eventually(lambda: figure(lab, "backend_waiting_tasks", "keda") == len(JOBS), "jobs that wait")
    work = figure(lab, "backend_work_seconds", "keda")
    assert work is not None
    assert replicas(lab, "keda") == 0

    target = Target(f"127.0.0.1:{lab.health}", {}, honor_labels=True)
    with prometheus_server.running(tmp_path / "prometheus", [target]) as prometheus, DeploymentController(lab, "keda"):
        # The HPA is to want two and a half pods, and no more when a busy machine's run times are learned.
        scaled["spec"] |= {"pollingInterval": 1, "cooldownPeriod": COOLDOWN, "maxReplicaCount": 3}
        for trigger in scaled["spec"]["triggers"]:
            trigger["metadata"]["serverAddress"] = prometheus.url
        scaled["spec"]["triggers"][0]["metadata"]["threshold"] = f"{work / 2.5:.3f}"
        lab.apply(scaled)
        eventually(lambda: replicas(lab, "keda") == 3, "three pods")
        eventually(lambda: "KEDAScaleTargetActivated" in _reasons(lab), "KEDA's word for the first pod")
        hpa = lab.get("hpa", "keda-hpa-keda")
        assert hpa["spec"]["scaleTargetRef"]["kind"] == "QuantumBackend"

        # Without an operator there are no figures: that is not taken for no work.
        lab.stop_operator()
        eventually(lambda: not prometheus.query("qonverge_operator_backend_work_seconds"), "an end of the figures")
        since = time.monotonic()
        eventually(lambda: time.monotonic() - since > 3 * COOLDOWN, "what the cooldown takes, and more")
        assert lab.get("qb", "keda")["spec"]["replicas"] == 3

        lab.start_operator()
        assert {name: lab.ended(name)["state"] for name in JOBS} == dict.fromkeys(JOBS, "Complete")
        # The HPA keeps what it wanted of late, and KEDA ends all only when nothing is to do.
        assert {lab.status(name)["attempts"] for name in JOBS} == {1}
        eventually(lambda: replicas(lab, "keda") == 0, "an end of all pods")
        eventually(lambda: condition(lab, "keda", "Ready")["reason"] == "ScaledToZero", "the word for it")
        eventually(lambda: "KEDAScaleTargetDeactivated" in _reasons(lab), "KEDA's word for the end of all")
        lab.kubectl("delete", "scaledobject", "keda")


def _reasons(lab: Lab) -> set[str]:
    return {event["reason"] for event in lab.list("events")}
