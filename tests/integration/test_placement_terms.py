"""What jobs may ask of their placement, against a real API server and real backend servers."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from qonverge.api.backend import OFFERS_LABEL
from tests.integration.conftest import NAMESPACE, SOME_SECONDS, Lab, backend, eventually, job, layered
from tests.integration.test_placement import quota, states

SECONDS = layered(21, 12)


def ready(lab: Lab, *names: str) -> None:
    def known(name: str) -> bool:
        return "capabilities" in lab.get("qb", name)["status"]

    for name in names:
        lab.serve(name, f"pod-{name}")
        eventually(partial(known, name), f"what {name} can do")


def message(lab: Lab, name: str, part: str) -> dict[str, Any]:
    """Return the job's status when its message says this."""

    def says() -> dict[str, Any] | None:
        status = lab.status(name)
        return status if part in status.get("message", "") else None

    found: dict[str, Any] = eventually(says, f"{part!r} in the message of {name}")
    return found


def placed(lab: Lab, name: str) -> dict[str, Any] | None:
    """Return the job's status once it has a place."""
    status = lab.status(name)
    return status if "placement" in status else None


def forecast_of(lab: Lab, name: str) -> Any:
    return lab.status(name).get("forecast")


def reason(status: dict[str, Any], kind: str) -> str | None:
    return next((each["reason"] for each in status["conditions"] if each["type"] == kind), None)


def noisy(name: str, **noise: Any) -> dict[str, Any]:
    return backend(name, simulator={"noise": noise}, capacity={"concurrency": 1})


def test_a_job_in_danger_of_its_deadline_is_sent_twice(served: Lab) -> None:
    served.apply(backend("second"))
    ready(served, "second")
    for attempt in range(5):
        # The deadline lies within the forecast's interval, so a busy machine may miss it. What has run teaches the
        # forecast how busy it is.
        served.apply(job(f"probe-{attempt}", SOME_SECONDS, suspend=True))
        forecast = eventually(partial(forecast_of, served, f"probe-{attempt}"), "a forecast")
        run = forecast[0]["runSeconds"]
        assert run["mid"] < run["high"]
        due = datetime.fromtimestamp(time.time() + 0.9 * run["high"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        served.apply(job(f"urgent-{attempt}", SOME_SECONDS, deadline=due, placement={"hedge": True}))
        status = served.ended(f"urgent-{attempt}", 120)
        if status["state"] == "Complete" and "also sent to" in status["placement"]:
            break
        assert status["state"] == "Complete" or reason(status, "Failed") == "DeadlineExceeded", status
        served.apply(job(f"lesson-{attempt}", SOME_SECONDS))
        assert served.ended(f"lesson-{attempt}", 120)["state"] == "Complete"
    assert status["state"] == "Complete", status
    assert "since the deadline is in danger" in status["placement"]
    assert sum(status["result"]["counts"].values()) == 1024
    # What lost ends too.
    eventually(lambda: [qb["status"].get("running") for qb in served.list("qb")] == [0, 0], "rest of both backends")


def test_shots_are_split_over_equal_backends_and_merged(served: Lab) -> None:
    served.apply(backend("second"))
    ready(served, "second")
    served.apply(job("many", layered(14, 10), shots=800_000, placement={"split": {"minShots": 1000}}))
    status = served.ended("many", 120)
    assert status["state"] == "Complete", status
    assert "; split: " in status["placement"]
    assert status["result"]["shots"] == sum(status["result"]["counts"].values()) == 800_000
    assert status["usage"]["shots"] == 800_000


def test_a_running_job_yields_where_its_policy_allows(lab: Lab) -> None:
    urgent = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "now"}, "value": 9}
    lab.apply(backend("one", capacity={"concurrency": 1}), urgent)
    try:
        lab.start_operator()
        lab.ready()
        ready(lab, "one")
        lab.apply(job("long", layered(24, 40), placement={"preemption": "Running"}))
        eventually(lambda: lab.status("long").get("state") == "Running", "the start of the long job")
        lab.apply(job("first", priorityClassName="now"))
        assert lab.ended("first")["state"] == "Complete"
        assert lab.status("long")["state"] != "Complete", "it did not wait for the end"
        eventually(lambda: lab.status("long").get("attempts") == 2, "the second attempt")
    finally:
        lab.kubectl("delete", "priorityclass", "now")


def test_a_job_waits_for_its_priority_class(served: Lab) -> None:
    served.apply(job("early", priorityClassName="soon"))
    status = message(served, "early", "waiting for the PriorityClass soon: ")
    assert (status["state"], status["reason"]) == ("Pending", "Unschedulable")
    served.apply(
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "soon"}, "value": 5}
    )
    try:
        assert served.ended("early")["state"] == "Complete"
    finally:
        served.kubectl("delete", "priorityclass", "soon")


