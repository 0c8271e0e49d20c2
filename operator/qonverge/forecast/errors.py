"""Errors of forecasts."""

from __future__ import annotations


class ForecastError(Exception):
    """A forecast cannot be made; the message says why."""


class DoesNotFit(ForecastError):
    """The circuit cannot run on the device."""
