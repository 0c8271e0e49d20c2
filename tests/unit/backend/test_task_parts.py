"""Laws of cutting tasks: whatever the parts, the same sets with the same seeds, and the same result."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.backend.task_parts import Costs, Merge, Piece, cut, run_blocks
from qonverge.wire.messages import Pub, PubResult, Task

OBSERVABLES = ((("ZZ", 1.0),), (("XX", 0.5),), (("YY", 2.0),))


@st.composite
def pubs(draw: st.DrawFn) -> Pub:
    sets = draw(st.integers(1, 200))
    parameters = {"a": np.arange(sets, dtype=np.float64)}
    kind = draw(st.sampled_from(["counts", "exact", "shots", "precision", "state"]))
    circuit = draw(st.sampled_from("xyz"))
    if kind == "counts":
        return Pub(circuit, parameters, draw(st.sampled_from([None, 1, 1000, 100_000])))
    if kind == "state":
        return Pub(circuit, parameters, statevector=True)
    pairs = None
    if draw(st.booleans()):
        wanted = draw(st.lists(st.tuples(st.integers(0, sets - 1), st.integers(0, 2)), min_size=1, max_size=30))
        pairs = np.array(wanted, dtype=np.int32)
    shots, precision = {"exact": (None, None), "shots": (5000, None), "precision": (None, 0.1)}[kind]
    return Pub(circuit, parameters, shots, precision, OBSERVABLES, pairs)


def engine(pub: Pub, seed: int, memory: bool) -> PubResult:
    """Answer as an engine does whose draws depend on its seed and on the sets' order in the run alone."""
    values = pub.parameters["a"]
    if pub.statevector:
        return PubResult(statevectors=values[:, None] * np.array([1, 1j]))
    exact = pub.shots is None and pub.precision is None
    drawn = np.zeros(pub.sets) if exact and pub.observables else np.random.default_rng(seed).random(pub.sets)
    if pub.observables:
        table = values[:, None] * 10 + np.arange(3) + drawn[:, None]
        if pub.pairs is not None:
            table = table[pub.pairs[:, 0], pub.pairs[:, 1]]
        return PubResult(expectation_values=table, standard_errors=table / 7, shots=pub.shots)
    bits = np.floor(drawn * 256).astype(np.uint8)
    if memory:
        return PubResult(registers={"c": (8, np.repeat(bits, 3).reshape(-1, 3, 1))}, shots=3)
    return PubResult(counts=tuple({str(value): 1} for value in bits), shots=1)


def together(task: Task, seed: int, parts: list[list[Piece]], order: random.Random) -> tuple[PubResult, ...]:
    merge = Merge(task.pubs)
    pieces = list(itertools.chain.from_iterable(parts))
    order.shuffle(pieces)
    for piece in pieces:
        merge.put(piece, run_blocks(piece.pub, piece.blocks, lambda pub, own: engine(pub, own, task.memory)))
    return merge.results()


def plain(results: tuple[PubResult, ...]) -> list[Any]:
    def value(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return item.shape, item.tolist()
        if isinstance(item, dict):
            return {key: (bits, value(array)) for key, (bits, array) in item.items()}
        return item

    return [{name: value(item) for name, item in result.to_dict().items()} for result in results]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(pubs(), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.lists(st.floats(1e-5, 10), min_size=3, max_size=3),
    st.integers(2, 9),
    st.randoms(use_true_random=False),
)
def test_the_result_is_the_same_whatever_the_parts(
    given_pubs: list[Pub], seed: int, memory: bool, seconds: list[float], most: int, order: random.Random
) -> None:
    task = Task("t", tuple(given_pubs), memory=memory)
    known = Costs()
    for circuit, cost in zip("xyz", seconds, strict=True):
        for pub in given_pubs:
            if pub.circuit == circuit:
                known.note(pub, cost)
    one, many = cut(task, seed, 1, Costs()), cut(task, seed, most, known)
    assert len(one) == 1
    assert 1 <= len(many) <= most
    assert all(many)
    assert plain(together(task, seed, one, order)) == plain(together(task, seed, many, order))


def test_pubs_have_seeds_of_their_own() -> None:
    task = Task("t", tuple(Pub("d", {}, 100) for _ in range(3)))
    (pieces,) = cut(task, 5, 1, Costs())
    assert [piece.blocks for piece in pieces] == [((1, 5 + 104_729 * index),) for index in range(3)]


def test_blocks_of_drawn_sets_have_seeds_of_their_own() -> None:
    ((piece,),) = cut(Task("t", (Pub("d", {"a": np.zeros(100)}, 10_000),)), 2**32 - 1, 1, Costs())
    sets, seeds = zip(*piece.blocks, strict=True)
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert sum(sets) == 100


@pytest.mark.parametrize(
    ("pub", "seconds", "parts"),
    [
        (Pub("d", {"a": np.zeros(1000)}, observables=OBSERVABLES), None, 4),
        (Pub("d", {"a": np.zeros(10)}, observables=OBSERVABLES), None, 1),
        (Pub("d", {"a": np.zeros(10)}, observables=OBSERVABLES), 1.0, 4),
        (Pub("d", {"a": np.zeros(1000)}, observables=OBSERVABLES), 0.03, 1),
        (Pub("d", {"a": np.zeros(1000)}, precision=0.1, observables=OBSERVABLES), 9.0, 1),
        (Pub("d", {"a": np.zeros(3)}, 10), 3.0, 1),
        (Pub("d", {}, 1000), 9.0, 1),
    ],
)
def test_a_task_is_cut_where_it_pays(pub: Pub, seconds: float | None, parts: int) -> None:
    costs = Costs()
    if seconds is not None:
        costs.note(pub, seconds)
    found = cut(Task("t", (pub,)), 1, 4, costs)
    assert len(found) == parts
    if parts > 1 and seconds is None:
        # Parts of about the same size, each one run for the engine.
        assert [len(part) for part in found] == [1] * parts
        assert max(part[0].pub.sets for part in found) < 2 * min(part[0].pub.sets for part in found)


@pytest.mark.parametrize("pairs", [[[0, 3]], [[5, 0]], [[-1, 0]], np.empty((0, 2))])
def test_pairs_of_another_pub_reach_the_engine_as_they_are(pairs: Any) -> None:
    pub = Pub("d", {"a": np.zeros(5)}, 100_000, None, OBSERVABLES, np.array(pairs, dtype=np.int32).reshape(-1, 2))
    ((piece,),) = cut(Task("t", (pub,)), 1, 1, Costs())
    assert piece.pub is pub
