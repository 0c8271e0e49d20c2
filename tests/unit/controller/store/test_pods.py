"""What is known of backends' pods, and that all of it goes with them."""

from __future__ import annotations

import pytest

from qonverge.controller.objects.pod_order import Shown
from qonverge.controller.objects.pod_troubles import Trouble
from qonverge.controller.store.pods import BackendPods, Endpoint
from tests.unit.controller.worlds import info

TROUBLE = ("lab/a", Trouble("ImagePullBackOff", "not found"))


def endpoint(uid: str, label: str = "lab/a") -> Endpoint:
    return Endpoint(uid, "lab/pod", label, f"http://{uid}")


def serving() -> BackendPods:
    pods = BackendPods()
    pod = pods.observe("one", "lab/pod", endpoint("one"))
    pods.admit(lambda _: True)
    pod.answer(info(), 0.1, 5.0)
    pod.assign()
    pods.hold(pod, ["t"])
    return pods


def test_a_pod_that_goes_takes_all_with_it() -> None:
    pods = serving()
    pod = pods.find("one")
    assert pod is not None
    assert (pods.serving(), pods.holder("t"), pods.reachable("lab/a")) == ([pod], pod, [pod])
    pods.remove("lab/pod")
    assert (pods.serving(), pods.holder("t"), pods.reachable("lab/a"), pods.find("one")) == ([], None, [], None)
    # Its task ends later, and its answer comes too late.
    pod.release()
    pod.lose(1.0)
    pods.hold(pod, ["t"])
    assert (pods.holder("t"), pod.admitted, pod.silent) == (None, False, False)


def test_a_new_pod_of_the_same_name_begins_with_nothing() -> None:
    pods = serving()
    new = pods.observe("two", "lab/pod", endpoint("two"))
    assert (new.admitted, new.info, new.latency, new.assigned) == (False, None, None, 0)
    assert (pods.find("one"), pods.holder("t"), pods.serving()) == (None, None, [])


def test_a_pod_that_is_not_ready_keeps_its_tasks_only() -> None:
    pods = serving()
    pod = pods.observe("one", "lab/pod", None, TROUBLE)
    assert (pod.admitted, pod.silent, pod.info, pod.latency, pod.assigned) == (False, False, None, None, 1)
    assert (pods.holder("t"), pods.trouble("lab/pod"), pods.trouble_of("lab/a")) == (pod, TROUBLE, TROUBLE[1])
    assert pods.trouble_of("lab/b") is None
    with pytest.raises(LookupError, match="lab/pod is not ready"):
        pod.admit()
    pods.observe("one", "lab/pod", endpoint("one"))
    assert (pods.trouble("lab/pod"), pods.serving()) == (None, [])


def test_another_label_makes_an_admitted_pod_no_pod_of_another_backend() -> None:
    pods = serving()
    pods.observe("one", "lab/pod", endpoint("one", "lab/b"))
    pods.admit(lambda _: True)
    assert pods.reachable("lab/b") == []
    assert pods.reachable("lab/a") == pods.serving()


def test_a_silent_pod_serves_and_gets_nothing_until_it_answers() -> None:
    pods = serving()
    (pod,) = pods.serving()
    pod.lose(1.0)
    assert (pods.serving(), pods.reachable("lab/a"), pod.answers) == ([pod], [], False)
    assert pod.answer(info(), 0.1, 5.0), "that it answers again is news"
    assert pods.reachable("lab/a") == [pod]
    assert not pod.answer(info(), 0.1, 5.0)
    assert pod.answer(info(workers=2), 0.1, 5.0)


def test_a_pod_that_somebody_deleted_is_asked_for_what_it_has_and_gets_nothing() -> None:
    pods, ends = serving(), Shown(terminating=True, counts=False, process="c1")
    pod = pods.observe("one", "lab/pod", endpoint("one"), shown=ends)
    assert (pods.serving(), pods.reachable("lab/a"), pods.accepting("lab/a"), pods.uids()) == (
        [pod],
        [pod],
        [],
        frozenset(),
    )
    assert (pod.info, pods.holder("t")) == (info(), pod)
    pod.lose(6.0)
    assert (pods.serving(), pods.silent("lab/a")) == ([pod], []), "its silence is no trouble of its backend"
    pods.remove("lab/pod")
    assert pod.terminating, "who waits for a task of it learns why it was lost"


def test_one_that_takes_nothing_more_gets_nothing_until_it_says_otherwise() -> None:
    pods = serving()
    (pod,) = pods.serving()
    pod.refuse()
    assert (pods.reachable("lab/a"), pods.accepting("lab/a")) == ([pod], [])
    pod.answer(info(), 0.1, 5.0)
    assert pods.accepting("lab/a") == [pod]


def test_latency_falls_at_once_and_rises_by_and_by() -> None:
    (pod,) = serving().serving()
    pod.answer(info(), 0.02, 5.0)
    assert pod.latency == 0.02
    pod.answer(info(), 1.02, 5.0)
    assert pod.latency == pytest.approx(0.52)


def test_of_several_troubles_always_the_same_one_is_told() -> None:
    pods = BackendPods()
    for name in ("b", "a"):
        pods.observe(name, f"lab/{name}", None, ("lab/a", Trouble(name, "")))
    assert pods.trouble_of("lab/a") == Trouble("a", "")


def test_no_more_tasks_are_released_than_were_assigned() -> None:
    (pod,) = serving().serving()
    pod.release()
    with pytest.raises(ValueError, match="lab/pod has no task to release"):
        pod.release()


def test_pods_of_a_backend_are_all_that_bear_its_label() -> None:
    pods = BackendPods()
    pods.observe("one", "lab/pod", backend="lab/a", created=100.0)
    pods.observe("two", "lab/other", backend="lab/b")
    (one,) = pods.of("lab/a")
    assert (one.uid, one.created, one.started_in) == ("one", 100.0, None)
    pods.observe("one", "lab/pod", endpoint("one"), backend="lab/a", created=100.0, ready_at=107.0)
    # That it was not ready in between is no later start.
    pods.observe("one", "lab/pod", endpoint("one"), backend="lab/a", created=100.0, ready_at=160.0)
    assert one.started_in == 7.0
    pods.observe("one", "lab/pod", backend="lab/b", created=100.0)
    assert (pods.of("lab/a"), {pod.uid for pod in pods.of("lab/b")}) == ([], {"one", "two"})
    pods.remove("lab/pod")
    pods.remove("lab/other")
    assert pods.of("lab/b") == []


def test_a_bandwidth_is_of_large_answers_and_goes_with_the_pod() -> None:
    (pod,) = serving().serving()
    pod.latency = None
    seen = []
    for seconds, at in ((1.0, 5.0), (0.25, 6.0)):
        pod.carry(10**6, seconds, at)
        assert pod.rate is not None
        assert pod.rate.at == at
        seen.append(pod.rate.value)
    assert seen == pytest.approx([1e6, 2.5e6], rel=0.01)
    pod.show(None, None)
    assert pod.rate is None