def test_fidelity_is_forecast_and_kept_and_stale_calibrations_are_not_trusted(lab: Lab) -> None:
    lab.apply(
        noisy("good", rates={"twoQubit": 0.001, "readout": 0.001}),
        noisy("bad", rates={"twoQubit": 0.1, "readout": 0.1}),
        noisy("old", device="lima"),
    )
    lab.kubectl("patch", "qb", "old", "--type=merge", "-p", '{"spec": {"maxCalibrationAge": "24h"}}')
    lab.start_operator()
    lab.ready()
    ready(lab, "good", "bad", "old")
    lab.apply(
        job("fine", placement={"minFidelity": 0.95, "objective": "Fidelity"}),
        job("finer", placement={"minFidelity": 0.99999}),
        job("aged", backend={"name": "old"}),
    )
    assert lab.ended("fine")["backend"] == "good"
    shown = {each["backend"]: each for each in lab.status("fine")["forecast"]}
    assert shown["good"]["fidelity"]["mid"] > 0.95 > shown["bad"]["fidelity"]["mid"]
    assert "bad's forecast fidelity" in shown["bad"]["rejected"]
    assert "is below 0.99999" in message(lab, "finer", "good's forecast fidelity 0.99")["message"]
    message(lab, "aged", "spec.maxCalibrationAge is 24h")
    assert lab.status("aged")["state"] == "Pending"
    lab.kubectl("patch", "qb", "old", "--type=merge", "-p", '{"spec": {"maxCalibrationAge": null}}')
    assert lab.ended("aged")["backend"] == "old"
    # What a program will run is not known: it does not go where errors are, as long as there is a place without any.
    lab.apply(backend("exact", capacity={"concurrency": 1, "programs": 4}))
    ready(lab, "exact")
    lab.kubectl("label", "qb", "exact", "good", "use=chemistry")
    chosen: dict[str, Any] = {"backend": {"selector": {"matchLabels": {"use": "chemistry"}}}}
    lab.apply(*(job(f"program-{n}", shots=None, program={"python": {"source": "pass"}}, **chosen) for n in range(4)))
    for n in range(4):
        status = eventually(partial(placed, lab, f"program-{n}"), "a place")
        assert status["backend"] == "exact"
        assert "next is good: fidelity not known (two-qubit error 0.001 and readout error 0.001)" in status["placement"]


def test_money_is_not_spent_beyond_budget_and_quota(lab: Lab) -> None:
    lab.apply(backend("dear", pricing={"perShot": "0.01"}), quota(cost={"amount": "12.00"}, seconds=100_000))
    lab.start_operator()
    lab.ready()
    ready(lab, "dear")
    lab.apply(job("poor", shots=1000, budget={"amount": "5.00"}))
    poor = lab.ended("poor")
    assert poor["reason"] == "BudgetExceeded"
    assert (
        "dear would cost up to 10.00 USD and the budget has 5.00 USD; a budget of at least 10.00 USD" in poor["message"]
    )
    lab.apply(job("rich", shots=1000, budget={"amount": "10.00"}))
    assert lab.ended("rich")["usage"]["cost"] == "10 USD"
    lab.apply(job("next", shots=1000))
    message(
        lab, "next", "what is left of the quota of namespace default: it has 2.00 USD and the job takes up to 10.00 USD"
    )
    status = eventually(
        lambda: (s := lab.get("qq", "share")["status"])["used"]["cost"] == "10 USD" and s, "the quota's status"
    )
    assert 0 < status["used"]["seconds"] < 100_000
    lab.kubectl("patch", "qq", "share", "--type=merge", "-p", json.dumps({"spec": {"limits": {"seconds": 0}}}))
    lab.kubectl("patch", "qq", "share", "--type=merge", "-p", json.dumps({"spec": {"limits": {"cost": None}}}))
    lab.apply(job("none"))
    message(lab, "none", "dear would exceed what is left of the quota of namespace default")
    lab.kubectl("patch", "qq", "share", "--type=merge", "-p", json.dumps({"spec": {"limits": {"seconds": 1000}}}))
    assert [lab.ended(name)["state"] for name in ("none", "next")] == ["Complete"] * 2


