"""What jobs take from those that they depend on."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.execution.dependencies import (
    InvalidInput,
    cycle_through,
    in_order,
    input_of,
    problem,
    released,
    sketched,
    taken_from,
    with_inputs,
)


def job(name: str, *depends_on: Any, circuit: bool = False, parameters: dict[str, Any] | None = None) -> HybridJob:
    given = parameters or {}
    program = (
        {"circuit": {"openqasm": "x", "parameters": given}}
        if circuit
        else {"python": {"source": "x"}, "parameters": given}
    )
    on = [{"name": each} if isinstance(each, str) else each for each in depends_on]
    return HybridJob.model_validate({"metadata": {"name": name}, "spec": {"program": program, "dependsOn": on}})


def supplied(job: HybridJob, result: Any) -> HybridJob:
    """Return the job once all that it depends on has ended with this result."""
    told = taken_from(job, {each.name: ("uid", result) for each in job.spec.depends_on})
    return with_inputs(job.model_copy(update={"status": job.status.model_copy(update={"dependencies": told})}))


def test_parameters_of_programs_and_circuits_come_from_results() -> None:
    result = {"angle": 1, "points": [{"energy": -1.5}, {"energy": -2.5}]}
    takes = {"name": "a", "parameters": {"x": "angle", "y": "points[1].energy"}}
    assert supplied(job("b", takes, parameters={"z": 3}), result).spec.program.parameters == {"z": 3, "x": 1, "y": -2.5}
    circuit = supplied(job("b", takes, circuit=True), result).spec.program.circuit
    assert circuit is not None
    assert circuit.parameters == {"x": 1.0, "y": -2.5}


def test_results_are_taken_in_the_form_in_which_others_wrote_them() -> None:
    assert input_of(b'{"value":{"angle":1}}') == {"angle": 1}
    assert input_of(b'{"counts":{"0":4},"shots":4}') == {"counts": {"0": 4}, "shots": 4}
    assert input_of(b"{}") == {}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "angel",
            "the parameter x is angel of the result of a: the result has no angel; it has angle, name, none, points",
        ),
        ("points[2]", "points has 2 items"),
        ("points.first", "points is [1, 2], which has no fields"),
        ("none", "the parameter x is none of the result of a, which is null"),
        ("angle[0]", "angle is 1, which has no items"),
        ("name", "the parameter x is name of the result of a, which is 'n': a circuit's parameter is a number"),
    ],
)
def test_what_a_result_does_not_have_is_named(path: str, said: str) -> None:
    takes = {"name": "a", "parameters": {"x": path}}
    with pytest.raises(InvalidInput) as failed:
        supplied(job("b", takes, circuit=True), {"angle": 1, "name": "n", "none": None, "points": [1, 2]})
    assert said in str(failed.value)


def test_more_than_parameters_may_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"take 70011 bytes as JSON, and at most 65536"):
        supplied(job("b", {"name": "a", "parameters": {"x": "text"}}), {"text": "t" * 70_000})


def test_a_job_is_released_once_it_has_all_that_it_takes_now() -> None:
    takes = {"name": "a", "parameters": {"x": "angle"}}
    ready = supplied(job("b", takes), {"angle": 1})
    assert released(ready)
    assert released(job("b"))
    assert not released(job("b", takes))
    changed = job("b", {"name": "a", "parameters": {"x": "angles[0]"}})
    assert not released(changed.model_copy(update={"status": ready.status}))
    more = job("b", takes, "c")
    assert not released(more.model_copy(update={"status": ready.status}))


@pytest.mark.parametrize("circuit", [False, True])
def test_a_parameter_is_given_once(circuit: bool) -> None:
    takes = {"name": "a", "parameters": {"x": "angle"}}
    said = problem(job("b", takes, circuit=circuit, parameters={"x": 1.0}))
    assert said == "spec.dependsOn, a: the parameter x is given by the job itself too"
    said = problem(job("b", takes, {"name": "c", "parameters": {"x": "angle"}}, circuit=circuit))
    assert said == "spec.dependsOn, c: the parameter x is given by a too"
    assert problem(job("b", takes, circuit=circuit)) is None
    assert "is no path" in str(problem(job("b", {"name": "a", "parameters": {"x": "points[one]"}})))


def test_a_parameter_that_is_swept_comes_from_nowhere_else() -> None:
    sweep = {"parameters": {"x": {"values": [1.0, 2.0]}}}
    program = {"circuit": {"openqasm": "x"}, "sweep": sweep}
    on = [{"name": "a", "parameters": {"x": "angle"}}]
    given = {"metadata": {"name": "b"}, "spec": {"program": program, "dependsOn": on}}
    assert problem(HybridJob.model_validate(given)) == "spec.dependsOn, a: the parameter x is given by its sweep too"


def test_a_circuit_can_be_read_before_its_parameters_are_known() -> None:
    circuit = sketched(job("b", {"name": "a", "parameters": {"x": "angle"}}, circuit=True)).spec.program.circuit
    assert circuit is not None
    assert circuit.parameters == {"x": 1.0}


def test_jobs_come_after_those_that_they_depend_on() -> None:
    jobs = [job("analyse", "run", "calibrate"), job("other"), job("run", "calibrate"), job("calibrate")]
    assert [each.metadata.name for each in in_order(jobs)] == ["calibrate", "run", "analyse", "other"]
    with pytest.raises(ValueError, match="these jobs wait for each other: a -> c -> b -> a"):
        in_order([job("a", "c"), job("b", "a"), job("c", "b"), job("d", "a")])


def test_a_circle_is_found_from_those_in_it_only() -> None:
    edges = {"a": ["x", "b"], "b": ["c"], "c": ["x", "b", "a"], "d": ["a"], "x": []}
    assert cycle_through("a", edges.__getitem__) == ["a", "b", "c", "a"]
    assert cycle_through("d", edges.__getitem__) is None
    assert cycle_through("s", {"s": ["s"]}.__getitem__) == ["s", "s"]


def test_a_job_cannot_depend_on_itself_or_on_one_twice() -> None:
    with pytest.raises(ValueError, match="a job cannot depend on itself"):
        job("a", "a")
    with pytest.raises(ValueError, match="b is named twice"):
        job("a", "b", "b")
    with pytest.raises(ValueError, match="should match pattern"):
        job("a", "other/b")
