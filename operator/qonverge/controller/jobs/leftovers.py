"""What still runs of a job that has ended: an operator may be killed between writing that and ending it. Pure."""

from __future__ import annotations

from qonverge.controller.jobs.kinds.pod_conclusions import goes_on
from qonverge.controller.objects.object_names import batch_name
from qonverge.controller.store.resources import Finished
from qonverge.controller.store.state import State


def leftovers(state: State, key: str, finished: Finished) -> list[str]:
    """Return the names of the batch Jobs that go on for a job that has ended."""
    namespace, name = key.split("/", 1)
    # The last attempt, and one that was made and not recorded.
    # Whether its pods had numbers is not kept, which counts only where the name is long.
    names = {
        batch_name(name, finished.uid, attempt, pauses, indexed=indexed)
        for attempt, pauses in ((finished.attempts, finished.pauses), (finished.attempts + 1, 0))
        for indexed in (False, True)
    }
    found = {each: state.batch_jobs.get(f"{namespace}/{each}") for each in sorted(names)}
    return [each for each, batch in found.items() if batch is not None and goes_on(batch)]
