"""Sweeps of circuits: their points, the task that they become, and what is refused."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from qonverge.api import HybridJob
from qonverge.api.job_status import Result
from qonverge.api.program import Program
from qonverge.api.sweep import Sweep, SweepPoint
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.circuits.errors import InvalidProgram
from qonverge.execution.result_size import largest
from qonverge.execution.results import document
from qonverge.programs.circuit import merged, outcome, task, work
from qonverge.programs.kinds import kind_of
from qonverge.wire.messages import PubResult, TaskResult
from tests.unit.controller.worlds import BELL

QASM = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] theta;\ninput float[64] phi;\nqubit[1] q;\nbit[1] c;\n'
QASM += "ry(theta) q[0];\nrz(phi) q[0];\nc = measure q;\n"
LOOP = QASM.replace("rz(phi) q[0];", "if (phi > 1) { x q[0]; }")
THETA = {"linspace": {"start": 0, "stop": 1, "points": 3}}


def job(
    parameters: dict[str, Any], *, text: str = QASM, given: dict[str, float] | None = None, **more: Any
) -> HybridJob:
    spec = {"shots": 10, **more.pop("spec", {})}
    circuit = {"openqasm": text, "parameters": given or {}, **more.pop("circuit", {})}
    program = {"sweep": {"parameters": parameters, **more}, "circuit": circuit}
    return HybridJob.model_validate({"metadata": {"name": "j"}, "spec": {**spec, "program": program}})


def refused(wanted: HybridJob) -> str:
    async def check() -> None:
        kind, checker = kind_of(wanted), Checker()
        try:
            if (problem := kind.contradiction(wanted)) is not None:
                raise InvalidProgram(problem)
            text = kind.inline(wanted)
            assert text is not None
            await kind.check(wanted, text, checker)
        finally:
            await checker.close()

    with pytest.raises(InvalidProgram) as error:
        asyncio.run(check())
    return str(error.value)


def test_a_product_has_all_pairs_and_a_zip_the_values_side_by_side() -> None:
    phi = {"values": [5, 6]}
    product = Sweep.model_validate({"parameters": {"theta": THETA, "phi": phi}})
    assert product.names == ["phi", "theta"]
    assert product.points == list(itertools.product([5, 6], [0, 0.5, 1]))
    assert product.num_points == 6
    zipped = Sweep.model_validate({"parameters": {"b": phi, "a": {"values": [1, 2]}}, "combination": "Zip"})
    assert zipped.points == [(1, 5), (2, 6)]
    assert zipped.num_points == 2


@pytest.mark.parametrize("points", [2, 3, 50, 10_000])
def test_a_linspace_is_that_of_numpy_and_ends_where_it_says(points: int) -> None:
    given = {"parameters": {"t": {"linspace": {"start": -0.1, "stop": 0.3, "points": points}}}}
    found = [value for (value,) in Sweep.model_validate(given).points]
    assert found == pytest.approx(np.linspace(-0.1, 0.3, points), abs=1e-15)
    assert found[-1] == 0.3


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ({"sweep": {"parameters": {"t": THETA}}, "container": {"image": "x"}}, "a container has its values"),
        (
            {"sweep": {"parameters": {"t": THETA}}, "circuit": {"openqasm": "x", "parameters": {"t": 1}}},
            "give it in one of them",
        ),
        (
            {
                "sweep": {"parameters": {"t": THETA, "p": {"values": [1]}}, "combination": "Zip"},
                "circuit": {"openqasm": "x"},
            },
            "same number of values",
        ),
        ({"sweep": {"parameters": {"t": {}}}, "circuit": {"openqasm": "x"}}, "set exactly one of values, linspace"),
        ({"sweep": {"parameters": {}}, "circuit": {"openqasm": "x"}}, "at least 1"),
    ],
)
def test_what_is_wrong_by_itself_is_refused_when_it_is_read(program: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Program.model_validate(program)


def test_what_the_circuit_does_not_bear_is_refused_with_its_names() -> None:
    many = {"linspace": {"start": 0, "stop": 1, "points": 101}}
    assert "10201 points (101 x 101), and at most 10000" in refused(job({"theta": many, "phi": many}))
    assert "no parameter psi; it has phi, theta" in refused(job({"theta": THETA, "psi": THETA}, given={"phi": 1}))
    assert "no value is given for the parameter phi" in refused(job({"theta": THETA}))
    bare = QASM.replace("input float[64] theta;\ninput float[64] phi;\n", "").replace("theta", "1").replace("phi", "1")
    assert "no parameter theta; it has none" in refused(job({"theta": THETA}, text=bare))
    assert "the sweep varies phi, and other values make another circuit" in refused(
        job({"phi": THETA}, text=LOOP, given={"theta": 1})
    )
    assert "phi has the value inf" in refused(job({"phi": {"values": [0, float("inf")]}}, given={"theta": 1}))


def free(*names: str, bits: int = 2) -> CheckedCircuit:
    return replace(BELL, analysis=replace(BELL.analysis, parameters=names, measured_bits=bits, num_clbits=bits))


def test_a_sweep_is_one_task_and_counts_all_points() -> None:
    wanted = job({"theta": THETA, "phi": {"values": [5, 6]}}, given={"chi": 7})
    (pub,) = task(wanted, free("chi", "phi", "theta"), "t").pubs
    assert {name: values.tolist() for name, values in pub.parameters.items()} == {
        "chi": [7] * 6,
        "phi": [5, 5, 5, 6, 6, 6],
        "theta": [0, 0.5, 1] * 2,
    }
    assert pub.shots == 10
    assert work(wanted, free()).all_shots == 60
    needs = kind_of(wanted).needs(wanted, free("phi", "theta"))
    assert needs is not None
    assert (needs.shots, needs.charged_shots) == (10, 60)
    assert kind_of(wanted).promised(wanted).shots == 60


def test_the_parts_of_a_split_sweep_are_merged_point_by_point() -> None:
    wanted = job({"theta": {"values": [1, 2]}}, given={"phi": 0})
    parts = [
        TaskResult("t", "Completed", (PubResult(counts=({"0": 4}, {"0": 1, "1": 3}), shots=4),)),
        TaskResult("t", "Completed", (PubResult(counts=({"0": 6}, {"1": 6}), shots=6),)),
    ]
    found = outcome(wanted, merged(parts))
    assert found.to_dict() == {
        "shots": 10,
        "points": [
            {"parameters": {"theta": 1}, "counts": {"0": 10}},
            {"parameters": {"theta": 2}, "counts": {"0": 1, "1": 9}},
        ],
    }


def test_values_of_a_sweep_are_those_of_each_point() -> None:
    wanted = job({"theta": {"values": [1, 2, 3]}}, circuit={"observables": ["Z", "X"]})
    pub = PubResult(expectation_values=np.arange(6.0).reshape(3, 2), standard_errors=np.zeros((3, 2)), shots=10)
    points = outcome(wanted, TaskResult("t", "Completed", (pub,))).points
    assert points is not None
    assert [(each.parameters["theta"], each.expectation_values) for each in points] == [
        (1, [0, 1]),
        (2, [2, 3]),
        (3, [4, 5]),
    ]


def ugly() -> Iterator[float]:
    yield from (-1.2345678901234567e-300, -0.12345678901234568, 3.0)


@pytest.mark.parametrize("observables", [[], ["Z", "X"]])
def test_no_result_of_a_sweep_is_larger_than_is_said(observables: list[str]) -> None:
    values = list(ugly())
    wanted = job({"theta": {"values": values}, 'p"hi': {"values": [values[0]]}}, circuit={"observables": observables})
    checked = free("phi", "theta")
    checked = replace(checked, observables=tuple(((each, 1.0),) for each in observables))
    points = [
        SweepPoint(
            parameters={"theta": value, 'p"hi': values[0]}, expectation_values=values[:2], standard_errors=values[:2]
        )
        if observables
        else SweepPoint(parameters={"theta": value, 'p"hi': values[0]}, counts={"00": 3, "01": 3, "10": 3, "11": 1})
        for value in values
    ]
    size = largest(wanted, checked)
    assert len(document(Result(points=points, shots=10))) <= size.bytes
    assert size.points == 3
    # What is said to have room for all has it.
    assert size.entries_in(size.bytes) * size.points == size.entries
    assert json.loads(document(Result(points=points)))["points"][0]["parameters"]["theta"] == values[0]
