"""Objects that the API server takes and this version cannot read: they say so themselves."""

from __future__ import annotations

from typing import Any

from qonverge.api import Condition
from qonverge.api.conditions import Verdict, set_condition
from qonverge.controller.kube.client import Kube, KubeError
from qonverge.controller.store.state import Unread

REASON = "InvalidSpec"
_KINDS = ("Ready", "Stalled")


def status_of(unread: Unread, now: float) -> dict[str, Any] | None:
    """Return what to write into the object's status; None where it says so already. Pure."""
    status, generation = unread.status, int(unread.metadata.get("generation") or 0)
    before = [c for c in status.get("conditions") or [] if c.get("type") in _KINDS]
    said = {c["type"]: (c.get("status"), c.get("reason"), c.get("message")) for c in before}
    verdicts = {"Ready": Verdict("False", REASON, unread.problem), "Stalled": Verdict("True", REASON, unread.problem)}
    if said == verdicts and status.get("observedGeneration") == generation:
        return None
    known = [Condition.model_validate(c) for c in before]
    after = [set_condition(known, *each, now=now, generation=generation) for each in verdicts.items()]
    body: dict[str, Any] = {"observedGeneration": generation, "conditions": [c.to_dict() for c in after]}
    if unread.kind == "HybridJob":
        # A program of it that runs goes on.
        state = status.get("state", "Pending")
        body |= {"state": state, "reason": REASON, "message": unread.problem}
    return body


async def report(unread: Unread, kube: Kube, now: float) -> None:
    """Write into the object's status that it cannot be read, where it does not say so yet.

    Raises:
        KubeError: it could not be written.
    """
    metadata = unread.metadata
    if (body := status_of(unread, now)) is None:
        return
    try:
        await kube.patch_status(
            unread.kind, metadata["namespace"], metadata["name"], body, str(metadata["resourceVersion"])
        )
    except KubeError as error:
        if error.status != 404:
            raise
