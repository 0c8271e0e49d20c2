"""Kubernetes' quantities of memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qonverge.api import QuantumBackend
from qonverge.api.quantity import bytes_of, memory_text


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("64Mi", 64 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1G", 10**9),
        ("5k", 5000),
        (1024, 1024),
        ("0", 0),
        ("7", 7),
        ("1e3", 1000),
        ("+.5Ki", 512),
    ],
)
def test_quantities_are_read_as_kubernetes_does(quantity: str | int, expected: int) -> None:
    assert bytes_of(quantity) == expected


@pytest.mark.parametrize("quantity", ["", "64MB", "-1", "1.2.3", "Mi", "1 Gi", "1m"])
def test_others_are_refused(quantity: str) -> None:
    with pytest.raises(ValueError, match="64Mi"):
        bytes_of(quantity)
    spec = {"simulator": {}, "resultCache": quantity}
    with pytest.raises(ValidationError, match="64Mi"):
        QuantumBackend.model_validate({"metadata": {"name": "a", "namespace": "b"}, "spec": spec})


@given(st.integers(1, 2**60))
def test_a_number_of_bytes_is_the_same_as_a_quantity(size: int) -> None:
    assert bytes_of(memory_text(size)) == size


def test_a_number_of_bytes_has_its_largest_unit() -> None:
    texts = [memory_text(size) for size in (2**30, 3 * 2**29, 10**9, 2**30 + 1)]
    assert texts == ["1Gi", "1536Mi", "1G", "1073741825"]
