"""Python programs: they run in pods of their own and call backends from there."""

from __future__ import annotations

import json

from qonverge.api import HybridJob
from qonverge.api.base import ConfigMapKeyRef
from qonverge.api.program import Python
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.programs.pod import PodKind, loop_of
from qonverge.programs.source import Program
from qonverge.wire.errors import BudgetExceeded, QuotaExceeded, ResultTooLarge
from qonverge.wire.faults import BACKEND_FAULTS

_LEFT = (ResultTooLarge.code, BudgetExceeded.code, QuotaExceeded.code, *BACKEND_FAULTS)


class PythonKind(PodKind):
    """A Python program: a text, or a file in a repository, on a volume or in an artifact."""

    name = "python"

    def embedded(self, job: HybridJob) -> str | None:
        """Return the program's text."""
        return specification(job).source

    def inline(self, job: HybridJob) -> Program | None:
        """Return the program's text, or where it is as JSON: who runs it brings it."""
        python = specification(job)
        section = python.git or python.volume or python.artifact
        return python.source if section is None else json.dumps(section.model_dump(by_alias=True), sort_keys=True)

    def reference(self, job: HybridJob) -> ConfigMapKeyRef | None:
        """Return the key that holds the text."""
        return specification(job).config_map_key_ref

    async def check(self, job: HybridJob, program: Program, checker: Checker) -> None:
        """See whether the program is a text, and its parameters what they have to be.

        Raises:
            InvalidProgram: it is not, or they are not.
            CheckerLost: the process that checks does not start.
        """
        text(program)
        await super().check(job, program, checker)

    def loop(self, job: HybridJob) -> str | None:
        """Return the digest of the namespace and of what is run; a ConfigMap stands for its text."""
        python = specification(job)
        reference = python.config_map_key_ref
        source = self.inline(job) if reference is None else [reference.name, reference.key]
        return loop_of(job, source, python.args, python.image, *filter(None, [python.requirements]))

    def may_pause(self, job: HybridJob) -> bool:
        """Return whether the job says after how long."""
        return specification(job).pause_after_seconds is not None


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
