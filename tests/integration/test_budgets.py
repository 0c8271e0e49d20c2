"""Money that jobs and programs may spend together at clouds is never exceeded, and all of it that is billed is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.places import BraketPlace
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario
from tests.integration.conftest import BELL, Lab, backend, eventually, job
from tests.integration.test_tokens import Program, ask, program

_DEVICES = {
    "garnet": "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet",
    "forte": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
    "ankaa": "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3",
}
# What a shot costs at the cloud, beside 0.30 USD for each task. No specification says so.
_PER_SHOT = {"garnet": Decimal("0.00145"), "forte": Decimal("0.01"), "ankaa": Decimal("0.0009")}
_PER_TASK = Decimal("0.3")
_QUOTA, _BUDGET, _SMALL = Decimal(20), Decimal(3), Decimal("1.5")
_JOB_SHOTS = 200


def price(place: str, shots: int) -> Decimal:
    return _PER_TASK + shots * _PER_SHOT[place]


def spend(port: int, token: str, shots: int, identity: str) -> str:
    """Send one task as a program does, again where the pod waits for a grant, and return its state or code."""
    until = time.monotonic() + 120
    while True:
        answer = ask(port, token, "/v1/tasks?wait=30", {"id": identity, "pubs": [{"openqasm": BELL, "shots": shots}]})
        error = answer[1].get("error")
        if error is None and answer[1]["state"] not in ("Queued", "Running"):
            return str(answer[1]["state"])
        if (error is not None and error["code"] != "GrantPending") or time.monotonic() > until:
            return str(answer[1]["state"] if error is None else error["code"])
        time.sleep(0.1)


def amount(usage: dict[str, Any] | None) -> Decimal:
    costs = (usage or {}).get("costs", [])
    assert {each["currency"] for each in costs} <= {"USD"}
    return sum((Decimal(each["amount"]) for each in costs), Decimal(0))


@pytest.fixture
def cloud() -> Iterator[DevCloud]:
    forte = {"price": {"perShot": float(_PER_SHOT["forte"])}, "noise": False}
    devices = {"Garnet": {"noise": False}, "Ankaa-3": {"noise": False}, "Forte-1": forte}
    with DevCloud(Scenario.model_validate({"braket": {"devices": devices}})) as cloud:
        yield cloud


def test_a_hundred_tasks_of_five_programs_and_jobs_beside_them_keep_to_one_quota_and_their_budgets(
    lab: Lab, cloud: DevCloud, tmp_path: Path
) -> None:
    places = [BraketPlace(cloud, tmp_path, device, name) for name, device in _DEVICES.items()]
    for place in places:
        manifest = backend(place.name, capacity={"concurrency": 50}, **place.section)
        del manifest["spec"]["simulator"]
        lab.apply(manifest)
    quota = {"limits": {"cost": {"amount": str(_QUOTA)}}, "period": "8760h"}
    metadata = {"name": "money", "namespace": "default"}
    lab.apply({"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumQuota", "metadata": metadata, "spec": quota})
    lab.start_operator()
    lab.ready()
    for place in places:
        lab.serve(place.name, f"{place.name}-0", *place.flags)

    def priced(name: str) -> bool:
        status = lab.get("qb", name)["status"]
        return bool(status.get("capabilities")) and status.get("pricing", {}).get("source") == "Vendor"

    for name in _DEVICES:
        eventually(partial(priced, name), f"what {name} can do and costs")
    programs = [Program(lab, f"program-{number}") for number in range(5)]
    at = {each.name: list(_DEVICES)[number % 3] for number, each in enumerate(programs)}
    # By which the cloud's tasks are told apart.
    shots = {each.name: 100 + number for number, each in enumerate(programs)}
    budgets = {each.name: _SMALL if number == 0 else _BUDGET for number, each in enumerate(programs)}
    lab.apply(
        *(program(name, backend={"name": place}, budget={"amount": str(budgets[name])}) for name, place in at.items())
    )
    tokens = {each.name: (each.placed(), each.token())[1] for each in programs}
    names = [f"job-{number}" for number in range(30)]

    def send(pool: ThreadPoolExecutor, name: str, count: int) -> list[tuple[str, Future[str]]]:
        port = lab.port(f"{at[name]}-0")
        ids = (f"{name}-{number}" for number in range(count))
        return [(name, pool.submit(spend, port, tokens[name], shots[name], identity)) for identity in ids]

    first, *others = at
    with ThreadPoolExecutor(100) as pool:
        told = [(name, end.result()) for name, end in send(pool, first, 12)]
        # 0.445 each: the fourth would go beyond 1.50.
        assert sorted(code for _, code in told) == ["BudgetExceeded"] * 9 + ["Completed"] * 3
        ends = [one for name in others for one in send(pool, name, 22)]
        spread = zip(names, [*_DEVICES] * 10, strict=True)
        lab.apply(*(job(name, shots=_JOB_SHOTS, backend={"name": there}) for name, there in spread))
        told += [(name, end.result()) for name, end in ends]
    assert {code for _, code in told} <= {"Completed", "BudgetExceeded", "QuotaExceeded"}
    spent = {
        name: price(there, shots[name]) * sum(who == name and code == "Completed" for who, code in told)
        for name, there in at.items()
    }
    for one in programs:
        one.end()

    def all_spent() -> dict[str, Any] | None:
        """Return the statuses once the programs have ended and the quota has no room for another job."""
        time.sleep(0.5)
        statuses = {each["metadata"]["name"]: each["status"] for each in lab.list("hj")}
        assert {statuses[name]["state"] for name in names} <= {"Pending", "Placed", "Running", "Complete"}
        total = sum((amount(status.get("usage")) for status in statuses.values()), Decimal(0))
        ended = all(statuses[name]["state"] == "Complete" for name in at)
        return statuses if ended and total > _QUOTA - price("ankaa", _JOB_SHOTS) else None

    statuses = eventually(all_spent, "the end of what the quota lets through", 120)
    # What the cloud bills is what each says, and no more than each may spend, and all together.
    tasks = [task for place in places for task in place.tasks()]
    billed = {name: sum((_of(t.cost) for t in tasks if t.shots == shots[name]), Decimal(0)) for name in at}
    assert billed == spent == {name: amount(statuses[name].get("usage")) for name in at}
    assert all(billed[name] <= budgets[name] for name in at)
    costs = {task.id: _of(task.cost) for task in tasks}
    complete = [name for name in names if statuses[name]["state"] == "Complete"]
    for name in complete:
        assert amount(statuses[name]["usage"]) == sum(costs[each["id"]] for each in statuses[name]["cloudTasks"])
    assert 0 < len(complete) < len(names)
    total = sum(costs.values(), Decimal(0))
    assert _QUOTA - price("ankaa", _JOB_SHOTS) < total <= _QUOTA
    used = eventually(
        lambda: (s := lab.get("qq", "money")["status"])["runningJobs"] == 0 and s["used"], "the quota's status"
    )
    assert used["costs"] == [{"amount": f"{total.normalize():f}", "currency": "USD"}]


def _of(cost: float) -> Decimal:
    return Decimal(str(cost))
