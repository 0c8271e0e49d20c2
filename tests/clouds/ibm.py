"""IBM Quantum as its provider has it, but for dev-cloud, whose list of jobs does not lag."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from qonverge.backend.clouds.ibm.cloud import IBMCloud
from qonverge.backend.clouds.ibm.descriptor import IBM
from qonverge.backend.clouds.protocol import Rates


class PromptCloud(IBMCloud):
    """Knows soon whether a job is there."""

    rates: ClassVar[Rates] = Rates(submit=20, read=50, batch=1)
    settle_seconds: ClassVar[float] = 0.5


PROMPT = replace(IBM, name="PromptIBM", cloud="tests.clouds.ibm:PromptCloud")
