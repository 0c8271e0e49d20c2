"""Figures of devices: which source is taken, how old they may be, and that what is missing stays missing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qonverge.amounts import TaskLimits
from qonverge.controller.pods.prometheus import PrometheusError, promql, read
from qonverge.controller.store.devices import FIGURES, device_of, measured, measured_by
from qonverge.controller.store.pods import BackendPod, BackendPods, Endpoint
from qonverge.telemetry.figures import Figure
from qonverge.wire.vendor import DeviceState
from tests.unit.controller.worlds import NOW, World, info

TOLD = DeviceState(online=True, queue_length=4, wait_seconds=100.0, round_trip_seconds=0.2, limits=TaskLimits(7))


def pod(device: DeviceState | None = TOLD, told_at: float = NOW, **scraped: tuple[float, float]) -> BackendPod:
    """Return a pod, with figures that a Prometheus server has of it: a value and a time each."""
    made = BackendPod("uid", "lab/acme-0")
    made.show(Endpoint("uid", "lab/acme-0", "lab/acme-qb", "http://acme"), None)
    made.admit()
    made.answer(info(device=device), 0.01, told_at)
    made.scrape({name: Figure(value, at, "Prometheus") for name, (value, at) in scraped.items()})
    return made


def test_without_prometheus_all_is_as_the_pod_says() -> None:
    found = measured_by(pod(), NOW + 5, 60)
    assert found.device == TOLD
    assert found.figures == {
        "online": Figure(1.0, NOW, "Pod"),
        "queue_length": Figure(4.0, NOW, "Pod"),
        "wait_seconds": Figure(100.0, NOW, "Pod"),
        "round_trip_seconds": Figure(0.2, NOW, "Pod"),
    }
    assert found.stale == ()


def test_what_prometheus_has_goes_first_while_it_is_new_enough() -> None:
    scraped = pod(wait_seconds=(7.0, NOW - 50), queue_length=(9.0, NOW - 61))
    found = measured_by(scraped, NOW, 60)
    assert found.device == replace(TOLD, wait_seconds=7.0)
    assert found.figures["wait_seconds"] == Figure(7.0, NOW - 50, "Prometheus")
    assert found.figures["queue_length"].source == "Pod"


def test_what_is_too_old_is_missing_and_not_0() -> None:
    found = measured_by(pod(wait_seconds=(7.0, NOW - 50)), NOW + 61, 60)
    assert found.device is not None
    assert (found.device.wait_seconds, found.device.queue_length, found.device.round_trip_seconds) == (None,) * 3
    assert found.device.online, "nobody says that it is not"
    assert (found.figures, found.stale) == ({}, tuple(FIGURES))
    # What it last was is still told.
    assert (found.last("wait_seconds"), found.former["wait_seconds"]) == (100.0, Figure(100.0, NOW, "Pod"))
    assert measured_by(pod(DeviceState(True)), NOW + 61, 60).last("wait_seconds") is None


def test_an_offline_device_stays_offline_until_somebody_says_otherwise() -> None:
    offline = replace(TOLD, online=False, reason="it is closed", available_at=NOW + 9)
    old = measured_by(pod(offline), NOW + 61, 60).device
    assert old is not None
    assert (old.online, old.reason) == (False, "it is closed")
    back = measured_by(pod(offline, online=(1.0, NOW)), NOW, 60).device
    assert back is not None
    assert (back.online, back.reason, back.available_at) == (True, "", None)
    gone = measured_by(pod(online=(0.0, NOW)), NOW, 60).device
    assert gone is not None
    assert not gone.online


def test_what_a_device_is_does_not_change_where_its_pod_misses_a_poll() -> None:
    """A result that comes meanwhile costs what it costs, by the tasks that the device makes of it."""
    world = World()
    backend = world.backend("acme", simulator=None, ionq={"backend": "simulator"})
    pod = world.pod("acme-0")
    pod.answer(info(device=TOLD), 0.01, NOW)
    assert device_of(world.state.pods, backend) == TOLD
    assert pod.lose(NOW + 5)
    assert device_of(world.state.pods, backend) == TOLD
    assert measured(world.state.pods, backend, NOW + 5).device is None, "how it does now is not known"
    world.take_away("acme-0")
    assert device_of(world.state.pods, backend) is None


def test_a_vendor_that_does_not_tell_has_no_figure() -> None:
    found = measured_by(pod(DeviceState(True)), NOW, 60)
    assert (set(found.figures), found.stale) == ({"online"}, ())
    assert measured_by(pod(None), NOW, 60).device is None


def test_only_another_value_of_a_serving_pod_is_news() -> None:
    pods = BackendPods()
    pods.observe("a", "lab/a", Endpoint("a", "lab/a", "lab/acme-qb", "http://a")).admit()
    pods.observe("b", "lab/b", Endpoint("b", "lab/b", "lab/acme-qb", "http://b"))
    figures = {"lab/a": {"online": Figure(1.0, NOW, "Prometheus")}}
    assert pods.scrape(figures)
    assert not pods.scrape({"lab/a": {"online": Figure(1.0, NOW + 5, "Prometheus")}})
    assert not pods.scrape({**figures, "lab/b": figures["lab/a"], "lab/c": figures["lab/a"]})
    assert pods.scrape({}), "what is gone is news too"


def series(name: str, *values: tuple[float, str], **labels: str) -> dict[str, object]:
    return {"metric": {"__name__": name, "namespace": "lab", "pod": "acme-0", **labels}, "values": list(values)}


def test_the_newest_sample_counts_with_its_own_time() -> None:
    result = [
        series("qonverge_backend_device_wait_seconds", (NOW - 20, "8"), (NOW - 5.5, "9.5")),
        series("qonverge_backend_device_wait_seconds", (NOW - 30, "1"), instance="before"),
        series("qonverge_backend_device_queue_length", (NOW, "NaN")),
        series("qonverge_backend_device_online", (NOW, "1"), namespace="other"),
    ]
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
    assert read(body) == {
        "lab/acme-0": {"wait_seconds": Figure(9.5, NOW - 5.5, "Prometheus")},
        "other/acme-0": {"online": Figure(1.0, NOW, "Prometheus")},
    }
    assert promql(60).endswith('namespace!="",pod!=""}[60000ms]')


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data": null}', b'{"data": {"result": [1]}}'])
def test_another_answer_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(PrometheusError, match="its answer is none of the API"):
        read(body)
