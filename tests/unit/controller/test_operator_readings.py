"""What the operator's gauges show: what is known, of the replica that leads, and nothing in place of what is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from qonverge.amounts import Amounts, Money
from qonverge.api import QuantumQuota
from qonverge.controller.jobs.ends import job_end
from qonverge.controller.web.readings import OperatorReadings, quota_readings
from qonverge.execution.transitions import timestamp
from qonverge.telemetry import JobEnd
from tests.unit.controller.worlds import NOW, World, info


def readings(world: World, *, leading: bool = True) -> dict[tuple[str, ...], float]:
    """Return the values by the metric's name, without its prefix, and the labels."""
    read = OperatorReadings(
        state=world.state,
        ledger=world.ledger,
        forecasts=world.forecasts,
        rounds=world.rounds,
        waiting=lambda: 3,
        leading=lambda: leading,
        acting=lambda: leading,
        clock=lambda: world.now,
    )
    return {(each.metric.name.removeprefix("qonverge_operator_"), *each.labels): each.value for each in list(read())}


def test_a_backend_that_serves_tells_all_and_one_that_does_not_tells_that() -> None:
    world = World()
    world.backend("a", pods=2, workers=4)
    world.backend("b", pods=0, replicas=3)
    for uid, running in (("a-0", 4), ("a-1", 1)):
        world.pod(uid).answer(info(4, running=running), 0.25, NOW)
    found = readings(world)
    of_a = {name[0]: value for name, value in found.items() if name[1:] == ("lab/a",)}
    assert of_a == {
        "backend_wanted_pods": 1.0,
        "backend_ready_pods": 2.0,
        "backend_program_slots": 8.0,
        "backend_program_slots_reserved": 0.0,
        "backend_programs_waiting": 0.0,
        "backend_programs_paused": 0.0,
        "backend_utilization_ratio": 5 / 8,
        "backend_queue_forecast_seconds": 0.0,
        "backend_round_trip_seconds": 0.25,
        "backend_two_qubit_error_ratio": 0.0,
        "backend_readout_error_ratio": 0.0,
    }
    assert found["backend_info", "lab/a", "OnPrem", "", ""] == 1.0
    of_b = {name[0]: value for name, value in found.items() if name[1:] == ("lab/b",)}
    assert of_b == {
        "backend_wanted_pods": 3.0,
        "backend_ready_pods": 0.0,
        "backend_program_slots": 0.0,
        "backend_program_slots_reserved": 0.0,
        "backend_programs_waiting": 0.0,
        "backend_programs_paused": 0.0,
        "backend_two_qubit_error_ratio": 0.0,
        "backend_readout_error_ratio": 0.0,
    }


async def test_one_that_scales_tells_its_decided_pods_what_waits_and_when_a_pod_will_serve() -> None:
    world = World()
    world.backend("a", pods=0, scaling={"minReplicas": 0, "maxReplicas": 3})
    world.state.replicas["lab/a"] = 0
    for number in range(2):
        world.job(f"j{number}")
    await world.round()
    found = {name[0]: value for name, value in readings(world).items() if name[1:] == ("lab/a",)}
    assert 0 < found.pop("backend_work_seconds") < 1
    assert found == {
        "backend_wanted_pods": 0.0,
        "backend_ready_pods": 0.0,
        "backend_waiting_tasks": 2.0,
        "backend_programs": 0.0,
        "backend_program_slots": 0.0,
        "backend_program_slots_reserved": 0.0,
        "backend_programs_waiting": 0.0,
        "backend_programs_paused": 0.0,
        "backend_queue_forecast_seconds": 10.0,
        "backend_two_qubit_error_ratio": 0.0,
        "backend_readout_error_ratio": 0.0,
    }
    world.job("p", program={"python": {"source": "print()"}}, status={"state": "Running", "backend": "lab/a"})
    assert readings(world)["backend_programs", "lab/a"] == 1.0


async def test_work_that_was_sent_is_in_the_forecast_wait() -> None:
    world = World()
    world.backend("a")
    for number in range(3):
        world.job(f"j{number}")
    await world.round()
    assert readings(world)["backend_queue_forecast_seconds", "lab/a"] > 0


def test_jobs_are_counted_by_namespace_and_state() -> None:
    world = World()
    for name, state in (("a", "Pending"), ("b", "Pending"), ("c", "Running")):
        world.job(name, status={"state": state})
    found = readings(world)
    assert {name: value for name, value in found.items() if name[0] == "jobs"} == {
        ("jobs", "chem", "Pending"): 2.0,
        ("jobs", "chem", "Running"): 1.0,
    }
    assert found["jobs_in_flight",] == 3.0


def test_a_standby_tells_of_itself_only() -> None:
    world = World()
    world.backend("a")
    world.job("j")
    assert readings(world, leading=False) == {("leader",): 0.0, ("queue_length",): 3.0, ("jobs_in_flight",): 1.0}
    assert readings(world)["leader",] == 1.0


def test_shares_of_namespaces() -> None:
    world = World()
    world.forecasts.charge("chem", 30.0)
    found = readings(world)
    assert (found["namespace_usage_seconds", "chem"], found["namespace_weight", "chem"]) == (30.0, 1.0)


def test_a_quota_has_its_limits_each_with_what_counts_against_it_and_no_sum_of_currencies() -> None:
    limits: dict[str, Any] = {"shots": 1000, "cost": {"amount": "10", "currency": "EUR"}, "concurrentJobs": 2}
    quota = QuantumQuota.model_validate({"metadata": {"name": "q", "namespace": "chem"}, "spec": {"limits": limits}})
    used = Amounts(400, 9.0, (Money(Decimal("2.5"), "EUR"), Money(Decimal(7), "USD")), jobs=1)
    assert [
        (each.metric.name.rsplit("_", 1)[1], *each.labels[2:], each.value) for each in quota_readings(quota, used)
    ] == [
        ("used", "shots", "shots", 400),
        ("limit", "shots", "shots", 1000),
        ("used", "jobs", "jobs", 1),
        ("limit", "jobs", "jobs", 2),
        ("used", "cost", "EUR", 2.5),
        ("limit", "cost", "EUR", 10.0),
    ]


def test_the_end_of_a_job_has_its_wait_and_run_time() -> None:
    job = World().job("j", age=100.0)
    status = job.status.model_copy(
        update={
            "state": "Failed",
            "reason": "WorkerLost",
            "backend": "lab/a",
            "started_at": timestamp(NOW - 60),
            "completed_at": timestamp(NOW - 20),
        }
    )
    assert job_end(job, status) == JobEnd("lab/a", "Failed", "WorkerLost", 40.0, 40.0)
    resumed = status.model_copy(update={"resumed_at": timestamp(NOW - 61), "backend": "own"})
    assert job_end(job, resumed) == JobEnd("chem/own", "Failed", "WorkerLost", 1.0, 40.0)
    never = status.model_copy(update={"started_at": None, "backend": None, "reason": "InvalidProgram"})
    assert job_end(job, never) == JobEnd("", "Failed", "InvalidProgram", None, None)
