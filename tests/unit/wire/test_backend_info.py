"""What a server says of itself is read only where each figure is one: rounds and meters go on with it unseen."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from qonverge.amounts import Prices, TaskLimits
from qonverge.sites.link import Link
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.codec import pack, unpack
from qonverge.wire.vendor import DeviceState, SpoolState

DEVICE = DeviceState(
    *(False, "maintenance", 1e9, 3, 4.5, Prices(Decimal("0.3")), 0.02), limits=TaskLimits(100_000, 2, 200, 0)
)
TOLD = replace(
    BackendInfo("Aer", "Automatic", ("Statevector",), ("h", "cx"), 30, 10**6, 2**30, 2, 1, 2, 100, False),
    device=DEVICE,
    spool=SpoolState(1, 2, 3, 4, 5),
    task_seconds=2,
    links={"a": Link(0.01, 0.0, 1e6)},
)


@pytest.mark.parametrize("told", [TOLD, replace(TOLD, device=None, spool=None, max_qubits=None, task_seconds=None)])
def test_what_is_told_arrives(told: BackendInfo) -> None:
    arrived = BackendInfo.from_dict(unpack(pack(told.to_dict())))
    assert arrived == told
    assert (arrived.task_seconds, arrived.links) == (told.task_seconds, told.links)


@pytest.mark.parametrize(
    "fields",
    [
        {"workers": "2"},
        {"workers": True},
        {"workers": -1},
        {"queued": 1.5},
        {"max_qubits": float("nan")},
        {"max_shots": None},
        {"memory_bytes": "much"},
        {"draining": "no"},
        {"method": ["Statevector"]},
        {"methods": 5},
        {"basis_gates": [{}]},
        {"calibration": "ideal"},
        {"task_seconds": "1"},
        {"task_seconds": float("inf")},
        {"task_seconds": -1.0},
        {"links": {"a": {"round_trip_seconds": 0}}},
        {"links": [1]},
        {"spool": {"tasks": 1}},
        {"spool": {**SpoolState(1, 2, 3, 4, 5).to_dict(), "nbytes": "3"}},
        {"device": "off"},
        {"device": {"online": "no"}},
        {"device": {"online": True, "queue_length": 1e400}},
        {"device": {"online": True, "wait_seconds": "soon"}},
        {"device": {"online": True, "prices": ["x", "0", "0", "USD"]}},
        {"device": {"online": True, "prices": ["-1", "0", "0", "USD"]}},
        {"device": {"online": True, "prices": ["NaN", "0", "0", "USD"]}},
        {"device": {"online": True, "limits": [1, 1, 1, 1, 1]}},
        {"device": {"online": True, "limits": ["1", 1, None, 1]}},
    ],
)
def test_what_is_no_figure_is_refused_with_one_kind_of_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        BackendInfo.from_dict({**TOLD.to_dict(), **fields})


def test_a_field_that_lacks_is_named() -> None:
    told = TOLD.to_dict()
    del told["workers"]
    with pytest.raises(ValueError, match="workers"):
        BackendInfo.from_dict(told)
