"""Sessions without a cluster: there are none."""

from __future__ import annotations

from qonverge.local.kinds.kind import LocalKind, PlacedJob

_NO_SESSION = (
    "a session is a person's access to a backend of a cluster: without one, programs and notebooks on this machine run "
    "on the simulator in their own process when no QONVERGE_BACKEND_URL is set"
)


class LocalSessions:
    """A session has nothing to run, and a backend in this process ends with it."""

    async def run(self, placed: PlacedJob) -> None:
        """Say what to do instead."""
        placed.run.fail("CannotStart", _NO_SESSION)


KIND: LocalKind = LocalSessions()
