"""The pods of an attempt at a sweep, one for each point: how far they are, and how they ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qonverge.api import HybridJob
from qonverge.api.retries import RetryAction
from qonverge.controller.jobs.kinds import pod_ranks
from qonverge.controller.jobs.view import View
from qonverge.controller.objects import pod_ends
from qonverge.controller.objects.pod_ends import PodEnd
from qonverge.controller.objects.program_inits import failure_of
from qonverge.documents.grids import of_ranges
from qonverge.execution import points
from qonverge.execution.points import PointEnd
from qonverge.execution.retries import AttemptEnd

Pod = Mapping[str, Any]


def late(view: View) -> pod_ranks.Late | None:
    """Return a pod that has not started, or None in its place, where none has; None where one has."""
    batch = view.batch or {}
    if _reached(batch) or any(pod.get("phase", "Pending") != "Pending" for pod in view.pods):
        return None
    return pod_ranks.late(view.pods, 1)


def completed(view: View) -> list[int]:
    """Return the points at which the program ended well in the present attempt, in order."""
    ran = _ran(view)
    return [ran[number] for number in of_ranges(str((view.batch or {}).get("completedIndexes") or ""))]


def progress(view: View) -> dict[str, Any]:
    """Return the fields of the status that tell how far the job is; none where they do so already.

    A point at which the program failed, and may be run again, has not ended.
    """
    found = points.progress_of(view.job, completed(view), points.lost(view.job, failures(view)))
    return {} if found["indexes"] == view.job.status.indexes else found


def failures(view: View) -> list[PointEnd]:
    """Return how the program failed at points of the present attempt."""
    ran, numbers = _ran(view), of_ranges(str((view.batch or {}).get("failedIndexes") or ""))
    pods = _failed_pods(view.pods) if numbers else {}
    found = []
    for number in numbers:
        pod = pods.get(number)
        unprepared = None if pod is None else failure_of(pod)
        if unprepared is not None:
            end = PodEnd(unprepared.reason, unprepared.message)
        else:
            end = pod_ends.of_pod(pod, f"program.{view.job.spec.program.chosen}.resources")
        default: RetryAction | None = None if unprepared is None or unprepared.again else "Fail"
        found.append(PointEnd(ran[number], attempt_end(view, end, pod), default))
    return found


def is_seen(view: View) -> bool:
    """Return whether of each pod that failed it is known how: what is seen of pods may come after what is of Jobs."""
    numbers = of_ranges(str((view.batch or {}).get("failedIndexes") or ""))
    pods = _failed_pods(view.pods) if numbers else {}
    return all(
        number not in pods or pods[number].get("endsBy") is not None or pods[number].get("phase") == "Failed"
        for number in numbers
    )


def abandoned(view: View) -> Pod | None:
    """Return a pod that was to end and whose node does not say so, where nothing else of the attempt goes on."""
    going = [pod for pod in view.pods if pod.get("phase") in ("Pending", "Running", None)]
    return pod_ranks.leaving(going) if going and all(pod.get("endsBy") is not None for pod in going) else None


def attempt_end(view: View, end: PodEnd, pod: Pod | None) -> AttemptEnd:
    """Return how an attempt at a program ended as its policy looks at it."""
    status = view.job.status
    return AttemptEnd(
        attempt=status.attempts or 1,
        reason=end.reason,
        message=end.message,
        ended_at=end.ended_at or view.stamp,
        exit_code=end.exit_code,
        started_at=end.started_at or (status.started_at if status.state == "Running" else None),
        backend=status.backend,
        pod=pod_ranks.name_of(pod),
        node=None if pod is None else pod.get("node"),
        printed=end.printed,
        displaced=end.displaced,
    )


def is_swept(job: HybridJob) -> bool:
    """Return whether the pods of the job's program are the points of a sweep."""
    return job.spec.program.num_indexes is not None


def outcome(view: View, whole: PointEnd | None) -> points.Outcome:
    """Return what follows the present attempt, which is over; ``whole`` as of ``points.conclude``."""
    return points.conclude(view.job, completed(view), failures(view), whole)


def _ran(view: View) -> list[int]:
    """Return the points of the present attempt, by the indexes of its batch Job."""
    return of_ranges(str((view.batch or {}).get("indexes") or ""))


def _reached(batch: Mapping[str, Any]) -> bool:
    return bool(batch.get("completedIndexes") or batch.get("failedIndexes"))


def _failed_pods(pods: Sequence[Pod]) -> dict[int, Pod]:
    """Return the pod of which each index failed: the last that did, of those that nobody else ended if there is one."""
    failed = [pod for pod in pods if pod.get("phase") != "Succeeded"]
    failed.sort(key=lambda pod: (not pod_ends.was_asked_to_end(pod), str(pod.get("startTime") or "")))
    return {int(pod["rank"]): pod for pod in failed}
