"""Tasks of circuit jobs on pods that nobody waits for; those of programs end with the program's account.

A job may be deleted while no operator runs, and a pod that was abandoned may live on. What such a task takes is taken
from others, so it is cancelled. A task that a former operator started for a job that still wants it is kept, and found
again by its id.
"""

from __future__ import annotations

from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.pods import BackendPod, Endpoint
from qonverge.controller.store.state import State
from qonverge.execution import cloud_tasks
from qonverge.wire.messages import TaskInfo
from qonverge.wire.tokens import OPERATOR_SUBJECT


async def cancel_orphans(state: State, data: DataPlane, pod: BackendPod, audience: str) -> None:
    """Cancel the orphans on a pod that serves, and record which of the jobs' tasks it has.

    Raises:
        WireError: the pod does not answer, or refuses.
    """
    endpoint = pod.endpoint
    tasks = await data.tasks(endpoint, audience)
    wanted = {task.id for task in tasks if is_wanted(state, task, endpoint)}
    state.pods.hold(pod, wanted)
    for task in tasks:
        if task.id not in wanted:
            await data.cancel(endpoint, audience, task.id)


def is_wanted(state: State, task: TaskInfo, endpoint: Endpoint) -> bool:
    """Return whether somebody waits for the task, or will."""
    if task.subject != OPERATOR_SUBJECT:
        return True
    uid, generation, _ = task.id.rsplit("-", 2)
    job = next((job for job in state.jobs.values() if job.metadata.uid == uid), None)
    if job is None or job.spec.suspend:
        return False
    if any(each.task == task.id for each in cloud_tasks.under_way(job)):
        # It costs money: its id is recorded, and whoever goes on with the job asks for it here.
        return True
    if str(job.metadata.generation) != generation:
        return False
    flight = state.flights.get(f"{job.metadata.namespace}/{job.metadata.name}")
    if flight is None or flight.running is None:
        return True
    return any(sent.identity == task.id and sent.endpoint.pod == endpoint.pod for sent in flight.sent)
