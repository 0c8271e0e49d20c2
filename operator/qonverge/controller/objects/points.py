"""What makes the batch Job of a program that is swept Indexed: one pod for each point. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob
from qonverge.controller.objects.object_names import INDEXES_ANNOTATION
from qonverge.controller.objects.program_pod import own_first
from qonverge.documents.grids import in_ranges
from qonverge.programs.parameters import escaped
from qonverge.programs.sweep import in_environment


def of_points(job: HybridJob, batch: dict[str, Any], indexes: Sequence[int], slots: int) -> dict[str, Any]:
    """Return the batch Job of an attempt at some points of a sweep.

    A pod that others end is made again by the Job controller at once; of one that fails the operator decides when all
    have ended. What a pod runs follows from its index and these points, which stand in an annotation too.

    Args:
        job: the job.
        batch: its batch Job, as it would be for one pod.
        indexes: of the points, in order.
        slots: of the backend, for programs: no more pods run at the same time.
    """
    program, spec, metadata = job.spec.program, dict(batch["spec"]), batch["metadata"]
    assert program.sweep is not None
    told, template = in_ranges(indexes), spec["template"]
    environment = {name: escaped(text) for name, text in in_environment(job).items()}
    if len(indexes) < program.sweep.num_points:
        environment["QONVERGE_INDEXES"] = told
    (container, *others) = template["spec"]["containers"]
    own = [{"name": name, "value": value} for name, value in environment.items()]
    swept = {**container, "env": own_first(own, container["env"])}
    pod = {**template["spec"], "containers": [swept, *others]}
    # With a limit for each index there is none for all.
    spec.pop("backoffLimit")
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    spec |= {
        "completionMode": "Indexed",
        "completions": len(indexes),
        "parallelism": max(1, min(program.pods_at_once, len(indexes), slots)),
        "backoffLimitPerIndex": 0,
        "podFailurePolicy": {"rules": [disrupted]},
        "template": {**template, "spec": pod},
    }
    annotations = {**metadata["annotations"], INDEXES_ANNOTATION: told}
    return {**batch, "metadata": {**metadata, "annotations": annotations}, "spec": spec}
