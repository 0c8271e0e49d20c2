"""Which tasks are the same, and what is kept of their results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qonverge.backend.tasks.result_cache import ResultCache, key_of, scope
from qonverge.wire.messages import Pub, PubResult, Task
from qonverge.wire.tokens import OPERATOR_SUBJECT

ZZ = ((("ZZ", 1.0),),)
SAMPLED = Task("a", (Pub("d", {"a": np.array([0.5]), "b": np.array([1.0])}, 100),), seed=1)
EXACT = Task("a", (Pub("d", {"a": np.array([0.5])}, observables=ZZ),))


def key(task: Task, *, seed: int | None = 1, space: str = "chem", engine: str = "Aer 1") -> bytes | None:
    return key_of(task, seed, space, engine)


def test_the_same_task_has_the_same_key() -> None:
    (pub,) = SAMPLED.pubs
    turned = dict(sorted(pub.parameters.items(), reverse=True))
    again = Task("other", (replace(pub, parameters=turned),), {"d": b"qpy"}, seed=1)
    assert key(SAMPLED) == key(again) is not None


@pytest.mark.parametrize(
    "pub",
    [
        {"circuit": "e"},
        {"parameters": {"a": np.array([0.5]), "b": np.array([1.5])}},
        {"parameters": {"a": np.array([0.5]), "c": np.array([1.0])}},
        {"shots": 101},
        {"shots": None, "precision": 0.1, "observables": ZZ},
        {"observables": ZZ},
        {"observables": ((("ZZ", 2.0),),)},
        {"observables": ZZ, "pairs": np.array([[0, 0]], dtype=np.int32)},
        {"shots": None, "statevector": True},
    ],
)
def test_whatever_decides_the_result_changes_the_key(pub: dict[str, object]) -> None:
    others = [key(SAMPLED), key(replace(SAMPLED, pubs=(replace(SAMPLED.pubs[0], **pub),)))]  # type: ignore[arg-type]
    assert None not in others
    assert len(set(others)) == 2


def test_all_around_the_pubs_counts_too() -> None:
    keys = [
        key(SAMPLED),
        key(SAMPLED, seed=2),
        key(SAMPLED, space="bio"),
        key(SAMPLED, engine="Aer 2"),
        key(replace(SAMPLED, memory=True)),
        key(replace(SAMPLED, pubs=SAMPLED.pubs * 2)),
    ]
    assert len(set(keys)) == len(keys)


def test_what_is_drawn_anew_each_time_has_no_key() -> None:
    assert key(SAMPLED, seed=None) is None
    assert key(replace(EXACT, pubs=(*EXACT.pubs, *SAMPLED.pubs)), seed=None) is None
    # What is exact has one, and no seed changes it.
    assert key(EXACT, seed=None) == key(EXACT, seed=5) is not None


def test_the_namespace_is_the_senders_and_only_the_operator_names_another() -> None:
    named = replace(EXACT, namespace="bio")
    assert scope(named, "chem/job") == "chem"
    assert scope(named, OPERATOR_SUBJECT) == "bio"
    assert key(EXACT, space=scope(EXACT, OPERATOR_SUBJECT)) is None


def results(size: int) -> tuple[PubResult, ...]:
    return (PubResult(expectation_values=np.zeros(size // 8)),)


def test_the_least_recently_used_goes_first() -> None:
    cache = ResultCache(10_000)
    for name in (b"a", b"b"):
        cache.put(name, results(4000))
    assert cache.get(b"a") is not None
    cache.put(b"c", results(4000))
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None
    assert cache.get(b"c") is not None


def test_one_result_does_not_push_out_all_others() -> None:
    cache = ResultCache(10_000)
    cache.put(b"a", results(1000))
    cache.put(b"large", results(9000))
    assert cache.get(b"large") is None
    assert cache.get(b"a") is not None


def test_it_is_off_by_default() -> None:
    assert not ResultCache(0)
