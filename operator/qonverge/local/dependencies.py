"""Jobs that depend on each other, without a cluster: their order, and what one takes from those before it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.execution.dependencies import in_order, input_of, problem, taken_from, with_inputs
from qonverge.execution.results import document
from qonverge.local.manifests import ManifestError, Manifests


class DependencyFailed(Exception):
    """A job that another depends on did not complete; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Supplied:
    """A job with what it takes from others."""

    job: HybridJob
    """With the parameters that it got."""
    results: Mapping[str, bytes]
    """The results of all that it depends on, as JSON, by their names."""


def ordered(manifests: Manifests) -> list[HybridJob]:
    """Return the jobs in an order in which each comes after those that it depends on.

    Raises:
        ManifestError: one of these is not among the files, or they depend on each other in a circle.
    """
    check(manifests)
    known = {(job.metadata.namespace, job.metadata.name) for job in manifests.jobs}
    missing = [
        f"{_place(manifests, job)}: spec.dependsOn: there is no HybridJob {each.name} in namespace "
        f"{job.metadata.namespace} among the files given"
        for job in manifests.jobs
        for each in job.spec.depends_on
        if (job.metadata.namespace, each.name) not in known
    ]
    if missing:
        raise ManifestError(missing)
    return in_order(manifests.jobs)


def check(manifests: Manifests) -> None:
    """Refuse what no job can take from others; these may be in other files.

    Raises:
        ManifestError: with what is wrong.
    """
    found = ((job, problem(job)) for job in manifests.jobs)
    if problems := [f"{_place(manifests, job)}: {wrong}" for job, wrong in found if wrong is not None]:
        raise ManifestError(problems)
    try:
        in_order(manifests.jobs)
    except ValueError as error:
        raise ManifestError([f"spec.dependsOn: {error}"]) from None


def supplied(job: HybridJob, ended: Mapping[str, HybridJob]) -> Supplied:
    """Return a job with what it takes from others.

    Args:
        job: the job.
        ended: those that ran before it, by namespace and name.

    Raises:
        DependencyFailed: one of them did not complete.
        InvalidInput: a result does not have what the job takes from it.
    """
    results, found = {}, {}
    for each in job.spec.depends_on:
        other = ended[f"{job.metadata.namespace}/{each.name}"]
        if other.status.state != "Complete":
            why = f" with {other.status.reason}" if other.status.state == "Failed" else ""
            raise DependencyFailed(f"{each.name} is {other.status.state}{why}, and this job depends on it")
        results[each.name] = document(other.status.result or Result())
        found[each.name] = (None, input_of(results[each.name]))
    if not results:
        return Supplied(job, results)
    status = job.status.model_copy(update={"dependencies": taken_from(job, found)})
    return Supplied(with_inputs(job.model_copy(update={"status": status})), results)


def _place(manifests: Manifests, job: HybridJob) -> str:
    return manifests.places["HybridJob", job.metadata.namespace, job.metadata.name]
