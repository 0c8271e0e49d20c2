"""Sessions: no program, but the access to a backend that one would have, for a person outside of the cluster."""

from __future__ import annotations

from qonverge.api import HybridJob
from qonverge.api.retries import RetryPolicy
from qonverge.api.session import Session
from qonverge.circuits.checker.checker import Checker
from qonverge.programs.pod import BackendCaller
from qonverge.programs.source import Program


class SessionKind(BackendCaller):
    """A session, of which nothing is known but how long it takes."""

    name = "session"

    def embedded(self, job: HybridJob) -> None:
        """Return None: there is nothing to run."""

    def inline(self, job: HybridJob) -> Program:
        """Return what there is of it, as JSON."""
        return specification(job).model_dump_json(by_alias=True)

    def reference(self, job: HybridJob) -> None:
        """Return None: no ConfigMap has anything of it."""

    def contradiction(self, job: HybridJob) -> str | None:
        """Return what is given that only something that runs has a use for; None for nothing."""
        spec, program = job.spec, job.spec.program
        given = {
            "spec.shots": spec.shots is not None,
            "spec.precision": spec.precision is not None,
            "spec.seed": spec.seed is not None,
            "spec.queueName": spec.queue_name is not None,
            "spec.retryPolicy": spec.retry_policy != RetryPolicy(),
            "spec.output.store": spec.output.store is not None,
            "spec.program.parameters": bool(program.parameters),
            "spec.program.parameterSchema": program.parameter_schema is not None,
        }
        useless = [name for name, is_given in given.items() if is_given]
        if not useless:
            return None
        return f"{', '.join(useless)}: leave it out, since a session runs no program: what calls the backend says it"

    async def check(self, job: HybridJob, program: Program, checker: Checker) -> None:
        """Return None: there is nothing to check."""

    def loop(self, job: HybridJob) -> None:
        """Return None: what one person does in a session says nothing of the next."""

    def near(self, job: HybridJob) -> None:
        """Return None: it has no pod."""

    def pod(self, job: HybridJob) -> None:
        """Return None: it has no pod."""

    def most_seconds(self, job: HybridJob) -> float:
        """Return how long it takes, seconds."""
        return specification(job).seconds

    def most_shots(self, job: HybridJob) -> int | None:
        """Return how many shots may be run in it."""
        return specification(job).max_shots


def specification(job: HybridJob) -> Session:
    """Return what the job says of its session."""
    session = job.spec.program.session
    assert session is not None
    return session
