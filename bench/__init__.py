"""Measurements: what the operator and a backend server cost, beside the least that the same work could cost."""
