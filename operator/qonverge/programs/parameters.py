"""A program's parameters: how they reach it, and what they have to be. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from qonverge.api import HybridJob
from qonverge.documents.json_schema import with_defaults

MOST_BYTES = 65_536
"""Of parameters and of their schema, as JSON: a variable of the environment holds twice as much."""
_REFERENCE = re.compile(r"(\$\$)|\$\(parameters\.([^()]+)\)")


def parameters_of(job: HybridJob) -> dict[str, Any]:
    """Return the job's parameters, with the defaults of their schema."""
    program = job.spec.program
    return with_defaults(program.parameters, program.parameter_schema)


def unswept(job: HybridJob) -> dict[str, Any]:
    """Return the same without those that a sweep varies, whose values each point has for itself."""
    swept = () if job.spec.program.sweep is None else job.spec.program.sweep.parameters
    return {name: value for name, value in parameters_of(job).items() if name not in swept}


def with_program(job: HybridJob, **fields: Any) -> HybridJob:
    """Return the job with other fields of its program."""
    program = job.spec.program.model_copy(update=fields)
    return job.model_copy(update={"spec": job.spec.model_copy(update={"program": program})})


def names_of(job: HybridJob) -> list[str]:
    """Return the names of the job's parameters, also of those that are swept or come from jobs that it depends on."""
    sweep = job.spec.program.sweep
    return list(dict.fromkeys((*parameters_of(job), *(() if sweep is None else sweep.names), *awaited(job))))


def awaited(job: HybridJob) -> list[str]:
    """Return the parameters whose values come from jobs that it depends on, and that it does not have yet."""
    taken = (name for each in job.spec.depends_on for name in each.parameters)
    return [name for name in taken if name not in job.spec.program.parameters]


def in_environment(job: HybridJob) -> str | None:
    """Return what ``$QONVERGE_PARAMETERS`` holds; None where the job has neither parameters nor a schema of them."""
    program = job.spec.program
    if not program.parameters and program.parameter_schema is None:
        return None
    return json.dumps(parameters_of(job), ensure_ascii=False, separators=(",", ":"))


def too_large(job: HybridJob) -> str | None:
    """Return what is too large, as a sentence; None for nothing."""
    program = job.spec.program
    sweep = None if program.sweep is None else program.sweep.as_given()
    given = {"parameters": parameters_of(job), "parameterSchema": program.parameter_schema, "sweep": sweep}
    for field, value in given.items():
        if (size := len(json.dumps(value, ensure_ascii=False).encode())) > MOST_BYTES:
            return (
                f"spec.program.{field} takes {size} bytes as JSON, and at most {MOST_BYTES} are taken: "
                "put what is large into a volume or a ConfigMap"
            )
    return None


def unknown(arguments: Sequence[str], parameters: Collection[str]) -> tuple[int, str] | None:
    """Return the first reference to a parameter that is not there, with the place of its argument; None for none."""
    for index, argument in enumerate(arguments):
        for name in _references(argument):
            if name not in parameters:
                return index, name
    return None


def replaced(arguments: Sequence[str], parameters: Mapping[str, Any]) -> list[str]:
    """Return arguments with the value in the place of each ``$(parameters.NAME)``: a text as it is, the rest as JSON.

    What refers to others stays: those of a sweep are replaced where the program starts. Kubernetes makes one $ of each
    $$, and a variable's value of its name: so that it leaves values alone, they have $$ for each $.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1]
        if match[2] not in parameters:
            return match[0]
        found = parameters[match[2]]
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        return escaped(text)

    return [_REFERENCE.sub(value, argument) for argument in arguments]


def escaped(text: str) -> str:
    """Return a text that Kubernetes leaves as it is where it replaces references."""
    return text.replace("$", "$$")


def _references(argument: str) -> Iterator[str]:
    return (match[2] for match in _REFERENCE.finditer(argument) if match[2] is not None)
