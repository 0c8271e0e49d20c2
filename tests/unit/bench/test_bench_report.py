"""What is made of the figures: counting in the audit log, judging, the table."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from bench import report
from bench.audit import count_writes, stamp
from bench.large import Memory
from bench.memory import footprint


def event(user: str, verb: str, resource: str, second: int, *, part: str | None = None, code: int = 200) -> Any:
    reference = {"resource": resource, "name": "x", **({"subresource": part} if part else {})}
    return {
        "user": {"username": user},
        "verb": verb,
        "objectRef": reference,
        "requestReceivedTimestamp": stamp(datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)),
        "responseStatus": {"code": code},
    }


EVENTS = [
    event("us", "patch", "hybridjobs", 0, part="status"),
    event("us", "patch", "hybridjobs", 1, part="status"),
    event("us", "patch", "hybridjobs", 2, part="status", code=409),
    event("us", "create", "events", 2, code=201),
    event("us", "update", "leases", 3),
    event("us", "patch", "quantumbackends", 3, part="status"),
    event("them", "create", "hybridjobs", 3, code=201),
    event("us", "patch", "hybridjobs", 4, part="status"),
]


def test_writes_of_one_user_within_the_time_are_counted() -> None:
    since, until = (stamp(datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)) for second in (1, 4))
    counted = count_writes(EVENTS, user="us", since=since, until=until, jobs=2)
    assert counted["by_request"] == {
        "create events 201": 1,
        "patch hybridjobs/status 200": 1,
        "patch hybridjobs/status 409": 1,
        "patch quantumbackends/status 200": 1,
        "update leases 200": 1,
    }
    assert counted["periodic"] == {"leases": 1, "quantumbackends/status": 1, "configmaps": 0, "secrets": 0, "events": 1}
    assert counted["per_job"] == 1


def measured(**changed: float) -> tuple[dict[str, Any], dict[str, Any]]:
    figures = {"ratio": 0.4, "median_ms": 149.0, "per_job": 1.0, "rss": 200.0, "child": 49.0, "wide": 0.9, "added": 1.9}
    figures |= changed
    memory = {
        "operator": {"rss": figures["rss"], "pss": None, "peak_rss": 300.0},
        "sum": {"rss": figures["rss"] + figures["child"], "pss": None},
    }
    operator = {
        "throughput": {
            "in_flight": 20,
            "operator_per_second": 120.0,
            "bare_per_second": 300.0,
            "bare_watched_per_second": 290.0,
            "ratio": figures["ratio"],
            "ratio_lowest": 0.3,
            "cpu_ms_per_job": {"operator": {"operator": 3.0, "checker": 0.0, "etcd": 1.0}, "bare": {"etcd": 1.0}},
        },
        "latency": {"median_ms": figures["median_ms"], "p90_ms": 200.0},
        "writes": {"per_job": figures["per_job"], "periodic": {"leases": 3}, "jobs": 10},
        "memory": {"finished": 10_000, "after_all_jobs": memory, "started_anew": memory},
    }
    wide = {"qubits": 15, "ratio": figures["wide"], "server_per_second": 9.0, "in_process_per_second": 10.0}
    return operator, {"clients": 4, "widths": [{"qubits": 5, "added_ms": figures["added"]}, wide]}


def test_every_bar_is_judged() -> None:
    judged = [row for row in report.rows(*measured()) if row.bar]
    assert [row.holds for row in judged] == [True] * 7


@pytest.mark.parametrize(
    ("figure", "value", "failing"),
    [
        ("ratio", 0.39, 1),
        ("median_ms", 150.0, 1),
        ("per_job", 1.001, 1),
        ("rss", 201.0, 2),
        ("child", 50.0, 2),
        ("wide", 0.89, 1),
        ("added", 2.0, 1),
    ],
)
def test_a_figure_beyond_its_bar_is_said(figure: str, value: float, failing: int) -> None:
    found = report.rows(*measured(**{figure: value}))
    assert sum(row.holds is False for row in found) == failing
    assert report.table(found).count("| NO ") == failing


@pytest.mark.parametrize(("server", "client", "holds"), [(190, 190, True), (191, 100, False), (100, 191, False)])
def test_a_large_result_is_judged_by_both_ends(server: float, client: float, holds: bool) -> None:
    row = report.large_row(Memory(payload=95, server=server, client=client, worker=1000))
    assert row.holds is holds


def test_the_table_is_even() -> None:
    lines = report.table(report.rows(*measured())).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "4.0: operator 3.0, etcd 1.0 " in "\n".join(lines)


def test_the_machine_is_described() -> None:
    facts = report.machine()
    assert facts["cpus"] >= 1
    assert facts["kubernetes"].startswith("v1.")
    assert facts["qonverge"]


def test_memory_of_this_process() -> None:
    found = footprint(psutil.Process(os.getpid()))
    own = found["operator"]
    assert own["rss"] > 10
    if own["peak_rss"] is not None:
        assert own["peak_rss"] >= own["rss"] * 0.9
    assert found["sum"]["rss"] >= own["rss"]
