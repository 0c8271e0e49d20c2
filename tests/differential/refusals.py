"""What the documentation says that engines and languages do not take."""

from __future__ import annotations

import re

_ANNOUNCED: tuple[tuple[str, str, str], ...] = (
    # Engines (an expression), what they say (an expression), and where that is announced.
    (
        "Stim",
        r"Stim runs (Clifford gates only|Pauli gates only under a condition|loops of fixed length)",
        "engines: Stim",
    ),
    ("Stim", r"Stim .* condition", "engines: Stim"),
    ("Aer/Stabilizer", r"(stabilizer|Stabilizer|Clifford)", "methods: Stabilizer runs Clifford circuits"),
    (".*", r"has no exact (expectation )?values|no exact values here|no single final state", "jobs: exact values"),
    (
        ".*",
        r"Unschedulable: .*(no gates beyond Clifford|no conditions and loops)",
        "errors: why a backend was rejected",
    ),
    (".*", r"a loop that is unfolded has both break and continue in branches", "OpenQASM 3: control flow"),
)


def announced(message: str, engine: str) -> str | None:
    """Return where a refusal is announced; None for one that is not."""
    for engines, pattern, where in _ANNOUNCED:
        if re.match(engines, engine) and re.search(pattern, message):
            return where
    return None
