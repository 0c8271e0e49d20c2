"""Which jobs depend on which others, and what is known of these. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from qonverge.api import HybridJob
from qonverge.api.dependencies import Dependency
from qonverge.controller.store.resources import Change, Finished
from qonverge.controller.store.state import State
from qonverge.execution.dependencies import cycle_through, keys_of, released


class Dependents:
    """Kept up to date by what is seen of jobs."""

    def __init__(self) -> None:
        """Know of no job."""
        self._of = defaultdict[str, set[str]](set)
        self._on = dict[str, list[str]]()

    def observe(self, change: Change) -> None:
        """Take what was seen of a job."""
        for other in self._on.pop(change.key, ()):
            self._of[other].discard(change.key)
            if not self._of[other]:
                del self._of[other]
        if isinstance(change.after, HybridJob) and (others := keys_of(change.after)):
            self._on[change.key] = others
            for other in others:
                self._of[other].add(change.key)

    def of(self, key: str) -> frozenset[str]:
        """Return the unfinished jobs that depend on a job, by their keys."""
        return frozenset(self._of.get(key, ()))

    def concerned(self, change: Change) -> Iterable[str]:
        """Return which other jobs are to be looked at after a change of one.

        Those that depend on it; and once it has ended those on which it depended, which may be kept for it.
        """
        yield from self.of(change.key)
        if isinstance(change.after, HybridJob):
            return
        if isinstance(change.before, HybridJob):
            yield from keys_of(change.before)
        elif isinstance(change.after, Finished):
            namespace = change.key.split("/", 1)[0]
            yield from (f"{namespace}/{each['name']}" for each in change.obj["spec"].get("dependsOn") or ())


@dataclass(frozen=True, slots=True)
class SeenDependency:
    """What is known of one of them."""

    name: str
    uid: str | None = None
    """None: there is no such job."""
    state: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is known of the jobs that a job waits for."""

    seen: tuple[SeenDependency, ...]
    """In the order of ``spec.dependsOn``."""
    cycle: tuple[str, ...] = ()
    """The keys of jobs that wait for each other in a circle, if the job is one of them: the first is also the last."""


def awaited(job: HybridJob, state: State) -> Awaited:
    """Return what is known of the jobs that a job waits for."""

    def waits_for(key: str) -> list[str]:
        other = state.jobs.get(key)
        return [] if other is None or released(other) else keys_of(other)

    key = f"{job.metadata.namespace}/{job.metadata.name}"
    return Awaited(
        tuple(_seen(each, key, state) for each, key in zip(job.spec.depends_on, keys_of(job), strict=True)),
        tuple(cycle_through(key, waits_for) or ()),
    )


def _seen(dependency: Dependency, key: str, state: State) -> SeenDependency:
    name = dependency.name
    if (job := state.jobs.get(key)) is not None:
        return SeenDependency(name, job.metadata.uid, job.status.state, job.status.reason or "")
    if (finished := state.finished.get(key)) is not None:
        return SeenDependency(name, finished.uid, finished.state, finished.reason)
    if (unread := state.unread.get(f"HybridJob {key}")) is not None:
        return SeenDependency(name, unread.metadata["uid"], unread.status.get("state", "Pending"))
    return SeenDependency(name)
