"""Tasks on pods that do not answer: waited for, fetched when the pod answers again, or abandoned once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qonverge.amounts import Money
from qonverge.controller.pods.errors import PodLost, PodNotReached, PodSilent
from qonverge.forecast.intervals import Interval
from qonverge.scheduling import Decision
from tests.unit.controller.worlds import World, info, settled

TASK = "uid-j-1-1"


async def sent(**spec: Any) -> World:
    """Return a world whose job ``j`` has its task on a pod of ``a``."""
    world = World()
    for name in ("a", "b"):
        world.backend(name, pricing={"perSecond": "2"})
    world.job("j", **spec)
    world.forecasts.run_seconds = lambda *_: Interval(30.0, 60.0, 90.0)  # type: ignore[method-assign]
    (backend,) = [each for each in world.rounds.sight.backends(world.now) if each.name == "a"]
    job, flight = world.state.jobs["chem/j"], world.flight("j")
    assert world.submissions.send("chem/j", job, flight, Decision("chem/j", backend, "because"))
    await settled()
    return world


async def cut(world: World) -> None:
    """Let the pod fall silent, as the task's request and then another one find."""
    for _ in range(2):
        world.pods.answers[TASK].set_exception(PodSilent("timeout"))
        await settled()
    assert world.silent == {"a-0"}


async def wait(world: World, seconds: float) -> None:
    """Let time go by, and a poll."""
    world.now += seconds
    world.submissions.keep_time()
    await settled()


async def test_a_result_is_fetched_when_the_pod_is_heard_of_again() -> None:
    world = await sent()
    await cut(world)
    await wait(world, 29.0)
    asked = len(world.pods.asked)
    assert world.flight("j").result is None
    world.pod("a-0").answer(info(), 0.1, world.now)
    await wait(world, 100.0)
    # It was sent once: since then it is asked for.
    assert [began for *_, began in world.pods.asked] == [False, True, True]
    assert len(world.pods.asked) == asked + 1
    world.pods.end(TASK, {"00": 1024}, seconds=60.0)
    await settled()
    flight = world.flight("j")
    assert flight.result is not None
    assert (flight.result.error, flight.attempts, world.assigned) == (None, 1, {})
    assert flight.usage.costs == (Money(Decimal(120)),)


@pytest.mark.parametrize(("spec", "seconds"), [({}, 30), ({"retryPolicy": {"unreachableSeconds": 7}}, 7)])
async def test_a_pod_that_stays_silent_is_given_up(spec: dict[str, Any], seconds: int) -> None:
    world = await sent(**spec)
    await wait(world, 50.0)
    await cut(world)
    await wait(world, seconds - 1.0)
    assert world.flight("j").result is None
    await wait(world, 1.0)
    flight = world.flight("j")
    assert flight.result is not None
    error = flight.result.error
    assert error is not None
    assert (error.code, error.retryable) == ("PodUnreachable", True)
    assert error.message == (
        f"the backend pod lab/a-0 has not answered for {seconds} s (retryPolicy.unreachableSeconds)"
    )
    # It may have run all that time.
    assert flight.usage.seconds == 50.0 + seconds
    assert (flight.sent, world.assigned) == ((), {})


@pytest.mark.parametrize("step", [86400.0, -86400.0])
async def test_a_clock_that_is_set_changes_nothing(step: float) -> None:
    """As when the machine first hears of the time: the job neither loses its attempt nor waits for a day."""
    world = await sent()
    await cut(world)
    await wait(world, 20.0)
    world.set_clock(step)
    await wait(world, 9.0)
    assert world.flight("j").result is None
    await wait(world, 1.0)
    result = world.flight("j").result
    assert result is not None
    assert result.error is not None
    assert result.error.code == "PodUnreachable"


