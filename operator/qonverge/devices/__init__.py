"""What is known of quantum devices: calibrations, snapshots of real ones, and how vendors write them. Pure."""

from qonverge.devices.calibration import Calibration, Gate, InvalidCalibration, Qubit

__all__ = ["Calibration", "Gate", "InvalidCalibration", "Qubit"]
