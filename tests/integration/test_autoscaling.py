"""Backends that scale, with the operator, a real API server and real servers as pods."""

from __future__ import annotations

import contextlib
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster import ControlPlane
from e2e.layers import require
from tests.integration.conftest import ROOT, SOME_SECONDS, Lab, backend, eventually, job, layered, running_plane
from tests.integration.deployment_controller import DeploymentController
from tests.integration.external_metrics import ExternalMetrics
from tests.span_collector import collecting

SOME_TENTHS = layered(18, 20)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with the CRDs, the operator's namespace and Kubernetes' controller of HPAs."""
    require("integration")
    with running_plane(tmp_path_factory.mktemp("plane"), "horizontal-pod-autoscaler-controller") as plane:
        yield plane


def condition(lab: Lab, name: str, kind: str) -> dict[str, Any]:
    """Return a condition of a backend; empty where it has none of this kind."""
    found = lab.get("qb", name).get("status", {}).get("conditions") or []
    return next((each for each in found if each["type"] == kind), {})


def replicas(lab: Lab, name: str) -> int | None:
    """Return how many pods the backend's Deployment has; None where it is not there yet."""
    found = lab.get("deployment", f"{name}-qb")
    return found["spec"]["replicas"] if found else None


def figure(lab: Lab, name: str, of: str) -> float | None:
    """Return a figure of a backend from the operator's metrics; None where it is not there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{lab.health}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"qonverge_operator_{name}" and sample.labels.get("backend") == f"default/{of}":
                return float(sample.value)
    return None


def tasks_running(lab: Lab) -> float:
    """Return how many tasks run on all servers, as they say; without one whose process has ended meanwhile."""
    found = 0.0
    for pod in list(lab.pods):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{lab.url(pod)}/metrics", timeout=60) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            found += sum(each.samples[0].value for each in families if each.name == "qonverge_backend_tasks_running")
    return found


def _is_left_to_others(lab: Lab) -> None:
    """A backend that is scaled from outside tells what waits for it and keeps its number."""
    lab.apply(backend("outside", scaling={"mode": "External"}, replicas=0))
    lab.apply(job("waits", backend={"name": "outside"}))
    eventually(lambda: lab.status("waits").get("reason") == "Queued", "a job that waits for a pod")
    assert figure(lab, "backend_waiting_tasks", "outside") == 1
    work = figure(lab, "backend_work_seconds", "outside")
    assert work is not None
    assert work > 0
    assert (replicas(lab, "outside"), condition(lab, "outside", "ScalingActive")) == (0, {})
    lab.kubectl("scale", "qb", "outside", "--replicas=4")
    eventually(lambda: replicas(lab, "outside") == 4, "four replicas")


def test_a_burst_at_zero_starts_pods_more_work_more_of_them_and_idleness_ends_all(lab: Lab) -> None:
    scaling = {
        "minReplicas": 0,
        "maxReplicas": 2,
        "targetQueueTime": "2s",
        "stableWindow": "10s",
        "scaleDownAfter": "1s",
        "scaleToZeroAfter": "2s",
    }
    # One that was stopped begins at zero.
    lab.apply(backend("elastic", scaling=scaling, replicas=0))
    lab.start_operator()
    lab.ready()
    _is_left_to_others(lab)
    with DeploymentController(lab, "elastic"):
        eventually(lambda: condition(lab, "elastic", "ScalingActive").get("reason") == "ScalingDisabled", "a stop")
        lab.kubectl("scale", "qb", "elastic", "--replicas=1")
        eventually(lambda: condition(lab, "elastic", "ScalingActive").get("reason") == "Idle", "a decision")
        eventually(lambda: condition(lab, "elastic", "Ready").get("reason") == "ScaledToZero", "a state")
        assert (condition(lab, "elastic", "Ready")["status"], replicas(lab, "elastic")) == ("True", 0)
        assert figure(lab, "backend_wanted_pods", "elastic") == 0

        elastic: dict[str, Any] = {"backend": {"name": "elastic"}}
        lab.apply(job("first", **elastic))
        assert lab.ended("first")["state"] == "Complete"
        assert replicas(lab, "elastic") == 1

        lab.apply(*(job(f"j{number}", SOME_TENTHS, **elastic) for number in range(10)))
        eventually(lambda: replicas(lab, "elastic") == 2, "a second pod")
        limited = eventually(lambda: condition(lab, "elastic", "ScalingLimited"), "what bounds it")
        assert limited["reason"] in ("DesiredWithinRange", "TooManyReplicas")
        for number in range(10):
            assert lab.ended(f"j{number}")["state"] == "Complete"
        assert {lab.status(f"j{number}")["attempts"] for number in range(10)} == {1}

        eventually(lambda: replicas(lab, "elastic") == 0, "an end of all pods")
        eventually(lambda: not lab.list("pod"), "no pods")
        eventually(lambda: condition(lab, "elastic", "Ready")["reason"] == "ScaledToZero", "the word for it")


def test_a_circuit_too_large_for_the_usual_pods_has_a_larger_one_for_as_long_as_it_needs_it(lab: Lab) -> None:
    vertical = {"maxMemory": "1200Mi", "scaleToZeroAfter": "1s"}
    scaling = {"maxReplicas": 1, "stableWindow": "10s", "scaleDownAfter": "1s", "vertical": vertical}
    limits = {"template": {"resources": {"limits": {"memory": "400Mi"}}}}
    small = backend("small", scaling=scaling, simulator={"method": "Statevector"}, **limits)
    lab.apply(small)
    lab.start_operator()
    lab.ready()
    named: dict[str, Any] = {"backend": {"name": "small"}, "shots": 1}
    # Of the largest size no pod is wanted.
    with DeploymentController(lab, "small"), DeploymentController(lab, "small-800mi"):
        eventually(lambda: replicas(lab, "small-1200mi") == 0, "the sizes")
        eventually(lambda: condition(lab, "small-800mi", "Ready").get("reason") == "ScaledToZero", "its state")
        assert [replicas(lab, f"small{size}") for size in ("", "-800mi", "-1200mi")] == [1, 0, 0]
        eventually(lambda: condition(lab, "small", "Ready").get("reason") == "Serving", "the usual pod")

        # Of the usual pods 80 MiB are for a circuit, of the next size 480 MiB, and of the last, with a spare, 720 MiB.
        lab.apply(job("large", layered(23, 1), **named), job("usual", **named), job("huge", layered(26, 1), **named))
        waits = eventually(lambda: lab.status("large").get("message", ""), "what it waits for")
        assert "held for small-800mi" in waits
        assert "a pod with 800 MiB of memory" in waits
        eventually(lambda: replicas(lab, "small-800mi") == 1, "a larger pod")
        lab.stop_operator(signal.SIGKILL)
        lab.start_operator()
        lab.ready()
        refused = lab.ended("huge")
        assert refused["state"] == "Failed"
        assert "small-1200mi has 720 MiB for a circuit and a statevector of 26 qubits needs 1 GiB" in refused["message"]
        ends = lab.ended("usual"), lab.ended("large")
        assert [(end["state"], end["backend"], end["attempts"]) for end in ends] == [
            ("Complete", "small", 1),
            ("Complete", "small-800mi", 1),
        ]
        eventually(lambda: replicas(lab, "small-800mi") == 0, "an end of the larger pod")
        assert condition(lab, "small-800mi", "ScalingActive")["reason"] == "Idle"
        assert [replicas(lab, f"small{size}") for size in ("", "-1200mi")] == [1, 0]

        # What others change is put back, and a size that the backend has no more goes.
        lab.patch("qb", "small-1200mi", {"spec": {"template": {"resources": {"limits": {"memory": "9Gi"}}}}})
        eventually(lambda: _memory(lab, "small-1200mi") == "1200Mi", "the size as it was")
        vertical["maxMemory"] = "800Mi"
        lab.apply(small)
        eventually(lambda: not lab.get("qb", "small-1200mi"), "an end of the largest size")
        assert lab.get("qb", "small-800mi")


def _memory(lab: Lab, name: str) -> str:
    limits: dict[str, str] = lab.get("qb", name)["spec"]["template"]["resources"]["limits"]
    return limits["memory"]


def test_pods_that_others_remove_lose_no_task(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is halved and set to zero while tasks run and wait: each runs once, in its job's first attempt."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    names = [f"j{number}" for number in range(10)]
    with collecting() as collector:
        lab.apply(backend("outside", scaling={"mode": "External"}, replicas=2))
        lab.start_operator(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        lab.ready()
        with DeploymentController(lab, "outside"):
            eventually(lambda: lab.get("qb", "outside").get("status", {}).get("readyReplicas") == 2, "two pods")
            lab.apply(*(job(name, SOME_TENTHS, backend={"name": "outside"}) for name in names))
            for replicas in (1, 0):
                eventually(lambda: tasks_running(lab) > replicas, f"tasks on {replicas + 1} pods")  # noqa: B023
                lab.kubectl("scale", "qb", "outside", f"--replicas={replicas}")
                eventually(lambda: len(lab.pods) == replicas, "the end of a pod")  # noqa: B023
            eventually(lambda: not lab.list("pod"), "no pods")
            left = [name for name in names if lab.status(name).get("state") != "Complete"]
            assert left, "some had not begun"
            lab.kubectl("scale", "qb", "outside", "--replicas=1")
            ends = {name: lab.ended(name) for name in names}
        assert {(each["state"], each["attempts"]) for each in ends.values()} == {("Complete", 1)}

        def runs() -> list[Any]:
            """Return what servers ran."""
            return [span for span in collector.spans if (span.service, span.name) == ("qonverge-backend", "run")]

        eventually(lambda: len(runs()) >= len(names), "the servers' spans")
        traces = [span.trace for span in runs()]
    assert sorted(traces) == sorted({each["traceId"] for each in ends.values()})


def test_an_hpa_scales_a_backend_that_is_left_to_it_by_the_work_that_the_operator_forecasts(lab: Lab) -> None:
    outside, hpa = yaml.safe_load_all((ROOT / "examples" / "hpa" / "autoscaling.yaml").read_text())
    (metric,) = hpa["spec"]["metrics"]
    lab.start_operator()
    lab.ready()
    # No pod runs here: what waits goes on waiting, and its forecast stays.
    lab.apply(outside, *(job(f"waits-{number}", SOME_SECONDS, backend={"name": "hpa"}) for number in range(3)))
    eventually(lambda: figure(lab, "backend_waiting_tasks", "hpa") == 3, "jobs that wait")
    work = figure(lab, "backend_work_seconds", "hpa")
    assert work is not None
    assert work > 0
    with ExternalMetrics(
        lab.plane, metric["external"]["metric"]["name"], "hpa", lambda: figure(lab, "backend_work_seconds", "hpa")
    ):
        metric["external"]["target"]["averageValue"] = f"{work / 2.5 * 1000:.0f}m"
        hpa["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 0
        lab.apply(hpa)
        eventually(lambda: replicas(lab, "hpa") == 3, "three pods, for two and a half times the target")
        assert condition(lab, "hpa", "ScalingActive") == {}
        for number in range(3):
            lab.api.delete("hj", f"waits-{number}", "default")
        eventually(lambda: replicas(lab, "hpa") == hpa["spec"]["minReplicas"], "one pod, without work")
        lab.api.delete("hpa", "hpa", "default")
