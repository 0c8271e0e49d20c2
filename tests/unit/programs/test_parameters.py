"""A program's parameters, on their way to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qonverge.api import HybridJob, QuantumBackend
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.client import parameters as received
from qonverge.controller.jobs.kinds.container import ContainerJobs
from qonverge.controller.jobs.kinds.python import PythonJobs
from qonverge.controller.settings import Settings
from qonverge.local.program_environment import expanded
from qonverge.programs.kinds import kind_of
from qonverge.programs.parameters import MOST_BYTES, replaced

SCHEMA = {"properties": {"steps": {"type": "integer", "default": 100}}, "required": ["molecule"]}


def job(program: dict[str, Any] | None = None, **fields: Any) -> HybridJob:
    given = {**(program or {"python": {"source": "pass"}}), **fields}
    return HybridJob.model_validate({"metadata": {"name": "j", "uid": "uid"}, "spec": {"program": given}})


def kubernetes(text: str, known: dict[str, str]) -> str:
    """Expand as ``third_party/forked/golang/expansion`` of Kubernetes does, one character after the other."""
    out, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out, at = out + text[at], at + 1
        elif text[at + 1] == "$":
            out, at = out + "$", at + 2
        elif text[at + 1] == "(" and ")" in text[at:]:
            end = text.index(")", at)
            out, at = out + known.get(text[at + 2 : end], text[at : end + 1]), end + 1
        else:
            out, at = out + text[at : at + 2], at + 2
    return out


@pytest.mark.parametrize(
    ("word", "reaches"),
    [
        ("$(parameters.name)", "H2 $(HOME) $$ $"),
        ("--steps=$(parameters.steps)", "--steps=3"),
        ("$(parameters.deep)", '{"a":[1,true,null]}'),
        ("$$(parameters.steps)", "$(parameters.steps)"),
        ("$(QONVERGE_JOB)/$(NOBODY)", "default/j/$(NOBODY)"),
        ("$ $$ 5$", "$ $ 5$"),
    ],
)
def test_an_argument_reaches_the_program_alike_with_and_without_a_cluster(word: str, reaches: str) -> None:
    values = {"name": "H2 $(HOME) $$ $", "steps": 3, "deep": {"a": [1, True, None]}}
    known = {"QONVERGE_JOB": "default/j", "HOME": "wrong"}
    (sent,) = replaced([word], values)
    assert kubernetes(sent, known) == reaches
    assert expanded(sent, known) == reaches


@pytest.mark.parametrize(
    "program",
    [
        {"python": {"source": "pass", "args": ["-n", "$(parameters.steps)"]}},
        {"container": {"image": "a", "command": ["/$(parameters.molecule)"], "args": ["-n", "$(parameters.steps)"]}},
    ],
)
def test_a_pod_has_them_in_its_environment_and_its_arguments(
    program: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = job(program, parameters={"molecule": "H2 $(A)"}, parameterSchema=SCHEMA)
    jobs = ContainerJobs() if "container" in program else PythonJobs()
    backend = QuantumBackend.model_validate({"metadata": {"name": "aer", "uid": "u"}, "spec": {"simulator": {}}})
    *_, batch = jobs.objects(given, backend, Settings(), attempt=1, tokens=["t"])
    (container,) = batch["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["-n", "100"]
    if "container" in program:
        assert container["command"] == ["/H2 $$(A)"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    monkeypatch.setenv("QONVERGE_PARAMETERS", kubernetes(environment["QONVERGE_PARAMETERS"], {"A": "wrong"}))
    assert received() == {"molecule": "H2 $(A)", "steps": 100}


def test_a_program_without_parameters_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QONVERGE_PARAMETERS", raising=False)
    assert received() == {}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            job({"python": {"source": "pass", "args": ["a", "$(parameters.setps)"]}}, parameters={"steps": 1}),
            "spec.program.python.args[1]: there is no parameter setps; there are steps",
        ),
        (
            job({"container": {"image": "a", "command": ["$(parameters.a)"]}}),
            "spec.program.container.command[0]: there is no parameter a; there are none",
        ),
        (
            job(parameters={"a": "x" * MOST_BYTES}),
            f"spec.program.parameters takes {len(json.dumps({'a': 'x' * MOST_BYTES}))} bytes as JSON",
        ),
        (job({"circuit": {"openqasm": "x"}}, parameters={"a": 1}), "spec.program.parameters are a program's"),
        (job(parameters={"steps": 1}), None),
    ],
)
def test_what_makes_no_sense_is_said_before_it_runs(given: HybridJob, says: str | None) -> None:
    found = kind_of(given).contradiction(given)
    assert found is None if says is None else (found or "").startswith(says)


async def test_parameters_are_held_against_their_schema() -> None:
    checker = Checker()
    try:
        fine = job(parameters={"molecule": "H2"}, parameterSchema=SCHEMA)
        await kind_of(fine).check(fine, "pass", checker)
        wrong = job(parameters={"steps": 1.5}, parameterSchema=SCHEMA)
        with pytest.raises(InvalidProgram) as refused:
            await kind_of(wrong).check(wrong, "pass", checker)
        assert sorted(str(refused.value).split("; ")) == [
            'spec.program.parameters.steps: 1.5 is not of type "integer"',
            'spec.program.parameters: "molecule" is a required property',
        ]
        broken = job({"container": {"image": "a"}}, parameterSchema={"type": "intger"})
        with pytest.raises(InvalidProgram, match=r"spec\.program\.parameterSchema\.type: "):
            await kind_of(broken).check(broken, "", checker)
    finally:
        await checker.close()


async def test_a_schema_that_takes_for_ever_is_refused() -> None:
    from qonverge.circuits.checker.lanes import Limits

    definitions: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**definitions, "a60": {"type": "object"}}}
    checker = Checker(Limits(cpu_seconds=1.0))
    try:
        with pytest.raises(InvalidProgram, match=r"against their schema took more than the 1 s of CPU time"):
            await checker.check_parameters({}, schema)
    finally:
        await checker.close()
