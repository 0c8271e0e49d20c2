"""Grids of values, and texts of indexes."""

from __future__ import annotations

import itertools

import pytest

from qonverge.documents import grids


def test_a_product_is_in_the_order_of_nested_loops_over_the_parameters_by_name() -> None:
    sweep = {"parameters": {"b": {"strings": ["x", "y"]}, "a": {"linspace": {"start": 0, "stop": 1, "points": 3}}}}
    found = [grids.point(sweep, index) for index in range(6)]
    assert found == [{"a": a, "b": b} for a, b in itertools.product([0, 0.5, 1], ["x", "y"])]


def test_zip_takes_values_side_by_side_and_whole_numbers_stay_whole() -> None:
    sweep = {"parameters": {"a": {"values": [1, 2]}, "b": {"values": [0.5, 3]}}, "combination": "Zip"}
    found = [grids.point(sweep, index) for index in range(2)]
    assert found == [{"a": 1, "b": 0.5}, {"a": 2, "b": 3}]
    assert [type(each["a"]) for each in found] == [int, int]


@pytest.mark.parametrize(
    ("indexes", "text"),
    [([], ""), ([0], "0"), ([0, 1], "0-1"), ([7, 3, 1, 2, 0], "0-3,7"), ([1, 3, 5], "1,3,5"), ([8, 9, 11], "8-9,11")],
)
def test_indexes_are_written_as_by_batch_jobs(indexes: list[int], text: str) -> None:
    assert grids.in_ranges(indexes) == text
    assert grids.of_ranges(text) == sorted(indexes)
