"""Objects that the API server takes and this version cannot read: they say so themselves."""

from __future__ import annotations

from typing import Any

from qonverge.api import Condition
from qonverge.api.conditions import Progress, Verdict, set_conditions
from qonverge.api.registry import RESOURCES
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.store.resources import Unread

REASON = "InvalidSpec"


def status_of(unread: Unread, now: float) -> dict[str, Any] | None:
    """Return what to write into the object's status; None where it says so already. Pure."""
    status, generation = unread.status, int(unread.metadata.get("generation") or 0)
    before = [Condition.model_validate(each) for each in status.get("conditions") or []]
    after = set_conditions(
        before,
        ready=Verdict("False", REASON, unread.problem),
        progress=Progress("Stalled", REASON, unread.problem),
        now=now,
        generation=generation,
    )
    kinds = {each.type for each in after}
    if [each for each in before if each.type in kinds] == after and status.get("observedGeneration") == generation:
        return None
    body: dict[str, Any] = {"observedGeneration": generation, "conditions": [each.to_dict() for each in after]}
    if RESOURCES[unread.kind].ended:
        # A program of it that runs goes on.
        state = status.get("state", "Pending")
        body |= {"state": state, "reason": REASON, "message": unread.problem}
    return body


async def report(unread: Unread, statuses: StatusWriter, now: float) -> None:
    """Write into the object's status that it cannot be read, where it does not say so yet.

    Raises:
        KubeError: it could not be written.
    """
    if (body := status_of(unread, now)) is not None:
        metadata = unread.metadata
        version = str(metadata["resourceVersion"])
        await statuses.patch(unread.kind, metadata["namespace"], metadata["name"], body, version)
