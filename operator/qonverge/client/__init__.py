"""The library inside programs: quantum primitives on a backend, progress reports, the result.

Qiskit is imported when a primitive is used, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qonverge.client.errors import BudgetExceeded, ClientError, ResultTooLarge, SessionEnded, TaskFailed
from qonverge.client.program.inputs import inputs
from qonverge.client.program.parameters import parameters
from qonverge.client.program.ranks import communicator, rank, world_size
from qonverge.client.program.reports import report, result

if TYPE_CHECKING:
    from qonverge.client.program.steps import step
    from qonverge.client.qiskit.backend import QonvergeBackend
    from qonverge.client.qiskit.estimator import EstimatorV2
    from qonverge.client.qiskit.modes import Batch, Session
    from qonverge.client.qiskit.sampler import SamplerV2

__all__ = [
    "Batch",
    "BudgetExceeded",
    "ClientError",
    "EstimatorV2",
    "QonvergeBackend",
    "ResultTooLarge",
    "SamplerV2",
    "Session",
    "SessionEnded",
    "TaskFailed",
    "communicator",
    "inputs",
    "parameters",
    "rank",
    "report",
    "result",
    "step",
    "world_size",
]

_LAZY = {
    "Batch": "qonverge.client.qiskit.modes",
    "EstimatorV2": "qonverge.client.qiskit.estimator",
    "QonvergeBackend": "qonverge.client.qiskit.backend",
    "SamplerV2": "qonverge.client.qiskit.sampler",
    "Session": "qonverge.client.qiskit.modes",
    "step": "qonverge.client.program.steps",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(_LAZY[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs {error.name}: pip install "qonverge[client]"') from None
