"""What is said of a job that waits, of whatever kind. Pure."""

from __future__ import annotations

from typing import Any

from qonverge.controller.jobs.actions import Action, RequestPlacement, Requeue, SetStatus, Stop
from qonverge.controller.jobs.status_events import same_but_for_numbers
from qonverge.controller.jobs.view import View
from qonverge.controller.store.flights import Flight

SEEN_SECONDS = 2.0
"""A person sees a job wait or run only when it takes longer than this; before, its end is its one write."""
NEWS_SECONDS = 30.0
"""A message that changes all the time is written again after this."""
_BEHIND = (
    "more jobs wait than are planned at a time: it is planned after those of its namespace that came before it, and "
    "namespaces take turns"
)


def unplaced(view: View, flight: Flight) -> list[Action]:
    """Ask for a place, or say why there is none."""
    decision, ask = flight.proposal, [] if flight.awaiting_placement else [RequestPlacement()]
    if decision is None:
        return [*ask, *(say_waiting(view, "Queued", _BEHIND) if flight.behind else [])]
    if decision.impossible:
        reason = decision.reason + (f"; {decision.remedy}" if decision.remedy else "")
        name = "BudgetExceeded" if decision.over_budget else "Unschedulable"
        return [SetStatus(view.fail(name, reason, forecast=list(flight.forecast) or None)), Stop()]
    why = "WaitingForSlot" if decision.slot_place else "Queued" if decision.planned else "Unschedulable"
    return [*ask, *say_waiting(view, why, decision.reason)]


def say_waiting(view: View, reason: str, message: str) -> list[Action]:
    """Say why the job waits, where that is news."""
    status, flight, generation = view.job.status, view.flight, view.job.metadata.generation
    before = (status.state, status.reason, status.observed_generation)
    if (*before, status.message) == ("Pending", reason, generation, message):
        return []
    if before == ("Pending", reason, generation) and same_but_for_numbers(status.message or "", message):
        # Forecasts move all the time: that is worth a write now and then.
        again = (flight.written_at if flight is not None else 0.0) + NEWS_SECONDS
        if view.now < again:
            return [Requeue(again)]
    if view.now < view.created + SEEN_SECONDS and status.state == "Pending":
        return [Requeue(view.created + SEEN_SECONDS)]
    fields: dict[str, Any] = {}
    if flight is not None and (flight.attempts or flight.placed_at is not None):
        # What a pod handed back is none, also for an operator that follows.
        fields["attempts"] = flight.attempts
    if flight is not None and flight.forecast:
        fields["forecast"] = list(flight.forecast)
    return [SetStatus(view.move("Pending", reason, message, **fields))]
