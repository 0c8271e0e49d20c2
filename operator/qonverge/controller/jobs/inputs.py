"""Takes what a job needs from the results of those that it depends on, once they are complete."""

from __future__ import annotations

from dataclasses import dataclass

from qonverge.controller.jobs.actions import Action, Requeue, SetStatus
from qonverge.controller.jobs.dependencies import wait
from qonverge.controller.jobs.view import View
from qonverge.controller.results.dependency_results import DependencyLost, DependencyResults
from qonverge.execution.dependencies import InvalidInput
from qonverge.storage.objects import NoObject, StoreFailed
from qonverge.wire.errors import NotFound, WireError

_AGAIN_SECONDS = 5.0
_STALE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """Records what a job takes in its status, so that it is taken once."""

    results: DependencyResults

    async def take(self, view: View) -> list[Action]:
        """Return what to do then.

        Raises:
            KubeError: the API server does not answer.
        """
        try:
            taken = await self.results.taken(view.job)
        except InvalidInput as error:
            return [SetStatus(view.fail("InvalidInput", str(error)))]
        except (DependencyLost, NoObject, NotFound) as error:
            return [SetStatus(view.fail("DependencyFailed", str(error)))]
        except (StoreFailed, WireError) as error:
            message = f"a result that this job takes parameters from cannot be read now: {error}"
            return [*wait(view, message), Requeue(view.now + _AGAIN_SECONDS)]
        if taken is None:
            # One is another by now than what the watch showed.
            return [Requeue(view.now + _STALE_SECONDS)]
        names = ", ".join(each.name for each in taken)
        status = view.move("Pending", "DependenciesComplete", f"complete: {names}", dependencies=taken)
        return [SetStatus(status), Requeue(view.now)]
