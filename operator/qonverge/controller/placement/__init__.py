"""Rounds of placement, and the forecasts that they go by."""
