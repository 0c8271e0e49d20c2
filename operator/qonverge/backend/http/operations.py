"""The protocol's routes. What they take and give is in ``openapi``, which a server loads when it is asked for that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """A route: the name of the server's method that answers it, and what it takes and gives."""

    handler: str
    method: str
    path: str
    summary: str
    answer: str = ""
    """Name of the model in ``openapi``; empty: plain text."""
    request: str = ""
    """Name of the model in ``openapi``; empty: nothing."""
    statuses: tuple[int, ...] = (200,)
    waits: bool = False
    shortens: bool = False
    """Whether the calibration can be left out."""
    proves: bool = False
    """Whether it answers a challenge."""
    keeps: bool = False
    """Whether it takes bytes that are only kept."""
    guarded: bool = True
    """Whether a token is asked for."""


OPERATIONS = (
    Operation("post", "POST", "/v1/tasks", "Send a task", "TaskAnswer", "TaskRequest", (200, 202), waits=True),
    Operation("list", "GET", "/v1/tasks", "List the caller's tasks that wait or run", "TaskList"),
    Operation("get", "GET", "/v1/tasks/{identity}", "Say how a task stands", "TaskAnswer", "", (200, 202), waits=True),
    Operation("delete", "DELETE", "/v1/tasks/{identity}", "End a task", "TaskAnswer"),
    Operation(
        *("delivered", "DELETE", "/v1/tasks/{identity}/result", "Drop the result of a task: the caller has it"),
        "DeliveredAnswer",
    ),
    Operation("backend", "GET", "/v1/backend", "Say what the backend is, and how busy", "BackendAnswer", shortens=True),
    Operation(
        *("drain", "PUT", "/v1/drain", "Take no new tasks, or take them again: the operator's"),
        *("BackendAnswer", "DrainRequest"),
        shortens=True,
    ),
    Operation(
        *("peers", "PUT", "/v1/peers", "Measure the links to these servers: the operator's"),
        *("BackendAnswer", "PeersRequest"),
        shortens=True,
    ),
    Operation(
        *("meters", "POST", "/v1/meters", "Grant what jobs may use, and say what they used: the operator's"),
        *("MetersAnswer", "MetersRequest"),
    ),
    Operation(
        *("end_run", "DELETE", "/v1/runs/{identity}", "End all tasks of an attempt at a program: the operator's"),
        "RunAnswer",
    ),
    Operation("kept", "GET", "/v1/results", "List the results that are kept: the operator's", "KeptAnswer"),
    Operation("keep", "PUT", "/v1/results/{identity}", "Keep a result: the operator's", "KeptAnswer", keeps=True),
    Operation("fetch", "GET", "/v1/results/{identity}", "Give a kept result: the operator's"),
    Operation("forget", "DELETE", "/v1/results/{identity}", "Drop a kept result: the operator's", "KeptAnswer"),
    Operation(
        *("identity", "GET", "/v1/identity", "Prove to the operator which pod this is", "IdentityAnswer"),
        proves=True,
        guarded=False,
    ),
    Operation(
        *("bulk", "GET", "/v1/bulk", "Give 256 KiB without meaning, by which pods measure links"),
        statuses=(200, 404),
        guarded=False,
    ),
    Operation("healthz", "GET", "/healthz", "Say that the server lives", guarded=False),
    Operation("readyz", "GET", "/readyz", "Say whether it takes tasks", statuses=(200, 503), guarded=False),
    Operation("metrics", "GET", "/metrics", "Give metrics in Prometheus' text format", guarded=False),
    Operation("openapi", "GET", "/openapi.json", "Give this description", guarded=False),
)
