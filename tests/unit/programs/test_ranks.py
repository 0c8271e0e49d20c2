"""``spec.program.parallelism`` and ``ranksPerBackend``, and what ranks find in their environment."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api.program import Program
from qonverge.programs.ranks import named, world

PYTHON = {"python": {"source": "print(1)"}}


def program(**fields: Any) -> Program:
    return Program.model_validate({**PYTHON, **fields})


@pytest.mark.parametrize(
    ("fields", "size", "backends", "groups"),
    [
        ({}, 1, 1, [0]),
        ({"parallelism": 4}, 4, 1, [0, 0, 0, 0]),
        ({"parallelism": 4, "ranksPerBackend": 2}, 4, 2, [0, 0, 1, 1]),
        ({"parallelism": 5, "ranksPerBackend": 2}, 5, 3, [0, 0, 1, 1, 2]),
        ({"parallelism": 2, "ranksPerBackend": 8}, 2, 1, [0, 0]),
        ({"parallelism": 3, "ranksPerBackend": 1}, 3, 3, [0, 1, 2]),
    ],
)
def test_ranks_are_grouped_in_their_order(fields: dict[str, Any], size: int, backends: int, groups: list[int]) -> None:
    given = program(**fields)
    assert (given.world_size, given.num_backends) == (size, backends)
    assert [given.group_of(rank) for rank in range(size)] == groups


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ranksPerBackend": 2}, "set parallelism"),
        ({"parallelism": 0}, "greater than or equal to 1"),
        ({"parallelism": 257}, "less than or equal to 256"),
        ({"python": {"source": "pass", "pauseAfterSeconds": 9}, "parallelism": 2}, "ranks wait for each other"),
        ({"framework": "Dask"}, "set parallelism to the number of workers"),
        ({"framework": "dask", "parallelism": 2}, "Input should be 'Dask'"),
        ({"python": None, "container": {"image": "a:1"}, "framework": "Dask", "parallelism": 2}, "Python programs"),
        ({"python": {"source": "pass", "pauseAfterSeconds": 9}, "parallelism": 1, "framework": "Dask"}, "leave it out"),
        ({"python": None, "circuit": {"openqasm": "qubit q;"}, "parallelism": 2}, "placement.split"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        program(**fields)


def test_the_environment_has_the_names_of_the_field() -> None:
    assert world(4, "qnn-0.qnn.lab.svc", master_port=29500, rendezvous_port=29400) == {
        "QONVERGE_WORLD_SIZE": "4",
        "QONVERGE_RENDEZVOUS": "qnn-0.qnn.lab.svc:29400",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "qnn-0.qnn.lab.svc",
        "MASTER_PORT": "29500",
    }


def test_the_rank_is_named_where_there_are_several() -> None:
    sentence = "the program ended with exit code 3; its last lines are in status.log"
    assert named(2, 4, sentence) == "rank 2 of 4 ended with exit code 3; its last lines are in status.log"
    assert named(0, 1, sentence) == sentence
