"""What is known of programs' pods, also of those that are gone."""

from __future__ import annotations

import itertools
from typing import Any

from qonverge.controller.objects.object_names import JOB_LABEL, PROGRAM_BACKENDS_ANNOTATION
from qonverge.controller.store.resources import ObjectKey
from qonverge.controller.store.state import State

_VERSIONS = itertools.count(1)


def metadata(name: str, **more: Any) -> dict[str, Any]:
    version = str(next(_VERSIONS))
    return {"name": name, "namespace": "lab", "uid": f"uid-{name}", "resourceVersion": version, **more}


def batch() -> dict[str, Any]:
    owner = {"kind": "HybridJob", "name": "j", "uid": "uid-j", "controller": True}
    annotations = {PROGRAM_BACKENDS_ANNOTATION: "lab/aer"}
    return {"metadata": metadata("j-1", ownerReferences=[owner], annotations=annotations), "spec": {}, "status": {}}


def pod(phase: str, name: str = "j-1-abc") -> dict[str, Any]:
    labels = {JOB_LABEL: "j", "batch.kubernetes.io/job-name": "j-1"}
    spec = {"nodeName": "worker-1", "containers": [{"resources": {"limits": {"memory": "1Gi"}}}]}
    return {"metadata": metadata(name, labels=labels), "spec": spec, "status": {"phase": phase}}


def test_how_a_pod_ended_is_known_until_its_batch_job_is_gone() -> None:
    """An eviction deletes the pod before its Job has failed."""
    state = State()
    state.observe("Job", batch(), False)
    state.observe("Pod", pod("Failed"), False)
    assert state.batch_jobs["lab/j-1"]["backends"] == ["lab/aer"]
    change = state.observe("Pod", pod("Failed"), True)
    assert change is not None
    assert change.owner == ObjectKey("HybridJob", "lab/j"), "who waits for its end is told"
    kept = state.program_pods["lab/j-1"]["lab/j-1-abc"]
    assert (kept["phase"], kept["node"], kept["memoryLimit"]) == ("Failed", "worker-1", "1Gi")
    state.observe("Job", batch(), True)
    assert state.program_pods == {}


def test_nothing_is_left_of_a_pod_that_outlives_its_batch_job() -> None:
    state = State()
    state.observe("Job", batch(), False)
    state.observe("Pod", pod("Running"), False)
    state.observe("Job", batch(), True)
    state.observe("Pod", pod("Failed"), False)
    state.observe("Pod", pod("Running", "j-1-def"), False)
    state.observe("Pod", pod("Failed"), True)
    assert list(state.program_pods["lab/j-1"]) == ["lab/j-1-def"]
    state.observe("Pod", pod("Failed", "j-1-def"), True)
    assert state.program_pods == {}
