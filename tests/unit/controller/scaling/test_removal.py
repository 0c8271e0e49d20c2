"""A backend gets smaller and no running task ends for it: the operator's own steps, in a cluster where all is late."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from qonverge.controller.objects.pod_order import Shown
from qonverge.controller.scaling.removal_plan import Candidate, Size, plan
from qonverge.controller.store.pods import BackendPods, Endpoint
from tests.unit.controller.scaling.clusters import KEY, Cluster
from tests.unit.controller.worlds import info


async def settle(cluster: Cluster, wanted: int, seconds: float = 60.0) -> str:
    """Want so many pods until there are, and return what was said last."""
    why = ""
    for step in range(round(seconds * 10)):
        await cluster.tick()
        if step % 10 == 0:
            cluster.poll()
            replicas, why = await cluster.removal.remove(KEY, wanted)
            cluster.size(replicas)
        if cluster.spec == len(cluster.servers) == len(cluster.state.pods_of(KEY)) == wanted:
            break
    return why


@pytest.mark.parametrize("seed", range(4))
async def test_no_task_ends_in_hundreds_of_scale_downs(seed: int) -> None:
    """Programs send without a pause, wants change at any moment, answers get lost, servers crash, all is seen late."""
    cluster = Cluster(seed, 4)
    allowed, under_way = 4, (0.0, 4)
    steps, crashes, wanted = 0, 0, 4
    while cluster.removed < 260 and steps < 60_000:
        steps += 1
        await cluster.tick()
        if cluster.draw.random() < 0.3:
            cluster.send(cluster.draw.choice((0.1, 0.5, 3.0)))
        if steps % 50 == 0:
            cluster.poll()
        if cluster.draw.random() < 0.002 and cluster.servers:
            crashes += 1
            cluster.restart(cluster.draw.choice(sorted(cluster.servers)))
        if steps % 10 == 0:
            wanted = cluster.draw.choice((0, 1, 1, 2, 4, 6)) if steps % 60 == 0 else wanted
            allowed, why = await cluster.removal.remove(KEY, wanted)
            assert bool(why) == (allowed != wanted)
        # The backend's reconciler applies what is allowed when it begins, and that arrives some time later.
        if under_way[0] <= cluster.now:
            cluster.size(under_way[1])
            under_way = (cluster.now + cluster.draw.uniform(0.0, 1.5), allowed)
    await cluster.removal.close()
    assert cluster.removed >= 260
    assert cluster.begun > 500
    assert crashes > 5
    assert cluster.killed == []
    assert cluster.lost == 0


async def test_a_pod_that_drains_is_taken_back_where_demand_returns() -> None:
    cluster = Cluster(1, 2)
    await settle(cluster, 2)
    for server in cluster.servers.values():
        server.tasks = [cluster.now + 1000.0]
    why = await settle(cluster, 1, 10.0)
    assert "is to go and has 1 task to end first" in why
    (leaving,) = [pod for pod in cluster.state.pods.serving() if pod.draining]
    assert len(cluster.state.pods_of(KEY)) == 1
    assert cluster.servers[leaving.key.split("/")[1]].draining
    assert await settle(cluster, 2, 10.0) == ""
    assert len(cluster.state.pods_of(KEY)) == 2
    assert not any(server.draining or server.cost for server in cluster.servers.values())
    await cluster.removal.close()


async def test_a_pod_stays_while_it_keeps_results_that_nobody_else_can() -> None:
    cluster = Cluster(2, 2)
    cluster.fails = 0.0
    await settle(cluster, 2)
    for server in cluster.servers.values():
        server.kept = 2
    await settle(cluster, 1)
    assert (len(cluster.servers), cluster.lost) == (1, 0), "the other one takes them"
    (left,) = cluster.servers.values()
    left.kept = 2
    why = await settle(cluster, 0, 20.0)
    assert "keeps 2 results that other pods have to take first: no other pod stays" in why
    assert len(cluster.servers) == 1
    left.kept = 0
    await settle(cluster, 0)
    assert (len(cluster.servers), cluster.lost) == (0, 0)
    await cluster.removal.close()


async def test_nothing_goes_of_a_backend_whose_pods_do_not_answer() -> None:
    cluster = Cluster(3, 2)
    await settle(cluster, 2)
    cluster.fails = 1.0
    why = await settle(cluster, 1, 20.0)
    assert "has not said yet that it takes no tasks: the answer is lost" in why
    assert len(cluster.servers) == 2
    await cluster.removal.close()
    await asyncio.sleep(0)


def test_during_a_rollout_nothing_goes() -> None:
    pods = [Candidate(name, name, Shown(f"rs-{name}"), draining=True, empty=True) for name in "ab"]
    made = plan(Size(1, 2), pods)
    assert (made.replicas, made.waiting) == (2, "pods go when the rollout that is under way has ended")


def test_what_may_have_tasks_and_cannot_be_asked_stays() -> None:
    ready = Endpoint("one", "lab/pod", "lab/a", "http://one")
    pods, running = BackendPods(), Shown(process="c1")
    pod = pods.observe("one", "lab/pod", ready, shown=running)
    pods.admit(lambda _: True)
    pods.observe("one", "lab/pod", shown=replace(running, ready=False))
    assert pod.may_run_tasks, "its server served, and nobody can ask it"
    pods.observe("one", "lab/pod", shown=replace(running, ready=False, process="c2"))
    assert not pod.may_run_tasks, "it began anew"


def test_a_pod_that_leaves_is_given_nothing_and_programs_are_named_to_it_once_it_drains() -> None:
    pods = BackendPods()
    pod = pods.observe("one", "lab/pod", Endpoint("one", "lab/pod", "lab/a", "http://one"))
    pods.admit(lambda _: True)
    pod.answer(info(boot="b"), 0.1, 5.0)
    assert (pods.accepting("lab/a"), pod.admits_programs) == ([pod], True)
    pod.leave()
    assert (pods.accepting("lab/a"), pods.reachable("lab/a"), pod.admits_programs) == ([], [pod], False)
    pod.drain(info(draining=True, boot="b"))
    assert pod.admits_programs
    pod.answer(info(draining=True, boot="c"), 0.1, 5.0)
    assert pod.drained is None, "it began anew"
    pod.drain(info(draining=True, boot="c"))
    pod.answer(info(boot="c"), 0.1, 5.0)
    assert pod.drained is None, "it takes tasks, whoever asked it to"
    pod.stay(info(boot="c"))
    assert (pods.accepting("lab/a"), pod.admits_programs) == ([pod], True)
    # One before this operator had it drained.
    pod.answer(info(draining=True, boot="c"), 0.1, 5.0)
    assert (pods.accepting("lab/a"), pod.leaving) == ([], False)
