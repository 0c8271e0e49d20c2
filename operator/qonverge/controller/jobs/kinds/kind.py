"""What the operator needs to know of a kind of program to run its jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.jobs.actions import Action
from qonverge.controller.jobs.submissions import Submissions
from qonverge.controller.jobs.view import View
from qonverge.controller.kube.client import Kube
from qonverge.controller.kube.events import Events
from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.quotas.metering import Metering
from qonverge.controller.results.point_results import PointResults
from qonverge.controller.settings import Settings
from qonverge.controller.store.flights import Flight
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue


@dataclass(frozen=True, slots=True)
class Tools:
    """What actions are carried out with."""

    state: State
    kube: Kube
    queue: WorkQueue
    data: DataPlane
    submissions: Submissions
    metering: Metering
    learn_loop: Callable[[HybridJob, int, str, float], None]
    """Takes how often a program that completed waited for a backend, by its key, and for how long it held its slot."""
    key: SigningKey
    events: Events
    settings: Settings
    clock: Callable[[], float]
    """Gives Unix seconds."""
    points: PointResults
    """Puts together what the points of a sweep left in their job's store."""
    write: Callable[[str, HybridJob, HybridJobStatus], Awaitable[None]]
    """Writes a job's status."""
    stop: Callable[[str], None]
    """Ends what this process does for a job, and forgets it."""
    replan: Callable[[str, Flight], None]
    """Asks for another place: what was planned is gone."""


class JobKind(Protocol):
    """Jobs of one kind of program: what to do next about them, which is pure, and how it is done."""

    @property
    def follows_changes(self) -> bool:
        """Whether the work on a job goes on when its specification changes, rather than beginning again."""

    def attend(self, view: View, flight: Flight) -> list[Action] | None:
        """Return what to do about an attempt that stands in the cluster, None where there is none.

        It lives longer than an operator, and no matter whether its program can still be read.
        """

    def advance(self, view: View, flight: Flight) -> list[Action]:
        """Return what is next for a job whose program was read and found good, up to its end."""

    def expire(self, view: View, status: HybridJobStatus) -> list[Action]:
        """Return what ends a job whose time is over, or that was cancelled, with the status that says so."""

    async def perform(self, action: Action, key: str, job: HybridJob, tools: Tools) -> None:
        """Carry out an action that only this kind has.

        Raises:
            KubeError: the API server did not do its part; the job is looked at again.
        """

    async def remove(self, job: HybridJob, tools: Tools) -> None:
        """End what stands in the cluster for the job.

        Raises:
            KubeError: it could not be ended.
        """
