"""PennyLane's device ``qonverge.remote``."""

from qonverge.client.pennylane.device import RemoteDevice

__all__ = ["RemoteDevice"]
