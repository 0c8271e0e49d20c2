"""What kinds of program have in common that run in a pod of their own and call backends from there. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from qonverge.accounting.conversion import amounts_of
from qonverge.amounts import Amounts
from qonverge.api import HybridJob
from qonverge.api.backend import ResourceRequirements
from qonverge.api.pod_program import Near, ProgramTemplate
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.forecast.requests import ForecastRequest
from qonverge.programs import sweep as sweeps
from qonverge.programs.parameters import awaited, names_of, parameters_of, too_large, unknown, with_program
from qonverge.programs.source import Program
from qonverge.scheduling import Needs


class PodRequest(Protocol):
    """What a job says of its program's pod: the section of each such kind."""

    @property
    def image(self) -> str | None:
        """The container's image; None: the one that came with the operator."""

    @property
    def arguments(self) -> Mapping[str, Sequence[str]]:
        """Words of its command line, by the field that has them."""

    @property
    def requirements(self) -> Sequence[str]:
        """Packages that are installed for it."""

    @property
    def uses(self) -> Mapping[str, tuple[str, str]]:
        """Objects that it uses beside those of `template`: what they are and their name, by the field that has it."""

    @property
    def resources(self) -> ResourceRequirements:
        """CPU, memory and GPUs."""

    @property
    def near(self) -> Near | None:
        """On which nodes it runs; None: any."""

    @property
    def template(self) -> ProgramTemplate:
        """What else it gets."""


class PodKind:
    """A kind of program that runs in a pod. What its circuits ask of a backend is not known before they are sent."""

    name: str
    """The field of ``spec.program``."""
    calls_backends = True
    numeric_parameters = False

    def given_parameters(self, job: HybridJob) -> dict[str, str]:
        """Return those of the program."""
        program = job.spec.program
        swept = {} if program.sweep is None else dict.fromkeys(program.sweep.names, "the sweep")
        return {**dict.fromkeys(program.parameters, "the job itself"), **swept}

    def with_parameters(self, job: HybridJob, values: Mapping[str, Any]) -> HybridJob:
        """Return the job with further values of its program's parameters."""
        return with_program(job, parameters={**job.spec.program.parameters, **values})

    def pod(self, job: HybridJob) -> PodRequest:
        """Return what it asks of its pod."""
        section: PodRequest = getattr(job.spec.program, self.name)
        return section

    def contradiction(self, job: HybridJob) -> str | None:
        """Return which volume or parameter is named and not there, or what is too large; None for nothing."""
        if (problem := _sweep_problem(job)) is not None:
            return problem
        if (large := too_large(job)) is not None:
            return large
        parameters = names_of(job)
        for field, words in self.pod(job).arguments.items():
            if (missing := unknown(words, parameters)) is not None:
                index, name = missing
                there = f"there are {', '.join(parameters)}" if parameters else "there are none"
                return f"spec.program.{self.name}.{field}[{index}]: there is no parameter {name}; {there}"
        template = self.pod(job).template
        names = [volume.name for volume in template.volumes]
        for index, mount in enumerate(template.volume_mounts):
            if mount.name not in names:
                field = f"spec.program.{self.name}.template.volumeMounts[{index}].name"
                there = f"volumes has {', '.join(names)}" if names else "volumes has none"
                return f"{field}: there is no volume {mount.name}; {there}"
        return None

    async def check(self, job: HybridJob, program: Program, checker: Checker) -> None:
        """Hold the parameters against their schema; what the program does is seen when it runs.

        Raises:
            InvalidProgram: they do not meet it.
            CheckerLost: the process that checks does not start.
        """
        if (schema := job.spec.program.parameter_schema) is None or awaited(job):
            return
        known, sweep = parameters_of(job), job.spec.program.sweep
        for point in [{}] if sweep is None else map(sweep.point, range(sweep.num_points)):
            await checker.check_parameters({**known, **point}, schema, namespace=job.metadata.namespace)

    def summary(self, checked: CheckedCircuit | None) -> str:
        """Return nothing."""
        return ""

    def needs(self, job: HybridJob, checked: CheckedCircuit | None) -> Needs | None:
        """Return None: any backend may do."""
        return None

    def forecast_request(self, job: HybridJob, checked: CheckedCircuit | None) -> ForecastRequest | None:
        """Return None: nothing can be forecast."""
        return None

    def may_pause(self, job: HybridJob) -> bool:
        """Return False: a program that knows no steps waits in its pod."""
        return False

    def near(self, job: HybridJob) -> Near | None:
        """Return where its pod runs; None where it may run anywhere."""
        return self.pod(job).near

    def promised(self, job: HybridJob) -> Amounts:
        """Return what the job used: what it may use more is granted part by part."""
        return amounts_of(job.status.usage)

    def observables(self, job: HybridJob) -> tuple[()]:
        """Return none: a program's result is what it makes of them."""
        return ()


def _sweep_problem(job: HybridJob) -> str | None:
    program = job.spec.program
    if program.sweep is None:
        return None
    if both := sorted(program.sweep.parameters.keys() & program.parameters):
        return (
            f"spec.program: {', '.join(both)} is in parameters and in sweep.parameters: give each parameter in one of "
            "them"
        )
    return sweeps.problem_of_program(program.sweep)


def loop_of(job: HybridJob, *what: Any) -> str:
    """Return the digest of the namespace, of what is run and of its parameters."""
    program = job.spec.program
    sweep = None if program.sweep is None else program.sweep.as_given()
    told = [job.metadata.namespace, *what, *filter(None, [program.parameters, sweep])]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
