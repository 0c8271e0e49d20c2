"""Money that jobs and programs may spend together is never exceeded, and all of it that is spent is told."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

from tests.integration.conftest import BELL, Lab, backend, eventually, job
from tests.integration.test_tokens import Program, ask, program

_PRICES = {"one": Decimal("0.01"), "two": Decimal("0.02")}
_SHOTS = 10
_QUOTA, _BUDGET, _SMALL = Decimal(6), Decimal("1.5"), Decimal("0.35")


def spend(port: int, token: str, identity: str) -> str:
    """Send one task as a program does, again where the pod waits for a grant, and return its state or code."""
    until = time.monotonic() + 60
    while True:
        answer = ask(port, token, "/v1/tasks?wait=30", {"id": identity, "pubs": [{"openqasm": BELL, "shots": _SHOTS}]})
        error = answer[1].get("error")
        if error is None:
            return str(answer[1]["state"])
        if error["code"] != "GrantPending" or time.monotonic() > until:
            return str(error["code"])
        time.sleep(0.1)


def capabilities(lab: Lab, name: str) -> Any:
    return lab.get("qb", name)["status"].get("capabilities")


def amount(usage: dict[str, Any] | None, currency: str = "USD") -> Decimal:
    costs = (usage or {}).get("costs", [])
    return sum((Decimal(each["amount"]) for each in costs if each["currency"] == currency), Decimal(0))


def test_a_hundred_tasks_of_five_programs_and_jobs_beside_them_keep_to_one_quota_and_their_budgets(lab: Lab) -> None:
    quota = {"limits": {"cost": {"amount": str(_QUOTA)}}, "period": "8760h"}
    lab.apply(
        *(backend(name, pricing={"perShot": str(price)}) for name, price in _PRICES.items()),
        {
            "apiVersion": "qonverge.io/v1alpha1",
            "kind": "QuantumQuota",
            "metadata": {"name": "money", "namespace": "default"},
            "spec": quota,
        },
    )
    lab.start_operator()
    lab.ready()
    for name in _PRICES:
        lab.serve(name, f"{name}-0")
        eventually(partial(capabilities, lab, name), f"what {name} can do")
    programs = [Program(lab, f"program-{number}") for number in range(5)]
    places = {each.name: ("one", "two")[number % 2] for number, each in enumerate(programs)}
    budgets = {each.name: _SMALL if number == 0 else _BUDGET for number, each in enumerate(programs)}
    lab.apply(
        *(
            program(name, backend={"name": place}, budget={"amount": str(budgets[name])})
            for name, place in places.items()
        )
    )

    def placed() -> bool:
        time.sleep(0.5)
        return all(each.get("status", {}).get("state") == "Placed" for each in lab.list("hj"))

    eventually(placed, "a place for each program")
    tokens = {each.name: each.token() for each in programs}
    names = [f"job-{number}" for number in range(60)]

    def send(pool: ThreadPoolExecutor, name: str, count: int) -> list[tuple[str, Future[str]]]:
        port = lab.port(f"{places[name]}-0")
        ids = (f"{name}-{number}" for number in range(count))
        return [(name, pool.submit(spend, port, tokens[name], identity)) for identity in ids]

    first, *others = places
    with ThreadPoolExecutor(100) as pool:
        told = [(name, end.result()) for name, end in send(pool, first, 10)]
        # 0.10 each: the fourth would go beyond 0.35.
        assert sorted(code for _, code in told) == ["BudgetExceeded"] * 7 + ["Completed"] * 3
        ends = [one for name in others for one in send(pool, name, 25)]
        lab.apply(*(job(name, shots=_SHOTS, placement={"objective": "Cost"}) for name in names))
        told += [(name, end.result()) for name, end in ends]
    assert {code for _, code in told} <= {"Completed", "BudgetExceeded", "QuotaExceeded"}
    spent = {
        name: sum(_PRICES[place] * _SHOTS for who, code in told if who == name and code == "Completed")
        for name, place in places.items()
    }
    assert all(cost <= budgets[name] for name, cost in spent.items())
    for each in programs:
        each.end()

    def all_spent() -> dict[str, Any] | None:
        """Return the statuses once the programs have ended and the quota has no room for another job."""
        time.sleep(0.5)
        statuses = {each["metadata"]["name"]: each["status"] for each in lab.list("hj")}
        assert {statuses[name]["state"] for name in names} <= {"Pending", "Placed", "Running", "Complete"}
        total = sum((amount(status.get("usage")) for status in statuses.values()), Decimal(0))
        assert total <= _QUOTA
        ended = all(statuses[name]["state"] == "Complete" for name in places)
        return statuses if ended and total > _QUOTA - _PRICES["one"] * _SHOTS else None

    statuses = eventually(all_spent, "the end of what the quota lets through")
    assert {name: amount(statuses[name].get("usage")) for name in places} == spent
    assert any(statuses[name]["state"] == "Pending" for name in names)
    used = eventually(
        lambda: (s := lab.get("qq", "money")["status"])["runningJobs"] == 0 and s["used"], "the quota's status"
    )
    total = sum((amount(status.get("usage")) for status in statuses.values()), Decimal(0))
    assert used["costs"] == [{"amount": f"{total.normalize():f}", "currency": "USD"}]
