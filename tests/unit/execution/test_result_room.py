"""One rule says whether a job has room for a result: its JSON, and what the whole job takes where it is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.api import HybridJob
from qonverge.execution.result_room import MAX_RESULT, excess
from qonverge.execution.results import document
from qonverge.execution.stored_size import _MOST_GROWTH, MOST_STORED, stored_size, stored_with, surely_stored

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children) | st.dictionaries(st.text("<>&\u2028a\u00e9\U0001f600\n", max_size=9), children)
    ),
    max_leaves=30,
)


def job(source: str, result: dict[str, Any], kind: str = "circuit") -> HybridJob:
    program = {"circuit": {"openqasm": source}} if kind == "circuit" else {"python": {"source": source}}
    metadata = {"name": "j", "namespace": "chem", "uid": "u", "generation": 1}
    return HybridJob.model_validate(
        {"metadata": metadata, "spec": {"program": program}, "status": {"state": "Complete", "result": result}}
    )


def why(each: HybridJob) -> str | None:
    assert each.status.result is not None
    return excess(each, each.status, len(document(each.status.result)))


def counts(outcomes: int, bits: int = 30) -> dict[str, int]:
    return {format(number, f"0{bits}b"): 1 for number in range(outcomes)}


def test_what_is_short_has_room_whatever_it_is_of() -> None:
    assert why(job("x", {"counts": {"00": 1}, "shots": 1})) is None
    assert why(job("x", {"value": {"energy": -1.5}}, "python")) is None


@pytest.mark.parametrize("kind", ["circuit", "python"])
def test_a_result_beyond_the_limit_of_json_is_told_of_with_both_sizes(kind: str) -> None:
    value = "y" * MAX_RESULT
    # {"value":"..."}
    assert why(job("x", {"value": value}, kind)) == (
        f"the result takes {MAX_RESULT + 12} bytes and the job's status has room for {MAX_RESULT}"
    )
    assert why(job("x", {"value": value[12:]}, kind)) is None


@pytest.mark.parametrize("kind", ["circuit", "python"])
def test_keys_are_counted_as_often_as_they_are_stored(kind: str) -> None:
    """The same JSON with a key for each outcome needs more than twice the room: counts are no exception."""
    outcomes = counts(16_900)
    result = {"counts": outcomes} if kind == "circuit" else {"value": outcomes}
    size = len(json.dumps(result, separators=(",", ":")))
    assert size < MAX_RESULT
    assert why(job("x", result, kind)) is None
    # kubectl writes the specification into an annotation too.
    source = "// " + "c" * 140_000
    large = job(source, result, kind)
    # An outcome has 30 characters: in quotes, with a colon, the count 1 and a comma; then again in quotes with a comma,
    # and the API server writes 5 more.
    stored = 16_900 * (35 + 33 + 5) + 2 * len(source)
    told = why(large)
    assert stored > MOST_STORED
    assert told is not None
    assert told.startswith(f"with its result of {size} bytes the job takes ")
    assert f" bytes where it is stored, and {MOST_STORED} are possible" in told
    assert stored_with(large, large.status) == pytest.approx(stored, abs=2000)
    # As one text it has room.
    assert why(job(source, {"value": "y" * (size - 12)}, kind)) is None


@given(JSON)
def test_the_quick_bound_is_never_below_what_is_stored(value: Any) -> None:
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert stored_size(value) <= _MOST_GROWTH * len(plain.encode())


@pytest.mark.parametrize("bits", range(1, 40))
def test_counts_beside_a_small_circuit_have_room_up_to_the_limit_of_json(bits: int) -> None:
    """The shorter the outcomes, the more of them there are, and the more their second time takes."""
    entry = len('"":1,') + bits
    assert why(job("x", {"counts": counts(min(2**bits, (MAX_RESULT - 100) // entry), bits)})) is None


def test_what_is_surely_stored_is_stored() -> None:
    for outcomes in (0, 10, 100, 1000, 3000, 16_000):
        each = job("x" * 10 * outcomes + "x", {"counts": counts(outcomes)})
        if surely_stored(each, each.status):
            assert stored_with(each, each.status) <= MOST_STORED
    small = job("x", {"counts": {"0": 1}})
    assert surely_stored(small, small.status)
