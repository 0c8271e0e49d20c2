"""Names of all metrics, in one place, and the objects that count them."""

from qonverge.telemetry.backend import BackendMetrics

__all__ = ["BackendMetrics"]
