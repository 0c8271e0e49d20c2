"""Messages from careless and hostile senders: refused with a sentence, or read as what they say."""

from __future__ import annotations

import random
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qonverge.wire import PubResult, Task, TaskResult, WireError
from qonverge.wire import errors as wire_errors
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import InvalidTask
from qonverge.wire.messages import Pub

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("circuit", "parameters", "shots", "precision", "observables", "pairs")


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        dtype=st.sampled_from(["<f8", "<i4", "<i8", "|u1"]),
        shape=arrays.array_shapes(min_dims=1, max_dims=3, max_side=4),
    )
)
def test_arrays_keep_their_type_shape_and_bytes(array: np.ndarray[Any, Any]) -> None:
    arrived = unpack(pack({"a": array}))["a"]
    assert (arrived.dtype, arrived.shape) == (array.dtype, array.shape)
    assert arrived.tobytes() == array.tobytes()


def test_arrays_that_are_empty_or_not_contiguous_travel() -> None:
    grid = np.arange(12, dtype=np.float64).reshape(3, 4)
    assert (unpack(pack(grid.T)) == grid.T).all()
    assert (unpack(pack(grid[:, ::2])) == grid[:, ::2]).all()
    assert unpack(pack(np.empty((0, 3), dtype=np.uint8))).shape == (0, 3)


def test_what_arrives_cannot_be_changed_in_place() -> None:
    assert not unpack(pack(np.zeros(3))).flags.writeable


@settings(max_examples=120, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(st.sampled_from(("id", "circuits", "seed")), JSON)
)
def test_any_value_in_any_field_is_read_or_refused(pub: dict[str, Any], task: dict[str, Any]) -> None:
    try:
        read = Task.from_dict({"id": "t", **task, "pubs": [{"circuit": "d", **pub}]})
    except InvalidTask as error:
        assert error.message
    else:
        assert Task.from_dict(unpack(pack(read.to_dict()))).to_dict().keys() == read.to_dict().keys()


@pytest.mark.parametrize(
    "pub",
    [
        {"parameters": [1.0]},
        {"parameters": "a"},
        {"parameters": {"a": {"b": 1}}},
        {"parameters": {"a": [[1.0], [2.0, 3.0]]}},
        {"parameters": {"a": "0.5x"}},
        {"observables": 5},
        {"observables": [5]},
        {"observables": [[["Z"]]]},
        {"pairs": "x"},
        {"pairs": [[0, 2**40]]},
        {"pairs": [0, 1, 2]},
        {"pairs": [[0.5, 1]]},
        {"shots": True},
        {"shots": 10.0},
        {"shots": 2**70},
        {"precision": True},
        {"precision": float("nan")},
        {"precision": 0},
    ],
)
def test_fields_of_the_wrong_kind_are_refused_with_a_sentence(pub: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=r"\w+ .*\w+"):
        Task.from_dict({"id": "t", "pubs": [{"circuit": "d", **pub}]})


@pytest.mark.parametrize("identity", ["a/b", "a b", "a?b", "..", "a\nb", "ä" * 10])
def test_an_id_that_no_path_can_carry_is_refused(identity: str) -> None:
    with pytest.raises(InvalidTask, match="id"):
        Task.from_dict({"id": identity, "pubs": [{"circuit": "d"}]})


def test_damaged_messages_never_raise_anything_else() -> None:
    good = pack(Task("t", (Pub("d", {"a": np.arange(3.0)}, 5, None, ((("Z", 1.0),),)),), {"d": b"qpy"}).to_dict())
    chance = random.Random(5)
    for _ in range(2000):
        damaged = bytearray(good[: chance.randrange(1, len(good) + 1)])
        for _ in range(chance.randrange(4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            Task.from_dict(unpack(bytes(damaged)))
        except (ValueError, InvalidTask):
            continue


def test_a_short_header_of_a_huge_array_reserves_nothing() -> None:
    for shape in ([2**62], [2**31, 2**31], [-1], [0, -5]):
        body = msgpack.packb(msgpack.ExtType(1, msgpack.packb(("<f8", shape)) + b"\0" * 8))
        if shape == [-1]:
            # numpy reads -1 as "whatever is there", which is what is there.
            assert unpack(body).shape == (1,)
            continue
        with pytest.raises(ValueError, match="not a message"):
            unpack(body)


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(wire_errors).values()
        if isinstance(kind, type) and issubclass(kind, WireError) and kind is not WireError
    ],
)
def test_every_error_arrives_as_it_was_sent(kind: type[WireError]) -> None:
    sent = kind("why and what to do", missing=["x"], number=3)
    arrived = WireError.from_dict(unpack(pack(sent.to_dict())))
    assert type(arrived) is kind
    assert (str(arrived), arrived.detail) == (str(sent), sent.detail)
    assert (arrived.retryable, arrived.status) == (kind.retryable, kind.status)
    assert 400 <= kind.status < 600


def test_an_error_whose_detail_is_unusual_still_arrives() -> None:
    arrived = WireError.from_dict({"code": "QueueFull", "message": "full", "detail": {"message": "x", "a b": 1}})
    assert arrived.code == "QueueFull"


def test_results_of_estimates_arrive_as_they_were_sent() -> None:
    sent = TaskResult(
        "t",
        "Completed",
        (PubResult(expectation_values=np.eye(2), standard_errors=np.zeros((2, 2)), method="m"),),
        seed=0,
    )
    arrived = TaskResult.from_dict(unpack(pack(sent.to_dict())))
    assert arrived.done
    assert arrived.seed == 0
    assert np.array_equal(arrived.results[0].expectation_values, np.eye(2))  # type: ignore[arg-type]
