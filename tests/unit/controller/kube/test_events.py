"""Which events are written, and how many."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJobStatus
from qonverge.controller.jobs.status_events import happened
from qonverge.controller.kube.client import Kube
from qonverge.controller.kube.events import Events
from qonverge.execution.transitions import complete, duration, fail, move


class Server(Kube):
    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.created.append(obj)
        return obj


def named(name: str, namespace: str = "lab") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}"}
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": metadata}


async def test_a_flood_of_a_namespace_is_cut_and_others_are_not() -> None:
    server, now = Server(), [0.0]
    events = Events(server, lambda: now[0])
    for number in range(5000):
        now[0] = number / 100
        events.note(named(f"j-{number}"), "Completed", "completed on aer")
    events.note(named("k", "chem"), "Completed", "completed on aer")
    events.warn(named("j-0"), "PodLost", "attempt 1: lost")
    await events.flush()
    flood = [e for e in server.created if e["reason"] == "Completed" and e["metadata"]["namespace"] == "lab"]
    # In 50 s.
    assert len(flood) == pytest.approx(100, abs=1)
    assert [e["reason"] for e in server.created[-2:]] == ["Completed", "PodLost"]
    assert len({e["metadata"]["name"] for e in server.created}) == len(server.created)


def moved(status: HybridJobStatus, state: Any, message: str, **fields: Any) -> HybridJobStatus:
    return move(status, state, reason=state, message=message, now=0, generation=1, **fields)


def test_each_transition_is_told_once() -> None:
    new = HybridJobStatus()
    waits = moved(new, "Pending", "no backend is ready")
    assert happened(new, waits) is None
    placed = moved(waits, "Placed", "aer is best", attempts=1)
    assert happened(waits, placed) == ("Placed", "aer is best")
    assert happened(placed, move(placed, "Placed", reason="PodPending", message="m", now=1, generation=1)) is None
    running = moved(placed, "Running", "attempt 1", backend="aer")
    assert happened(placed, running) == ("Running", "attempt 1 on aer")
    assert happened(running, running.model_copy(update={"progress": "40%"})) is None
    assert happened(running, moved(running, "Running", "attempt 2", attempts=2)) == ("Running", "attempt 2 on aer")
    done = complete(running, now=9, generation=1, message="completed on aer")
    assert happened(running, done) == ("Completed", "completed on aer")
    assert happened(new, done) == ("Completed", "completed on aer")
    failed = fail(running, reason="PodLost", message="lost", now=9, generation=1)
    assert happened(running, failed) == ("PodLost", "lost")
    held = moved(running, "Suspended", "held")
    assert happened(running, held) == ("Suspended", "held")
    resumed = move(held, "Pending", reason="Resumed", message="the job was resumed", now=1, generation=2)
    assert happened(held, resumed) == ("Resumed", "the job was resumed")


@pytest.mark.parametrize(
    ("length", "shown"),
    [(-1, "0s"), (0.9, "0s"), (45, "45s"), (60, "1m"), (200, "3m20s"), (18600, "5h10m"), (7200, "2h")],
)
def test_a_duration_is_shown_as_kubectl_does(length: float, shown: str) -> None:
    assert duration(length) == shown


def test_a_job_that_ends_says_how_long_it_ran() -> None:
    running = moved(HybridJobStatus(), "Running", "attempt 1", started_at="1970-01-01T00:00:10Z")
    assert complete(running, now=15.2, generation=1, message="").duration == "5s"
    assert fail(running, reason="R", message="", now=75, generation=1).duration == "1m5s"
    assert fail(HybridJobStatus(), reason="R", message="", now=75, generation=1).duration is None
    at_once = complete(HybridJobStatus(), now=9, generation=1, message="", started_at="1970-01-01T00:00:08Z")
    assert at_once.duration == "1s"
