"""Sessions: a token for a backend, and nothing that runs, until the time is over or somebody ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qonverge.api import HybridJob, QuantumBackend
from qonverge.api.session import SessionStatus
from qonverge.controller.jobs.actions import Action, Requeue, SetStatus
from qonverge.controller.jobs.kinds.kind import JobKind, Tools
from qonverge.controller.jobs.kinds.pod_actions import Finish, Renew
from qonverge.controller.jobs.kinds.pod_decisions import leaves
from qonverge.controller.jobs.kinds.pod_program import PodProgram
from qonverge.controller.jobs.view import View
from qonverge.controller.objects import object_names, program_objects
from qonverge.controller.settings import Settings
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.program_slots import uses_backend
from qonverge.execution.transitions import seconds, timestamp
from qonverge.programs.session import specification


class SessionJobs(PodProgram):
    """Jobs that are sessions. They start, are metered and keep their tokens as programs do that have pods."""

    completes_when_cancelled = True

    def objects(
        self,
        job: HybridJob,
        backend: QuantumBackend,
        settings: Settings,
        *,
        attempt: int,
        tokens: Sequence[str],
        traceparent: str = "",
    ) -> list[dict[str, Any]]:
        """Return the token's Secret."""
        return [program_objects.program_secret(job, attempt, tokens, settings)]

    def attend(self, view: View, flight: Flight) -> list[Action] | None:
        """Look after a session that has its backend: begin it, keep its token good, and end it."""
        return attend(view, flight) if uses_backend(view.job) else None

    async def remove(self, job: HybridJob, tools: Tools) -> None:
        """Do nothing: its token is worth nothing any more, and its Secret goes with the job."""


def attend(view: View, flight: Flight) -> list[Action]:
    """Return what to do about a session whose token is there. Pure."""
    job, status = view.job, view.job.status
    session, placed = specification(job), status.session
    if (end := leaves(view, flight)) is not None:
        # Whoever is in it has looked at this backend: another one is another session.
        return [Finish(view.fail(end.reason, f"{end.message}: the session is over, begin another"), None)]
    begins = status.state == "Placed" or status.started_at is None
    started = view.now if begins else seconds(status.started_at or "")
    ends = started + session.seconds
    if not begins and job.spec.cancel:
        return [Finish(view.complete("the session was ended: spec.cancel is true"), None)]
    if not begins and view.now >= ends:
        return [Finish(view.complete(f"the session's time, {session.duration}, is over"), None)]
    renewal: Action = Renew() if view.now >= flight.renew_at else Requeue(flight.renew_at)
    actions = [renewal, Requeue(ends)]
    if begins or view.is_behind or placed is None:
        secret = object_names.attempt_name(job, status.attempts or 1)
        told = SessionStatus(
            secret=secret, service=object_names.service_of(object_names.audience_of(job)), ends_at=timestamp(ends)
        )
        message = f"until {told.ends_at}: the token is in the Secret {secret}"
        running = view.move("Running", "Running", message, started_at=timestamp(started), session=told)
        return [SetStatus(running), *actions]
    return actions


KIND: JobKind = SessionJobs()
