"""Names of all metrics, in one place, and the objects that count them."""

from qonverge.telemetry.backend import BackendMetrics
from qonverge.telemetry.exposition import Reading
from qonverge.telemetry.operator import JobEnd, OperatorMetrics
from qonverge.telemetry.program import ProgramMetrics

__all__ = ["BackendMetrics", "JobEnd", "OperatorMetrics", "ProgramMetrics", "Reading"]
