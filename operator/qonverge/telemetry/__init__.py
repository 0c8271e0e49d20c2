"""Names of all metrics, in one place, and the objects that count them."""

from qonverge.telemetry.backend import BackendMetrics
from qonverge.telemetry.operator import OperatorMetrics

__all__ = ["BackendMetrics", "OperatorMetrics"]
