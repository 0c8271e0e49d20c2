"""What goes wrong with backend pods, told apart by what may have become of a task."""

from __future__ import annotations

from qonverge.wire.errors import WireError, WorkerLost


class PodLost(WorkerLost):
    """The pod does not answer any more."""

    code = "PodLost"


class PodSilent(PodLost):
    """The pod does not answer. It may have what was sent, and go on with it."""


class PodUnreachable(PodLost):
    """The pod has not answered for as long as the job allows."""

    code = "PodUnreachable"


class PodNotReached(PodLost):
    """No connection to the pod came about, or it has not proven itself: nothing was sent."""


class PodRefused(PodNotReached):
    """Nothing listens at the pod's address: its server has ended, and with it what it had."""


class BackendLost(WireError):
    """The backend that has the task was deleted: nobody can ask for it any more."""

    code = "BackendLost"
