"""What is known of quantum devices: calibrations, snapshots of real ones, and how vendors write them. Pure."""

from qonverge.devices.calibration import Calibration, Gate, InvalidCalibration, Qubit
from qonverge.devices.layout import Layout
from qonverge.devices.rates import Rates

__all__ = ["Calibration", "Gate", "InvalidCalibration", "Layout", "Qubit", "Rates"]
