"""What a job gives its program to work with."""

from __future__ import annotations

import json
import os
from typing import Any


def parameters() -> dict[str, Any]:
    """Return the job's ``spec.program.parameters``, with the defaults of their schema; none outside of a job.

    With ``spec.program.sweep`` they have the values of the point at which the program runs.
    """
    found: dict[str, Any] = json.loads(os.environ.get("QONVERGE_PARAMETERS") or "{}")
    return found
