"""Messages from careless and hostile senders: refused with a sentence, or read as what they say."""

from __future__ import annotations

import random
import struct
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qonverge.wire import codec
from qonverge.wire import errors as wire_errors
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import InvalidTask, WireError
from qonverge.wire.messages import Pub, PubResult, Task, TaskResult

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
        {"observables": [[["Q", 1.0]]]},
        {"observables": [[["", 1.0]]]},
        {"observables": [[["Z", 1.0]], [["ZZ", 1.0]]]},
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
        {"statevector": "no"},
        {"statevector": 0},
    ],
)
def test_fields_of_the_wrong_kind_are_refused_with_a_sentence(pub: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=r"\w+ .*\w+"):
        Task.from_dict({"id": "t", "pubs": [{"circuit": "d", **pub}]})


@pytest.mark.parametrize("given", ["no", "false", 0, 1, []])
def test_a_wish_is_true_or_false(given: Any) -> None:
    with pytest.raises(InvalidTask, match=r"memory is .*; give true or false"):
        Task.from_dict({"id": "t", "pubs": [{"circuit": "d"}], "memory": given})


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


def message(*described: Any, behind: bytes = b"") -> bytes:
    """Return a message whose head announces these arrays, with so many bytes behind it."""
    head = msgpack.packb([msgpack.ExtType(1, msgpack.packb(one)) for one in described])
    return b"".join((struct.pack(">BIB", 0xC9, len(head), 2), head, behind))


def test_arrays_lie_behind_the_head_and_are_not_copied() -> None:
    first, second = np.arange(100_000, dtype=np.float64), np.arange(7, dtype=np.uint8)
    sent = codec.parts({"a": first, "b": second})
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), first) for part in sent if part)
    body = bytearray(b"".join(sent))
    arrived = unpack(body)
    whole = np.frombuffer(body, np.uint8)
    assert all(np.shares_memory(arrived[name], whole) for name in "ab")
    place = arrived["a"].__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    assert place % 16 == 0
    assert (arrived["a"] == first).all()
    assert (arrived["b"] == second).all()


def test_a_message_without_arrays_is_plain_msgpack() -> None:
    value = {"id": "t", "pubs": [{"circuit": "d", "shots": 5}]}
    assert pack(value) == msgpack.packb(value)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (message(("<f8", [2**62]), behind=b"\0" * 64), "are left"),
        (message(("<f8", [2**31, 2**31]), behind=b"\0" * 64), "are left"),
        (message(("<f8", [-1]), behind=b"\0" * 64), "length of an array's axis"),
        (message(("<f8", [0, -5])), "length of an array's axis"),
        (message(("<f8", [1.5])), "length of an array's axis"),
        (message(("<f8", [True])), "length of an array's axis"),
        (message(("<f8", [2**64 - 1])), "length of an array's axis"),
        (message(("<f8", 3), behind=b"\0" * 24), "dimensions"),
        (message(("<f8", [1] * 33), behind=b"\0" * 64), "dimensions"),
        (message(("|O", [1]), behind=b"\0" * 8), "cannot travel"),
        (message(("<U4", [1]), behind=b"\0" * 16), "cannot travel"),
        (message(([], [1]), behind=b"\0" * 16), "not a message"),
        (message(("<f8",), behind=b"\0" * 16), "not a message"),
        # Two that would fit only if they overlapped.
        (message(("<f8", [4]), ("<f8", [4]), behind=b"\0" * 48), "are left"),
        (message(("|u1", [1]), behind=b"\0" * 100), "behind its arrays"),
        (message(behind=b"\0"), "behind its arrays"),
        (struct.pack(">BIB", 0xC9, 2**32 - 1, 2) + b"\x90", "came in all"),
        (struct.pack(">BIB", 0xC9, 0, 2), "not a message"),
        (msgpack.packb(msgpack.ExtType(1, msgpack.packb(("<f8", [1])) + b"\0" * 8)), "not a message"),
    ],
)
def test_a_hostile_head_is_refused_and_reserves_nothing(body: bytes, says: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=says):
            unpack(body)
        assert tracemalloc.get_traced_memory()[1] < 1024**2
    finally:
        tracemalloc.stop()


def test_a_head_that_unfolds_to_many_objects_is_refused() -> None:
    crowd = b"\xdd" + (600_000).to_bytes(4, "big")
    for inner in (b"\x90", b"\x80"):
        with pytest.raises(ValueError, match="more than 500000 lists and objects"):
            unpack(crowd + inner * 600_000, most_head=2**20)
    with pytest.raises(ValueError, match="over the limit of 100"):
        unpack(msgpack.packb("x" * 200), most_head=100)
    # The limit is of the head alone.
    assert unpack(pack(np.zeros(10_000)), most_head=100).shape == (10_000,)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(arrays.arrays(st.sampled_from(["<f8", "<c16", "|u1", "<i4"]), arrays.array_shapes(min_side=0)), max_size=5)
)
def test_any_arrays_arrive_in_their_places(given_arrays: list[np.ndarray[Any, Any]]) -> None:
    value = {"list": given_arrays, "again": {str(place): array for place, array in enumerate(given_arrays)}}
    arrived = unpack(pack(value))
    for place, array in enumerate(given_arrays):
        for found in (arrived["list"][place], arrived["again"][str(place)]):
            assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_long_circuits_travel_behind_the_head() -> None:
    task = Task("t", (Pub("d"),), {"d": b"q" * 100_000, "e": b"short"})
    body = pack(task.to_dict())
    assert Task.from_dict(unpack(body, most_head=10_000)).circuits == task.circuits


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
