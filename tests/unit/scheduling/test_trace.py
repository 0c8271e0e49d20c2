"""Recorded rounds and their replay."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from qonverge.amounts import Money
from qonverge.api.base import LabelSelector
from qonverge.devices.layout import Misfit
from qonverge.scheduling import Active, Policy, Quota, Share, Shares, Snapshot, plan
from qonverge.scheduling.model import Split, Terms
from qonverge.scheduling.trace import TraceError, read, record, replay
from tests.unit.scheduling.worlds import NEEDS, backend, job, snapshot


def rich() -> Snapshot:
    """A round that has something of everything."""
    selector = LabelSelector.model_validate(
        {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["edge"]}]}
    )
    jobs = [
        job("a", terms=Terms(tiers=frozenset({"Edge", "Cloud"}), min_fidelity=0.5), budget=Money(Decimal("1.10"))),
        job("b", backend_selector=selector, created=1.0),
        job("c", needs=replace(NEEDS, shots=9000), split=Split(100), warm=frozenset({"lab/x", "lab/y"}), priority=4),
        job("d", deadline=1.0),
        job("e", backend_name="y", priority=7, created=2.0),
        job(
            "f",
            terms=Terms(max_two_qubit_error=0.02, max_readout_error=0.05),
            misfits={"lab/x": Misfit("qubits 3 and 9 are not coupled on x", lasting=True)},
        ),
    ]
    backends = [
        backend(
            "x", tier="Edge", labels={"tier": "edge"}, workers=2, free_seconds=(1.0,), features=frozenset({"b", "a"})
        ),
        backend("y", tier="Cloud", free_seconds=(30.0,), load=1.0, two_qubit_error=0.03, readout_error=0.01),
    ]
    return snapshot(
        jobs,
        backends,
        fidelity=[[0.9, float("nan")], [0.9, 0.8], [0.9, 0.9], [1, 1], [1, 1], [1, 1]],
        shares=Shares({"chem": Share(2.0, 5.0)}),
        quotas={"chem": Quota(shots=20_000, cost=Money(Decimal(5)), renews_at=60.0)},
        active=(Active("bio/z", "bio", "lab/y", preemptible=True, checkpointable=True, remaining_seconds=30.0),),
    )


def test_a_replay_of_the_same_code_differs_in_nothing() -> None:
    seen, policy = rich(), Policy(aging_seconds=99.0)
    made = plan(seen, policy)
    assert made.preemptions
    line = record(seen, policy, made)
    assert "\n" not in line
    (again,) = replay([line, ""])
    assert again.differences == ()
    assert again.recorded.policy == policy
    assert replace(again.recorded.snapshot, estimates=None) == replace(seen, estimates=None)
    assert record(again.recorded.snapshot, policy, again.plan) == line


def test_another_policy_shows_what_it_would_change() -> None:
    jobs = [job("low", created=-50.0), job("high", created=0.0, priority=9)]
    seen = snapshot(jobs, [backend("aer")])
    line = record(seen, Policy(), plan(seen))
    (changed,) = replay([line], Policy(aging_seconds=40.0))
    told = {str(difference) for difference in changed.differences}
    assert "chem/low: backend was None and is 'lab/aer'" in told
    assert "chem/high: backend was 'lab/aer' and is None" in told


def test_a_changed_record_is_noticed() -> None:
    seen = snapshot([job("a")], [backend("aer")])
    data = json.loads(record(seen, Policy(), plan(seen)))
    data["outcomes"][0]["backend"] = "lab/other"
    (changed,) = replay([json.dumps(data)])
    assert [str(difference) for difference in changed.differences] == [
        "chem/a: backend was 'lab/other' and is 'lab/aer'"
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not a recorded round: : Invalid JSON"),
        ('{"version": 1}', "line 1: not a recorded round: now: Field required"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(line: str, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        list(replay([line]))
    assert str(caught.value).startswith(message)


def test_other_versions_and_misshapen_forecasts_are_refused() -> None:
    seen = snapshot([job("a")], [backend("aer")])
    data = json.loads(record(seen, Policy(), plan(seen)))
    with pytest.raises(TraceError, match="version 7, and this program reads version 1"):
        read(json.dumps({**data, "version": 7}))
    data["estimates"]["cost"] = [[1.0, 2.0]]
    with pytest.raises(TraceError, match=r"estimates.cost is not an array of 1 jobs x 1 backends"):
        read(json.dumps(data))
