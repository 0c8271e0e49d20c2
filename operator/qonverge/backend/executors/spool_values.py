"""Tasks and their ends as values that a spool's files hold. Pure."""

from __future__ import annotations

from typing import Any

from qonverge.backend.executors.protocol import Outcome, Request, RunFacts
from qonverge.wire.errors import WireError
from qonverge.wire.messages import PubResult, Task
from qonverge.wire.tokens import Caller
from qonverge.wire.vendor import VendorTask


def request_value(request: Request, order: int) -> dict[str, Any]:
    """Return a task with who sent it; ``order`` is its place among others."""
    caller = request.caller
    return {
        "order": order,
        "task": request.task.to_dict(),
        "seed": request.seed,
        "caller": [caller.subject, caller.account, caller.attempt],
    }


def request_of(value: dict[str, Any]) -> tuple[int, Request]:
    """Return the place and the task that ``request_value`` described.

    Raises:
        KeyError, TypeError, ValueError, WireError: it describes none.
    """
    return int(value["order"]), Request(Task.from_dict(value["task"]), int(value["seed"]), Caller(*value["caller"]))


def end_value(outcome: Outcome, error: WireError | None) -> dict[str, Any]:
    """Return how a task ended."""
    run = outcome.run
    return {
        "results": [result.to_dict() for result in outcome.results],
        "error": None if error is None else error.to_dict(),
        "calibration": outcome.calibration,
        "peak_bytes": outcome.peak_bytes,
        "vendor_tasks": [task.to_dict() for task in outcome.vendor_tasks],
        "run": None if run is None else [run.engine, run.seed, run.run_seconds, run.cached],
    }


def end_of(value: dict[str, Any]) -> tuple[Outcome, WireError | None]:
    """Return the end that ``end_value`` described.

    Raises:
        KeyError, TypeError, ValueError: it describes none.
    """
    outcome = Outcome(
        tuple(PubResult.from_dict(result) for result in value["results"]),
        value["calibration"],
        value["peak_bytes"],
        tuple(VendorTask.from_dict(task) for task in value["vendor_tasks"]),
        None if value["run"] is None else RunFacts(*value["run"]),
    )
    return outcome, None if value["error"] is None else WireError.from_dict(value["error"])
