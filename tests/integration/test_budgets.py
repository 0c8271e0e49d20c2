"""Money that jobs and programs may spend together at clouds is never exceeded, and all of it that is billed is told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from bench.places import DevCloudSite, Known, Place
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario
from tests.clouds.running import provider
from tests.integration.conftest import BELL, Lab, backend, eventually, job
from tests.integration.test_tokens import Program, ask, program

Sums = dict[str, Decimal]
"""Amounts by currency: none is added to one of another."""

# At dev-cloud: Braket tells its prices, 0.30 USD for each task (no specification says so). IonQ bills a least price for
# a task, and no more than costLimit is sent. IBM bills by the second, and the site's own pricing says how much.
_SHOT, _LIMIT, _SECOND = Decimal("0.02"), Decimal("12.5"), Decimal("0.1")
_RUN_SECONDS = Decimal("0.1")
_QUOTA, _JOB_SHOTS = Decimal(150), 200
_BUDGETS = {
    "program-0": Decimal(7),
    "program-1": Decimal(26),
    "program-2": Decimal("0.05"),
    "program-3": Decimal(15),
    "program-4": Decimal(39),
}
# Their lists of jobs do not lag, and are not waited for.
_QUICK = {"ionq": "IonqNear", "ibm": "PromptIBM"}


def section(place: Place) -> dict[str, Any]:
    """Return the section of the place's backend, with the vendor's quick provider where it has one."""
    quick = _QUICK.get(place.name)
    return place.section if quick is None else {"plugin": {"provider": quick, "options": place.section[place.name]}}


def price(place: str, shots: int) -> Decimal:
    """Return what the vendor bills for a task."""
    prices = {"braket": Decimal("0.3") + shots * _SHOT, "ionq": Decimal("12.4166"), "ibm": _SECOND * _RUN_SECONDS}
    return prices[place]


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


def spend_one_by_one(port: int, token: str, shots: int, name: str, count: int) -> list[str]:
    """Send tasks until one is refused: what a device costs by the second is known when a task has ended."""
    ends: list[str] = []
    while len(ends) < count and ends[-1:] in ([], ["Completed"]):
        ends.append(spend(port, token, shots, f"{name}-{len(ends)}"))
    return ends


def together(amounts: Iterable[tuple[str, Decimal]]) -> Sums:
    """Return sums by currency; what costs nothing is in none."""
    sums = Sums()
    for currency, amount in amounts:
        if amount:
            sums[currency] = sums.get(currency, Decimal(0)) + amount
    return sums


def told(usage: dict[str, Any] | None) -> Sums:
    """Return what a status says in ``usage`` or ``used``."""
    return together((each["currency"], Decimal(each["amount"])) for each in (usage or {}).get("costs", []))


def billed(tasks: Iterable[Known]) -> Sums:
    """Return what the clouds bill."""
    return together((task.cost.currency, task.cost.amount) for task in tasks)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DevCloudSite]:
    quiet = {"noise": False}
    timed = {**quiet, "run": {"seconds": float(_RUN_SECONDS)}, "price": {"perMinute": float(60 * _SECOND)}}
    clouds = {
        "braket": {"devices": {"Garnet": {**quiet, "price": {"perShot": float(_SHOT)}}}},
        "ionq": {"backends": {"qpu.aria-1": quiet}},
        "ibm": {"backends": {"ibm_fez": timed}},
    }
    with DevCloud(Scenario.model_validate(clouds)) as cloud, provider(tmp_path / "site"):
        yield DevCloudSite(cloud, tmp_path)


def test_tasks_of_five_programs_and_jobs_beside_them_keep_to_one_quota_and_their_budgets_at_three_vendors(
    lab: Lab, site: DevCloudSite
) -> None:
    places = [site.braket(), site.ionq(costLimit=str(_LIMIT)), site.ibm()]
    pricing = {"ibm": {"pricing": {"currency": "USD", "perSecond": str(_SECOND)}}}
    for place in places:
        manifest = backend(place.name, capacity={"concurrency": 50}, **section(place), **pricing.get(place.name, {}))
        del manifest["spec"]["simulator"]
        lab.apply(manifest)
    quota = {"limits": {"cost": {"amount": str(_QUOTA)}}, "period": "8760h"}
    metadata = {"name": "money", "namespace": "default"}
    lab.apply({"apiVersion": "qonverge.io/v1alpha1", "kind": "QuantumQuota", "metadata": metadata, "spec": quota})
    lab.start_operator()
    lab.ready()
    for place in places:
        lab.serve(place.name, f"{place.name}-0", *place.flags)

    def priced(name: str) -> str | None:
        status = lab.get("qb", name)["status"]
        source: str | None = status.get("pricing", {}).get("source") if status.get("capabilities") else None
        return source

    sources = {place.name: eventually(partial(priced, place.name), f"what {place.name} can do") for place in places}
    assert sources == {"braket": "Vendor", "ionq": "Vendor", "ibm": "Spec"}
    programs = {name: Program(lab, name) for name in _BUDGETS}
    at = dict(zip(programs, cycle(sources), strict=False))
    # By which the cloud's tasks are told apart.
    shots = {name: 100 + number for number, name in enumerate(programs)}
    lab.apply(
        *(program(name, backend={"name": at[name]}, budget={"amount": str(most)}) for name, most in _BUDGETS.items())
    )
    tokens = {name: (each.placed(), each.token())[1] for name, each in programs.items()}
    jobs = {f"job-{number}": place for number, place in zip(range(30), cycle(sources), strict=False)}

    def send(pool: ThreadPoolExecutor, name: str, count: int) -> list[Future[str]]:
        port = lab.port(f"{at[name]}-0")
        return [pool.submit(spend, port, tokens[name], shots[name], f"{name}-{number}") for number in range(count)]

    with ThreadPoolExecutor(100) as pool:
        port = lab.port("ibm-0")
        timed = pool.submit(spend_one_by_one, port, tokens["program-2"], shots["program-2"], "program-2", 12)
        sent = {name: send(pool, name, 12) for name in ("program-0", "program-1")}
        ends = {name: [one.result() for one in of] for name, of in sent.items()} | {"program-2": timed.result()}
        # 2.30 each: the fourth would go beyond 7. 12.5 are set aside for each: the third would go beyond 26.
        assert sorted(ends["program-0"]) == ["BudgetExceeded"] * 9 + ["Completed"] * 3
        assert sorted(ends["program-1"]) == ["BudgetExceeded"] * 10 + ["Completed"] * 2
        # 0.01 each.
        assert ends["program-2"] == ["Completed"] * 5 + ["BudgetExceeded"]
        sent = {name: send(pool, name, 22) for name in ("program-3", "program-4")}
        lab.apply(*(job(name, shots=_JOB_SHOTS, backend={"name": there}) for name, there in jobs.items()))
        ends |= {name: [one.result() for one in of] for name, of in sent.items()}
    assert {end for of in ends.values() for end in of} <= {"Completed", "BudgetExceeded", "QuotaExceeded"}
    spent = {
        name: together([("USD", price(at[name], shots[name]) * of.count("Completed"))]) for name, of in ends.items()
    }
    for each in programs.values():
        each.end()

    def all_spent() -> dict[str, Any] | None:
        """Return the statuses once the programs have ended and the quota has no room for a job that waits."""
        time.sleep(0.5)
        statuses = {each["metadata"]["name"]: each["status"] for each in lab.list("hj")}
        states = {name: statuses[name]["state"] for name in jobs}
        assert set(states.values()) <= {"Pending", "Placed", "Running", "Complete"}
        left = _QUOTA - sum((told(each.get("usage")).get("USD", Decimal(0)) for each in statuses.values()), Decimal(0))
        ended = {"Placed", "Running"}.isdisjoint(states.values()) and all(
            statuses[name]["state"] == "Complete" for name in programs
        )
        # What a job at IBM sets aside is forecast; the others' prices are known.
        aside = {"braket": price("braket", _JOB_SHOTS), "ionq": _LIMIT}
        wait = [aside[jobs[name]] for name, state in states.items() if state == "Pending" and jobs[name] in aside]
        return statuses if ended and wait and left < min(wait) else None

    statuses = eventually(all_spent, "the end of what the quota lets through")
    # What the clouds bill is what each says, and no more than each may spend, and all together.
    tasks = {task.id: task for place in places for task in place.tasks()}
    bills = {name: billed(task for task in tasks.values() if task.shots == of) for name, of in shots.items()}
    assert bills == spent == {name: told(statuses[name].get("usage")) for name in programs}
    assert all(of.get("USD", Decimal(0)) <= _BUDGETS[name] for name, of in bills.items())
    complete = [name for name in jobs if statuses[name]["state"] == "Complete"]
    for name in complete:
        there = billed(tasks[each["id"]] for each in statuses[name]["cloudTasks"])
        assert there == told(statuses[name]["usage"]) == {"USD": price(jobs[name], _JOB_SHOTS)}
    assert 0 < len(complete) < len(jobs)
    assert all(billed(place.tasks()) for place in places)

    def counted() -> Sums | None:
        """Return what all the clouds bill, once the quota's status says it too: a job at IBM may have found room."""
        status, total = lab.get("qq", "money")["status"], billed(task for place in places for task in place.tasks())
        return total if status["runningJobs"] == 0 and told(status["used"]) == total else None

    (total,) = eventually(counted, "the quota's status").items()
    assert total[0] == "USD"
    assert _QUOTA - _LIMIT < total[1] <= _QUOTA
