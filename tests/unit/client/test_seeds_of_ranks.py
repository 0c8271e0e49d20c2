"""Each rank of a parallel program draws its own shots from the job's seed."""

from __future__ import annotations

import pytest

from qonverge.client import communicator, rank, world_size
from qonverge.client.seeds import MAX_SEED, seed_from_environment


def seed(monkeypatch: pytest.MonkeyPatch, number: int) -> int | None:
    monkeypatch.setenv("QONVERGE_RANK", str(number))
    return seed_from_environment()


def test_rank_0_has_the_seed_of_a_program_that_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QONVERGE_SEED", "11")
    monkeypatch.delenv("QONVERGE_RANK", raising=False)
    assert seed_from_environment() == seed(monkeypatch, 0) == 11


def test_others_have_seeds_that_follow_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QONVERGE_SEED", "11")
    seeds = [seed(monkeypatch, number) for number in range(64)]
    assert len(set(seeds)) == 64
    assert all(each is not None and 0 <= each <= MAX_SEED for each in seeds)
    assert seeds == [seed(monkeypatch, number) for number in range(64)]
    monkeypatch.setenv("QONVERGE_SEED", "12")
    assert seed(monkeypatch, 1) != seeds[1]


def test_without_a_seed_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QONVERGE_SEED", raising=False)
    assert seed(monkeypatch, 3) is None


def test_a_process_knows_which_rank_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QONVERGE_RANK", "2")
    monkeypatch.setenv("QONVERGE_WORLD_SIZE", "4")
    assert (rank(), world_size()) == (2, 4)
    monkeypatch.delenv("QONVERGE_RANK")
    monkeypatch.delenv("QONVERGE_WORLD_SIZE")
    assert (rank(), world_size()) == (0, 1)


def test_communicator_is_imported_with_the_client() -> None:
    """It starts MPI only when it is called."""
    import sys

    assert callable(communicator)
    assert "mpi4py.MPI" not in sys.modules