async def test_a_job_that_does_not_wait_is_given_up_when_a_poll_finds_the_pod_silent() -> None:
    """Although its request is open still, as on a connection on which nothing comes."""
    world = await sent(retryPolicy={"unreachableSeconds": 0})
    await wait(world, 1.0)
    assert world.flight("j").result is None
    assert world.pod("a-0").lose(world.monotonic)
    await wait(world, 0.0)
    result = world.flight("j").result
    assert result is not None
    assert result.error is not None
    assert result.error.code == "PodUnreachable"


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param([PodLost("the backend pod has forgotten the task")], id="it began anew"),
        pytest.param([PodSilent("reset"), PodLost("connection refused")], id="its server has ended"),
    ],
)
async def test_what_is_certainly_lost_is_not_waited_for(errors: list[PodLost]) -> None:
    world = await sent()
    for error in errors:
        world.pods.answers[TASK].set_exception(error)
        await settled()
    result = world.flight("j").result
    assert result is not None
    assert result.error is not None
    assert result.error.code == "PodLost"
    assert world.flight("j").usage.costs == ()


async def test_what_was_not_sent_is_no_attempt() -> None:
    world = await sent()
    world.pods.answers[TASK].set_exception(PodNotReached("connection refused"))
    await settled()
    flight = world.flight("j")
    assert (flight.awaiting_placement, flight.attempts, world.assigned) == (True, 0, {})


@pytest.mark.parametrize("silent", [True, False])
async def test_a_pod_that_is_deleted_is_not_waited_for(silent: bool) -> None:
    world = await sent(retryPolicy={"unreachableSeconds": 1000})
    if silent:
        await cut(world)
    world.take_away("a-0")
    if not silent:
        world.pods.answers[TASK].set_exception(PodSilent("reset"))
    await wait(world, 0.0)
    assert world.flight("j").result is not None


async def test_a_node_that_kubernetes_finds_unreachable_changes_nothing() -> None:
    """Its pods are not ready then, and serve again when they are."""
    world = await sent()
    endpoint = world.endpoint("a-0")
    await cut(world)
    pod = world.pod("a-0")
    pod.served = "docker://1"
    shown = type("Shown", (), {"process": "docker://1"})()
    pod.show(None, None, shown)
    await wait(world, 29.0)
    assert (world.flight("j").result, pod.silent) == (None, True)
    pod.show(endpoint, None, shown)
    pod.admit()
    assert world.state.pods.reachable(endpoint.backend) == []
    pod.answer(info(), 0.1, world.now)
    await wait(world, 0.0)
    world.pods.end(TASK, {"00": 1024})
    await settled()
    assert world.flight("j").result is not None


async def test_a_pod_that_answers_polls_and_nothing_about_its_task_is_not_asked_for_ever() -> None:
    """As where the result is too large for the link: each try is cut off, and each poll says that the pod is there."""
    world = await sent()
    await cut(world)
    tries = 0
    while world.flight("j").result is None:
        world.pod("a-0").answer(info(), 0.1, world.now)
        await wait(world, 5.0)
        world.pods.answers[TASK].set_exception(PodSilent("timeout"))
        await settled()
        assert (tries := tries + 1) < 10
    result = world.flight("j").result
    assert result is not None
    error = result.error
    assert error is not None
    assert (tries, error.code) == (3, "PodLost")
    assert error.message == "the backend pod lab/a-0 answers, but not about its task: timeout"


async def test_what_answers_between_is_asked_as_often_as_its_link_is_cut() -> None:
    world = await sent()
    for _ in range(6):
        await cut(world)
        world.pod("a-0").answer(info(), 0.1, world.now)
        await wait(world, 5.0)
        told = world.pods.answered[TASK]
        assert told is not None
        told()
    world.pods.end(TASK, {"00": 1024})
    await settled()
    result = world.flight("j").result
    assert result is not None
    assert result.error is None


async def test_a_pod_that_is_not_ready_and_does_not_answer_is_not_waited_for() -> None:
    """No poll asks it, so that nothing would tell when it has been away for too long."""
    world = await sent()
    pod = world.pod("a-0")
    pod.served = "docker://1"
    pod.show(None, None, type("Shown", (), {"process": "docker://1", "terminating": False})())
    for _ in range(2):
        world.pods.answers[TASK].set_exception(PodSilent("timeout"))
        await settled()
    result = world.flight("j").result
    assert result is not None
    assert result.error is not None
    assert (result.error.code, result.error.message) == (
        *("PodLost", "the backend pod lab/a-0 is not ready and does not answer: timeout"),
    )
