"""Values of programs in the form of JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qonverge.client.program.json_form import JsonForm


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


@dataclass
class Point:
    x: Any
    y: Any


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array(7), 7),
        (np.zeros((0, 3)), []),
        ((1, None, True), [1, None, True]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", 1}), ["b", 1]),
        (Point(np.float64(1.0), {np.int64(2): 3}), {"x": 1.0, "y": {"2": 3}}),
        ({1: "a", 2.5: "b", None: "c"}, {"1": "a", "2.5": "b", "null": "c"}),
        ({True: "d", np.bool_(False): "e"}, {"true": "d", "false": "e"}),
        ({(np.int64(0), 1): 5, np.str_("k"): 6}, {"(0, 1)": 5, "k": 6}),
        ([Colour.RED, Level.LOW], ["red", 1]),
        ([datetime(2026, 1, 2, 3, 4, tzinfo=UTC), date(2026, 1, 2)], ["2026-01-02T03:04:00+00:00", "2026-01-02"]),
        (Path("a/b"), "a/b"),
        ("tab\t and 🙂", "tab\t and 🙂"),
        (range(3), [0, 1, 2]),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_what_has_an_obvious_form_gets_it(value: Any, plain: Any) -> None:
    form = JsonForm()
    found = form.of(value)
    assert (found, form.problems) == (plain, [])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("value", "plain", "problem"),
    [
        (float("nan"), "NaN", "the value is NaN"),
        ({"a": [1, -math.inf]}, {"a": [1, "-Infinity"]}, "a[1] is -Infinity"),
        ({"a": {"b": np.array([1j])}}, {"a": {"b": ["1j"]}}, "a.b[0] is 1j"),
        ([2**70], [str(2**70)], f"[0] is {2**70}"),
        (Fraction(1, 3), "1/3", "the value is 1/3"),
        (b"raw", "b'raw'", "the value is b'raw'"),
        ({1: "a", "1": "b"}, {"1": "a", "1'": "b"}, "the value has two keys 1, of which one is named 1'"),
    ],
)
def test_what_has_none_is_kept_as_text_and_named(value: Any, plain: Any, problem: str) -> None:
    form = JsonForm()
    assert form.of(value) == plain
    assert form.problems == [problem]


def test_texts_of_numbers_are_read_back() -> None:
    form = JsonForm()
    nan, infinite, complex_number = form.of([float("nan"), float("-inf"), 1.5 - 2j])
    assert math.isnan(float(nan))
    assert (float(infinite), complex(complex_number)) == (-math.inf, 1.5 - 2j)


def test_what_holds_itself_ends() -> None:
    value: list[Any] = [1]
    value.append(value)
    form = JsonForm()
    assert form.of(value) == [1, "[1, [...]]"]
    assert form.problems == ["[1] is [1, [...]]"]
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    found = JsonForm().of(deep)
    assert len(json.dumps(found)) < 1000


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.binary()
    | st.builds(np.float32, st.floats(width=32))
    | st.builds(Hostile),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.tuples(st.integers()) | st.floats(), inner)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=15,
)


@given(anything)
def test_whatever_a_program_gives_is_json(value: Any) -> None:
    text = json.dumps(JsonForm().of(value), allow_nan=False)
    assert json.dumps(json.loads(text)) == text
    text.encode()
