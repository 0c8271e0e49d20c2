"""Circuits on devices."""
