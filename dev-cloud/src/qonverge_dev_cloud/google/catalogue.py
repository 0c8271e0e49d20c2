"""The processors: those whose specification and calibration cirq-google publishes.

Apart from what imports it, since that takes seconds.
"""

from __future__ import annotations

PROCESSORS = ("willow_pink", "weber", "rainbow")