def test_what_a_period_leaves_over_is_new_in_the_next(served: Lab) -> None:
    served.apply(quota(period="15s", shots=1024))
    served.apply(*(job(f"each-{number}") for number in range(2)))
    eventually(lambda: sorted(states(served).values()) == ["Complete", "Complete"], "both jobs, a period apart")
    ends = sorted(item["status"]["completedAt"] for item in served.list("hj"))
    periods = [int(datetime.fromisoformat(end.replace("Z", "+00:00")).timestamp()) // 15 for end in ends]
    assert periods[0] < periods[1]


def test_jobs_at_the_same_time_are_counted_across_restarts(served: Lab) -> None:
    """Nothing runs the program's pod here, so it is under way for as long as the test wants."""
    served.apply(quota(concurrentJobs=1), job("program", program={"python": {"source": "pass"}}, shots=None))
    eventually(lambda: served.status("program").get("state") == "Placed", "the program's place")
    served.apply(job("after"))
    message(served, "after", "quota of namespace default")
    served.stop_operator()
    served.start_operator()
    served.ready()
    eventually(lambda: served.get("qq", "share")["status"].get("runningJobs") == 1, "the quota's status")
    # One that would go first, whatever the order in which jobs are looked at.
    served.apply(job("later"))
    message(served, "later", "quota of namespace default")
    assert {states(served)[name] for name in ("after", "later")} == {"Pending"}
    served.kubectl("delete", "hj", "program")
    assert [served.ended(name)["state"] for name in ("after", "later")] == ["Complete"] * 2


def test_a_task_of_the_operator_before_is_taken_up_where_it_is(served: Lab) -> None:
    served.apply(quota(shots=10), backend("second"))
    ready(served, "second")
    served.apply(job("some", SOME_SECONDS, shots=10))
    there = eventually(lambda: (s := served.status("some")).get("state") == "Running" and s, "the start of the job")
    served.stop_operator(9)
    served.start_operator()
    ended = served.ended("some", 120)
    assert (ended["state"], ended["backend"], ended["attempts"]) == ("Complete", there["backend"], 1)
    assert ended["placement"] == there["placement"]
    eventually(lambda: served.get("qq", "share")["status"]["used"]["shots"] == 10, "the quota's status")


def test_namespaces_share_by_their_weights(lab: Lab) -> None:
    access = {"namespaces": {"from": "All"}}
    lab.apply(backend("one", capacity={"concurrency": 1}, access=access))
    lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}=true")
    namespaces = ("light", "heavy")
    for name, weight in zip(namespaces, (1, 3), strict=True):
        lab.kubectl("create", "namespace", name)
        share = {**quota(), "metadata": {"name": "share", "namespace": name}, "spec": {"weight": weight}}
        lab.apply(share)
        jobs = [job(f"each-{number}", layered(17, 20), shots=100) for number in range(40)]
        lab.apply(*({**each, "metadata": {**each["metadata"], "namespace": name}} for each in jobs))
    try:
        lab.start_operator()
        lab.ready()
        # Both have all their jobs there before the first can run.
        both = [partial(lab.list, "hj", name) for name in namespaces]
        eventually(
            lambda: all(each.get("status", {}).get("state") for of in both for each in of()), "a look at all jobs"
        )
        ready(lab, "one")

        def ended(name: str) -> list[tuple[str, float]]:
            """Return when each job ended that is complete, in that order, and how long it ran: shares are of time."""
            known = (item.get("status", {}) for item in lab.list("hj", name))
            complete = [each for each in known if each.get("state") == "Complete"]
            return sorted((each["completedAt"], each["usage"]["seconds"]) for each in complete)

        heavy = eventually(lambda: len(found := ended("heavy")) >= 24 and found[:24], "24 ends")
        light = [each for each in ended("light") if each[0] <= heavy[-1][0]]
        used = [sum(seconds for _, seconds in each) for each in (light, heavy)]
        assert used[0] < 0.7 * used[1], f"one after the other's share: {light}, {heavy}"
        assert used[0] > 0.1 * used[1], f"one before the other: {light}, {heavy}"
    finally:
        lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}-")
        for name in namespaces:
            lab.api.delete_all("hj", name)
            lab.kubectl("delete", "namespace", name, "--wait=false")


def test_what_was_learned_outlives_the_operator_and_damage_is_survived(served: Lab) -> None:
    def expected() -> dict[str, float]:
        served.apply(job("asked", SECONDS, suspend=True))
        forecast = eventually(lambda: served.status("asked").get("forecast"), "a forecast")
        served.kubectl("delete", "hj", "asked")
        run: dict[str, float] = forecast[0]["runSeconds"]
        return run

    cold = expected()
    for number in range(3):
        served.apply(job(f"lesson-{number}", SECONDS))
        served.ended(f"lesson-{number}", 120)
    learned = expected()
    assert learned != cold
    served.stop_operator()
    kept = served.get("configmap", "qonverge-forecasts", NAMESPACE)["data"]
    assert json.loads(kept["shares"])["usage"]["default"] > 0
    served.start_operator()
    served.ready()
    assert expected()["mid"] == learned["mid"]
    served.stop_operator()
    damaged = json.dumps({"data": {"models": "{}", "shares": '{"usage": {"default": "many"}}'}})
    served.kubectl("patch", "configmap", "qonverge-forecasts", "-n", NAMESPACE, "--type=merge", "-p", damaged)
    served.start_operator()
    served.ready()
    served.apply(job("after"))
    assert served.ended("after")["state"] == "Complete"
    assert expected()["high"] > 0
