"""What pods and tasks draw, from a Prometheus server's answer to decisions, statuses and what is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qonverge.api import QuantumBackend
from qonverge.controller.backends.status import Seen, status_of
from qonverge.controller.pods.power_meters import PowerMeters
from qonverge.controller.pods.prometheus import PrometheusError, Watts, read_watts
from qonverge.controller.settings import Settings
from qonverge.controller.store.devices import task_watts
from qonverge.scheduling.trace import read
from tests.unit.controller.worlds import World, info, settled

_IDLE, _TASK = 2.0, 30.0


def answer(*series: tuple[dict[str, str], str], kind: str = "vector") -> bytes:
    result = [{"metric": labels, "value": [1000.5, value]} for labels, value in series]
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def test_series_are_of_pods_or_of_tasks_and_parts_are_added() -> None:
    pod, task = {"namespace": "lab", "pod": "a-0"}, {"namespace": "lab", "backend": "qpu"}
    lost: list[tuple[dict[str, str], str]] = [({"pod": "a-0"}, "1"), ({"namespace": "lab"}, "1"), ({**pod}, "NaN")]
    found = read_watts(
        answer(({**pod, "zone": "dram"}, "1.5"), ({**pod, "zone": "package"}, "8"), (task, "25e3"), *lost)
    )
    assert found == Watts({"lab/a-0": 9.5}, {"lab/qpu": 25_000.0})


@pytest.mark.parametrize("body", [b"{", answer(kind="matrix"), b'{"data": {"resultType": "vector", "result": [1]}}'])
def test_another_answer_is_refused(body: bytes) -> None:
    with pytest.raises(PrometheusError, match="its answer is no instant vector"):
        read_watts(body)


def test_a_query_without_a_server_is_refused() -> None:
    with pytest.raises(ValueError, match="QONVERGE_PROMETHEUS_URL is to name the server that answers it"):
        Settings.from_environment({"QONVERGE_PROMETHEUS_POWER_QUERY": "watts"})


class Measured:
    """A world whose pods are measured every 5 s while tasks run on some of them."""

    def __init__(self) -> None:
        self.world = World()
        self.meters = PowerMeters(self.world.state)
        self.ran: dict[str, float] = {}
        self.boots: dict[str, str] = {}

    def pass_time(self, seconds: float, busy: dict[str, float], task: float = _TASK) -> None:
        """Let so many tasks run on pods, on the others none."""
        world = self.world
        for _ in range(round(seconds / 5)):
            world.now += 5.0
            watts = {}
            for uid in world.serving():
                running = busy.get(uid, 0.0)
                self.ran[uid] = self.ran.get(uid, 0.0) + 5.0 * running
                boot = self.boots.get(uid, "")
                world.pod(uid).answer(info(4, boot=boot, task_seconds=self.ran[uid]), 0.01, world.now)
                watts[f"lab/{uid}"] = _IDLE + task * running
            self.meters.take(Watts(watts, {}), world.now)

    def watts(self, name: str) -> float | None:
        found, _ = task_watts(self.world.state.powers, self.world.state.backends[f"lab/{name}"], self.world.now)
        return found


def test_power_is_learned_from_pods_and_goes_before_what_a_specification_says() -> None:
    measured = Measured()
    for name in ("a", "b"):
        measured.world.backend(name, pods=2, energy={"taskWatts": 999})
    measured.world.backend("cloud", simulator=None, plugin={"provider": "Acme"})
    measured.pass_time(120, {})
    measured.pass_time(300, {"a-0": 0.5, "a-1": 1.0, "cloud-0": 1.0})
    assert measured.watts("a") == pytest.approx(_TASK, rel=0.02)
    assert measured.watts("b") == 999, "nothing ran there"
    assert measured.watts("cloud") is None, "the power of its proxy is not the device's"
    # A server that begins anew counts from nothing.
    measured.boots["a-0"], measured.ran["a-0"] = "2", 0.0
    measured.pass_time(120, {"a-0": 0.5, "a-1": 1.0})
    assert measured.watts("a") == pytest.approx(_TASK, rel=0.02)


def test_pods_of_a_former_version_do_not_tell_how_long_tasks_ran() -> None:
    measured = Measured()
    measured.world.backend("a")
    for _ in range(100):
        measured.world.now += 5.0
        measured.world.pod("a-0").answer(info(4), 0.01, measured.world.now)
        measured.meters.take(Watts({"lab/a-0": 50.0}, {}), measured.world.now)
    assert measured.watts("a") is None


def _status(world: World, backend: QuantumBackend) -> dict[str, Any]:
    watts, figure = task_watts(world.state.powers, backend, world.now)
    seen = Seen(task_watts=watts, measured=figure is not None)
    found: dict[str, Any] = status_of(backend, seen, world.now).to_dict()
    return found


async def test_a_job_that_asks_for_it_goes_where_a_task_was_measured_to_draw_less() -> None:
    """Its record has the figure with its source, and its usage and the metric what the task took."""
    measured = Measured()
    world = measured.world
    wasteful, frugal = world.backend("a", energy={"taskWatts": 1}), world.backend("b", energy={"taskWatts": 500})
    measured.pass_time(120, {})
    measured.pass_time(300, {"b-0": 1.0})
    world.state.powers.tell({"lab/a": 80.0}, world.now)
    world.job("j", placement={"objective": "Energy"})
    await world.round()
    assert list(world.pods.given) == ["uid-j-1-1"]
    (line,) = world.traces.lines()
    seen = {each.name: each for each in read(line).snapshot.backends}
    assert {name: each.task_watts for name, each in seen.items()} == {"a": 80.0, "b": pytest.approx(_TASK, rel=0.02)}
    assert [each.figures["task_watts"].source for each in seen.values()] == ["Prometheus"] * 2
    flight = world.flight("j")
    best = flight.forecast[0]
    assert (best.backend, best.rejected) == ("lab/b", None)
    assert best.energy_joules is not None
    assert best.run_seconds is not None
    assert best.energy_joules.mid == pytest.approx(_TASK * best.run_seconds.mid, rel=0.02)
    world.pods.end("uid-j-1-1", {"00": 1000}, seconds=4.0)
    await settled()
    assert flight.usage.joules == pytest.approx(4 * _TASK, rel=0.02)
    text = world.metrics.exposition().decode()
    assert f'qonverge_operator_energy_joules_total{{backend="lab/b",namespace="chem"}} {flight.usage.joules}' in text
    assert _status(world, frugal)["energy"] == {"source": "Prometheus", "taskWatts": 30.0}
    world.now += 61
    assert _status(world, wasteful)["energy"] == {"source": "Spec", "taskWatts": 1.0}


async def test_what_ran_where_no_power_is_known_has_no_energy_rather_than_none() -> None:
    world = World()
    world.backend("a")
    world.job("j")
    await world.round()
    world.pods.end("uid-j-1-1", {"00": 1000}, seconds=4.0)
    await settled()
    assert world.flight("j").usage.seconds == 4.0
    assert world.flight("j").usage.joules is None
    assert "energy_joules_total{" not in world.metrics.exposition().decode()
    assert "energy" not in _status(world, world.state.backends["lab/a"])
