"""What to do about programs that gave their pods back: wait for their tasks, and start them again. Pure."""

from __future__ import annotations

from qonverge.api.job_status import Paused
from qonverge.controller.jobs.actions import Action, Requeue, SetStatus
from qonverge.controller.jobs.kinds.pod_actions import LookForTasks, Restart
from qonverge.controller.jobs.view import View
from qonverge.controller.store.flights import Flight
from qonverge.execution.transitions import seconds

RESTARTING = "Restarting"
"""The reason of a job whose tasks have ended, until its next pod is there."""

# Tasks are asked for again after a part of the time that they took already, which is lost at most.
_SHARE = 0.05
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 15.0


def attend(view: View, flight: Flight, paused: Paused) -> list[Action]:
    """Wait for the tasks of a program that has no pod; the slot stays its own, since its tasks use the backend."""
    if flight.tasks_ended:
        status = view.job.status
        message = f"its tasks have ended: its pod starts again ({(status.pauses or 0) + 1})"
        again = view.move("Placed", RESTARTING, message, paused=None, pauses=(status.pauses or 0) + 1, pod=None)
        return [SetStatus(again), Requeue(view.now)]
    after = next_look(view.now - seconds(paused.since))
    if view.now < flight.tasks_sought_at + after:
        return [Requeue(flight.tasks_sought_at + after)]
    return [LookForTasks(tuple(paused.tasks)), Requeue(view.now + after)]


def restart(view: View) -> list[Action] | None:
    """Return how the next pod is made, where the program has ended its pause and has none yet; else None."""
    status = view.job.status
    waits = view.batch is None and status.state == "Placed" and status.reason == RESTARTING
    return [Restart(status.attempts or 1, status.pauses or 1)] if waits else None


def next_look(elapsed: float) -> float:
    """Return after how many seconds tasks are asked for again that are waited for since so many."""
    return min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, _SHARE * elapsed))
