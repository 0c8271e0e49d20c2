"""What every kind of program says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from qonverge.amounts import Amounts
from qonverge.api import HybridJob
from qonverge.api.base import ConfigMapKeyRef
from qonverge.api.pod_program import Near
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.forecast.requests import ForecastRequest
from qonverge.programs.pod import PodRequest
from qonverge.programs.source import Program
from qonverge.scheduling import Needs


class ProgramKind(Protocol):
    """One field of ``spec.program``: how such a program is given and checked, and what it asks for.

    The same with and without a cluster. How it runs is a matter of ``controller.jobs.kinds`` and ``local.kinds``.
    ``checked`` is always what ``check`` returned, None before that.
    """

    @property
    def name(self) -> str:
        """The field."""

    @property
    def calls_backends(self) -> bool:
        """Whether it calls backends itself while it runs: it gets tokens for one, whose pods meter what it uses."""

    @property
    def numeric_parameters(self) -> bool:
        """Whether its parameters have to be numbers."""

    def given_parameters(self, job: HybridJob) -> dict[str, str]:
        """Return the names of the parameters that the job has values for, and for each where they are, for people."""

    def with_parameters(self, job: HybridJob, values: Mapping[str, Any]) -> HybridJob:
        """Return the job with further values of parameters."""

    def embedded(self, job: HybridJob) -> str | None:
        """Return what stands in the job itself and takes room there, None where it names a ConfigMap."""

    def inline(self, job: HybridJob) -> Program | None:
        """Return the program that stands in the job itself, None where it names a ConfigMap.

        Raises:
            InvalidProgram: it can't be decoded.
        """

    def reference(self, job: HybridJob) -> ConfigMapKeyRef | None:
        """Return the ConfigMap's key that holds the program, None where it stands in the job itself."""

    def contradiction(self, job: HybridJob) -> str | None:
        """Return what is wrong with the job as a whole that no schema can say, as a sentence; None for nothing."""

    async def check(self, job: HybridJob, program: Program, checker: Checker) -> CheckedCircuit | None:
        """Check the program before it runs, and return the circuit that it is; None where it is not one.

        Raises:
            InvalidProgram: it can never run.
            CheckerLost: the process that reads circuits does not start.
        """

    def summary(self, checked: CheckedCircuit | None) -> str:
        """Return what is worth saying of a program that is good; empty for nothing."""

    def needs(self, job: HybridJob, checked: CheckedCircuit | None) -> Needs | None:
        """Return what it asks of a backend, None where that is not known."""

    def forecast_request(self, job: HybridJob, checked: CheckedCircuit | None) -> ForecastRequest | None:
        """Return what is to be forecast of it, None where nothing can be."""

    def loop(self, job: HybridJob) -> str | None:
        """Return what tells the program from others whose number of tasks may be another; None: it calls no backend."""

    def near(self, job: HybridJob) -> Near | None:
        """Return where its pod runs; None where it may run anywhere, or has none."""

    def pod(self, job: HybridJob) -> PodRequest | None:
        """Return what it asks of its pod; None where it has none."""

    def may_pause(self, job: HybridJob) -> bool:
        """Return whether its program may give its pod back while it waits for a task."""

    def most_seconds(self, job: HybridJob) -> float | None:
        """Return how long it runs at most before it ends by itself, seconds; None: that is not given."""

    def most_shots(self, job: HybridJob) -> int | None:
        """Return how many shots it may have run in all; None: only quotas and budgets say."""

    def promised(self, job: HybridJob) -> Amounts:
        """Return what a job that is placed used and may use before it is heard of again, as far as its status tells."""

    def observables(self, job: HybridJob) -> Sequence[str | dict[str, float]]:
        """Return what the expectation values in its result are of, in their order."""
