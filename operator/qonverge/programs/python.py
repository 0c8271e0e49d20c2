"""Python programs: they run in pods of their own and call backends from there."""

from __future__ import annotations

import hashlib
import json

from qonverge.accounting.conversion import amounts_of
from qonverge.amounts import Amounts
from qonverge.api import HybridJob
from qonverge.api.base import ConfigMapKeyRef
from qonverge.api.job import Near, Python
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.forecast.requests import ForecastRequest
from qonverge.programs.source import Program
from qonverge.scheduling import Needs
from qonverge.wire.errors import BudgetExceeded, QuotaExceeded, ResultTooLarge
from qonverge.wire.faults import BACKEND_FAULTS

_LEFT = (ResultTooLarge.code, BudgetExceeded.code, QuotaExceeded.code, *BACKEND_FAULTS)


class PythonKind:
    """A Python program. What its circuits ask of a backend is not known before they are sent."""

    name = "python"
    calls_backends = True

    def embedded(self, job: HybridJob) -> str | None:
        """Return the program's text."""
        return specification(job).source

    def inline(self, job: HybridJob) -> Program | None:
        """Return the program's text."""
        return specification(job).source

    def reference(self, job: HybridJob) -> ConfigMapKeyRef | None:
        """Return the key that holds the text."""
        return specification(job).config_map_key_ref

    def contradiction(self, job: HybridJob) -> str | None:
        """Return None: the schema says all."""
        return None

    async def check(self, job: HybridJob, program: Program, checker: Checker) -> None:
        """See whether the program is a text; what it does is seen when it runs.

        Raises:
            InvalidProgram: it is not.
        """
        text(program)

    def summary(self, checked: CheckedCircuit | None) -> str:
        """Return nothing."""
        return ""

    def needs(self, job: HybridJob, checked: CheckedCircuit | None) -> Needs | None:
        """Return None: any backend may do."""
        return None

    def forecast_request(self, job: HybridJob, checked: CheckedCircuit | None) -> ForecastRequest | None:
        """Return None: nothing can be forecast."""
        return None

    def loop(self, job: HybridJob) -> str | None:
        """Return the digest of the namespace and of what is run; a ConfigMap stands for its text."""
        python = specification(job)
        reference = python.config_map_key_ref
        source = python.source if reference is None else [reference.name, reference.key]
        told = json.dumps([job.metadata.namespace, source, python.args, python.image])
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def near(self, job: HybridJob) -> Near | None:
        """Return where its pod runs; None where it may run anywhere."""
        return specification(job).near

    def promised(self, job: HybridJob) -> Amounts:
        """Return what the job used: what it may use more is granted part by part."""
        return amounts_of(job.status.usage)

    def observables(self, job: HybridJob) -> tuple[()]:
        """Return none: a program's result is what it makes of them."""
        return ()


def specification(job: HybridJob) -> Python:
    """Return what the job says of its program."""
    python = job.spec.program.python
    assert python is not None
    return python


def left_reason(words: str) -> tuple[str, str] | None:
    """Return the reason and the message that the client library left of a program that failed; None: it left none."""
    reason, separator, message = words.partition(": ")
    return (reason, message) if separator and reason in _LEFT else None


def text(program: Program) -> str:
    """Return a Python program's text.

    Raises:
        InvalidProgram: it is none.
    """
    if isinstance(program, bytes):
        raise InvalidProgram("the ConfigMap's key holds binary data", expected="a Python program as UTF-8 text")
    return program
