"""What a job takes from the jobs that it depends on, and in which order they run. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from qonverge.api import HybridJob
from qonverge.api.dependencies import Dependency, DependencyStatus
from qonverge.documents.excerpt import bounded, json_excerpt, some
from qonverge.programs.kinds import kind_of
from qonverge.programs.parameters import MOST_BYTES

_STEP = re.compile(r"([^.\[\]]+)|\[(\d{1,9})\]")
_PATH = re.compile(r"(?:[^.\[\]]+|\[\d{1,9}\])(?:\.[^.\[\]]+|\[\d{1,9}\])*")
_UNKNOWN = 1.0
"""In the place of a circuit's parameter that is not known yet."""


class InvalidInput(Exception):
    """A result does not have what a job takes from it; the message is a sentence."""


def released(job: HybridJob) -> bool:
    """Return whether the job has all that it takes from others, so that it may start."""
    known = {each.name: each for each in job.status.dependencies or ()}
    return all(
        (there := known.get(each.name)) is not None
        and there.values is not None
        and there.parameters == dict(each.parameters)
        for each in job.spec.depends_on
    )


def with_inputs(job: HybridJob) -> HybridJob:
    """Return the job with the parameters that it got from others; as it is where it has none, or not all yet."""
    given = {name: value for each in job.status.dependencies or () for name, value in (each.values or {}).items()}
    return kind_of(job).with_parameters(job, given) if given and released(job) else job


def sketched(job: HybridJob) -> HybridJob:
    """Return the job with some number for each parameter of its circuit that is not known yet: so it can be read."""
    if not kind_of(job).numeric_parameters or released(job):
        return job
    return kind_of(job).with_parameters(job, dict.fromkeys(taken(job), _UNKNOWN))


def taken(job: HybridJob) -> list[str]:
    """Return the names of the parameters that come from other jobs."""
    return [name for each in job.spec.depends_on for name in each.parameters]


def problem(job: HybridJob) -> str | None:
    """Return what is wrong with what a job takes from others, whatever they find; None for nothing."""
    given = kind_of(job).given_parameters(job)
    for each in job.spec.depends_on:
        for name, path in each.parameters.items():
            if _PATH.fullmatch(path) is None:
                return (
                    f"spec.dependsOn, {each.name}: {json_excerpt(path)} is no path: give one such as angle, "
                    "points[0].energy or expectationValues[0]"
                )
            if name in given:
                return f"spec.dependsOn, {each.name}: the parameter {name} is given by {given[name]} too"
            given[name] = each.name
    return None


def input_of(document: bytes) -> Any:
    """Return a job's result as others take it: what a program passed to ``result``, or what a circuit found.

    ``document`` is the JSON of the whole result.
    """
    whole = json.loads(document)
    return whole["value"] if isinstance(whole, dict) and "value" in whole else whole


def values_of(dependency: Dependency, result: Any, *, numbers: bool) -> dict[str, Any]:
    """Return the parameters that come from a result.

    Args:
        dependency: says which.
        result: of that job, as ``input_of`` gives it.
        numbers: whether they have to be numbers, as those of circuits.

    Raises:
        InvalidInput: the result does not have them.
    """
    found = {}
    for name, path in dependency.parameters.items():
        what = f"the parameter {name} is {path} of the result of {dependency.name}"
        value = _at(result, path, what)
        if value is None:
            raise InvalidInput(f"{what}, which is null")
        if numbers and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InvalidInput(f"{what}, which is {json_excerpt(value)}: a circuit's parameter is a number")
        found[name] = float(value) if numbers else value
    return found


def taken_from(job: HybridJob, results: Mapping[str, tuple[str | None, Any]]) -> list[DependencyStatus]:
    """Return what the status of a job says once all that it depends on is complete.

    Args:
        job: the job.
        results: uid and result of each, by name; the result only where parameters come from it.

    Raises:
        InvalidInput: a result does not have what the job takes.
    """
    numbers, told = kind_of(job).numeric_parameters, []
    for each in job.spec.depends_on:
        uid, result = results[each.name]
        told.append(
            DependencyStatus(
                name=each.name,
                uid=uid,
                state="Complete",
                parameters=dict(each.parameters),
                values=values_of(each, result, numbers=numbers),
            )
        )
    # They stand in its status, and in the environment of its program.
    if (size := len(json.dumps([each.values for each in told], ensure_ascii=False).encode())) > MOST_BYTES:
        raise InvalidInput(
            f"the parameters that come from other jobs take {size} bytes as JSON, and at most {MOST_BYTES} are taken: "
            "read what is large in a program by qonverge.client.inputs()"
        )
    return told


def cycle_through(key: str, depends_on: Callable[[str], Iterable[str]]) -> list[str] | None:
    """Return the jobs of a circle from one back to it, in which each depends on the next; None where there is none.

    Args:
        key: of the job.
        depends_on: returns the keys of those that a job waits for.
    """
    came_from: dict[str, str] = {}
    pending = [key]
    while pending:
        current = pending.pop()
        for other in depends_on(current):
            if other == key:
                path = [key]
                while current != key:
                    path.append(current)
                    current = came_from[current]
                return [key, *reversed(path)]
            if other not in came_from:
                came_from[other] = current
                pending.append(other)
    return None


def in_order(jobs: Sequence[HybridJob]) -> list[HybridJob]:
    """Return jobs in an order in which each comes after those that it depends on, or else as they were given.

    Raises:
        ValueError: they depend on each other in a circle, which the message names.
    """
    by_key = {f"{job.metadata.namespace}/{job.metadata.name}": job for job in jobs}
    ordered: dict[str, HybridJob] = {}

    def depends_on(key: str) -> list[str]:
        return keys_of(by_key[key]) if key in by_key else []

    for key in by_key:
        if (found := cycle_through(key, depends_on)) is not None:
            raise ValueError(circle(found))
    for key in by_key:
        pending = [key]
        while pending:
            missing = [each for each in depends_on(pending[-1]) if each in by_key and each not in ordered]
            if missing:
                pending.append(missing[0])
            else:
                done = pending.pop()
                ordered[done] = by_key[done]
    return list(ordered.values())


def keys_of(job: HybridJob) -> list[str]:
    """Return namespace and name of each job that this one depends on."""
    return [f"{job.metadata.namespace}/{each.name}" for each in job.spec.depends_on]


def circle(keys: Sequence[str]) -> str:
    """Return a sentence about jobs that depend on each other in a circle, as ``cycle_through`` gives it."""
    return f"these jobs wait for each other: {' -> '.join(key.split('/', 1)[1] for key in keys)}"


def _at(result: Any, path: str, what: str) -> Any:
    value, before = result, ""
    for step in _STEP.finditer(path):
        name, index = step.groups()
        where = f"{before or 'the result'}"
        if name is not None and isinstance(value, Mapping):
            if name not in value:
                raise InvalidInput(f"{what}: {where} has no {name}; it has {bounded(some(list(value))) or 'nothing'}")
            value = value[name]
        elif index is not None and isinstance(value, list):
            if int(index) >= len(value):
                raise InvalidInput(f"{what}: {where} has {len(value)} items")
            value = value[int(index)]
        else:
            wanted = "no fields" if name is not None else "no items"
            raise InvalidInput(f"{what}: {where} is {json_excerpt(value)}, which has {wanted}")
        before = path[: step.end()]
    return value
