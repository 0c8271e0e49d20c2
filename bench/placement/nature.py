"""How the world differs from what is known of it."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from bench.placement.fields import AS_FILES, FromZero, Positive


@dataclass(frozen=True, slots=True, config=AS_FILES)
class Nature:
    """How the world differs from what is known of it."""

    job_overhead: FromZero = 2.0
    """Seconds that a job takes besides its shots."""
    reset_seconds: FromZero = 250e-6
    """Between two shots."""
    speed_spread: FromZero = 0.25
    """Standard deviation of the logarithm of a device's speed."""
    run_noise: FromZero = 0.08
    """Of a run time's logarithm, from job to job."""
    drift: FromZero = 0.15
    """Of the logarithm of a device's errors, over long times."""
    drift_seconds: Positive = 4 * 3600.0
    """In which a drift forgets where it was."""
    calibrated_every: Positive = 3600.0
    """Seconds between a device's calibrations."""
    error_noise: FromZero = 0.05
    """Of the logarithm of errors, from job to job."""
    shift_at: float = float("inf")
    """When every third device changes at once, seconds."""
    shift_errors: float = 0.4
    """By how much the logarithm of its errors does,"""
    shift_speed: float = 0.4
    """and that of its run times."""
