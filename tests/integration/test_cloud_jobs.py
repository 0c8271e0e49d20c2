"""Jobs on a device elsewhere, with a real API server, the real operator, a real proxy and a vendor in a process."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.chaos import Drill, Kill
from bench.places import VendorPlace
from qonverge.devices.noise import noise_named
from tests.clouds.running import Service, provider, vendor
from tests.integration.conftest import Lab, backend, eventually, job
from tests.integration.test_tokens import Program, code, program, send

FINALIZER = "qonverge.io/cloud-tasks"
# What the proxy's translator has.
TURN = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; x q[0]; cx q[0], q[1]; c = measure q;'


class Site:
    """A lab with one backend, acme, whose device is the vendor's."""

    def __init__(self, lab: Lab, service: Service) -> None:
        self.lab, self.service = lab, service

    def start(self) -> None:
        self.lab.start_operator()
        self.lab.ready()

    def send(self, name: str, **spec: Any) -> None:
        self.lab.apply(job(name, TURN, shots=100, **spec))

    def queued(self, name: str) -> dict[str, Any]:
        """Wait until the vendor has the job's task and the status says so."""
        found: dict[str, Any] = eventually(
            lambda: status if (status := self.lab.status(name)).get("cloudTasks") else None, f"the task of {name}"
        )
        return found

    def events(self, reason: str) -> list[str]:
        return [each["message"] for each in self.lab.list("events") if each["reason"] == reason]


@pytest.fixture
def site(lab: Lab, tmp_path: Path) -> Iterator[Site]:
    with vendor() as service, provider(tmp_path / "site"):
        calibration = noise_named("manila")
        service.control(
            settings={"billed": ["0.25", "USD"]},
            device={"queue_length": 3, "price": ["0.30", "USD"], "num_qubits": 5, "calibration": calibration.to_dict()},
        )
        section = {"provider": "Tagged", "options": {"endpoint": service.url}}
        manifest = backend("acme", plugin=section, capacity={"concurrency": 4})
        del manifest["spec"]["simulator"]
        lab.apply(manifest)
        site = Site(lab, service)
        site.start()
        lab.serve("acme")
        eventually(lambda: lab.get("qb", "acme")["status"].get("calibration"), "the device's calibration")
        yield site


def test_a_circuit_runs_there_the_status_says_everything_and_cancel_means_cancel(site: Site) -> None:
    runs(site)
    cancels(site)


def runs(site: Site) -> None:
    status = site.lab.get("qb", "acme")["status"]
    conditions = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert conditions["Available"] == ("True", "Online")
    assert conditions["Calibrated"] == ("True", "Calibrated")
    assert (status["engine"], status["device"], status["calibration"]["name"]) == (
        "Tagged",
        {"queueLength": 3},
        "manila",
    )
    assert status["pricing"]["source"] == "Vendor"
    assert (float(status["pricing"]["perTask"]), status["pricing"]["currency"]) == (0.3, "USD")
    assert "True" in site.lab.kubectl("get", "qb", "acme")
    site.send("turn")
    ended = site.lab.ended("turn")
    assert ended["state"] == "Complete", ended
    assert ended["result"]["counts"] == {"11": 100}
    assert (ended["backend"], ended["attempts"]) == ("acme", 1)
    (task,) = ended["cloudTasks"]
    assert task["state"] == "Completed"
    assert task["link"] == f"https://vendor.example/tasks/{task['id']}"
    assert ended["provenance"]["calibration"] == noise_named("manila").digest
    assert "submissions" not in ended
    (forecast,) = ended["forecast"]
    assert (forecast["cost"]["mid"], forecast["currency"]) == (0.3, "USD")
    assert 0.5 < forecast["fidelity"]["mid"] < 1
    assert forecast["waitSeconds"]["high"] > 1
    eventually(lambda: FINALIZER not in site.lab.get("hj", "turn")["metadata"].get("finalizers", []), "its release")
    # A budget below the vendor's price.
    site.send("poor", budget={"amount": "0.10"})
    message = eventually(lambda: site.lab.status("poor").get("message"), "why not")
    assert "acme would cost up to 0.30 USD and the budget has 0.10 USD" in message
    assert len(site.service.tasks) == 1


def cancels(site: Site) -> None:
    lab = site.lab
    site.service.control(settings={"seconds": 600})
    for name in ("deleted", "held"):
        site.send(name)
        site.queued(name)
    lab.kubectl("delete", "hj", "deleted", "--wait=false")
    eventually(lambda: not lab.get("hj", "deleted"), "the deletion")
    lab.kubectl("patch", "hj", "held", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    eventually(lambda: not lab.get("hj", "held")["metadata"].get("finalizers"), "its release")
    status = lab.status("held")
    assert status["state"] == "Suspended"
    assert "submissions" not in status
    # The first one was that of another job.
    assert [task["state"] for task in site.service.tasks[1:]] == ["Cancelled", "Cancelled"]
    site.service.control(settings={"seconds": 0.0})
    lab.kubectl("patch", "hj", "held", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    assert lab.ended("held")["attempts"] == 2
    assert [task["state"] for task in site.service.tasks[1:]] == ["Cancelled", "Cancelled", "Completed"]


def test_nothing_is_paid_twice_whenever_the_operator_and_the_proxy_are_killed(site: Site) -> None:
    lab = site.lab
    # Between the intent and the proxy: it does not read what it is sent.
    lab.pods["pod-0"].send_signal(signal.SIGSTOP)
    site.send("once")
    status = eventually(lambda: found if (found := lab.status("once")).get("submissions") else None, "the intent")
    assert (status["state"], status["attempts"], status["backend"]) == ("Placed", 1, "acme")
    assert [each["backend"] for each in status["submissions"]] == ["default/acme"]
    assert lab.get("hj", "once")["metadata"]["finalizers"] == [FINALIZER]
    lab.stop_operator(signal.SIGKILL)
    site.service.control(settings={"seconds": 600})
    lab.pods["pod-0"].send_signal(signal.SIGCONT)
    # Another backend comes, which placement would prefer.
    lab.apply(backend("aer"))
    site.start()
    lab.serve("aer", "pod-1")
    queued = site.queued("once")
    assert (queued["state"], queued["reason"]) == ("Placed", "QueuedElsewhere")
    assert queued["message"].startswith("1 task queued on acme, at place 1 of its queue")
    # Between the send and the result: both at once, and the job's limit changes, which makes another generation.
    lab.stop_operator(signal.SIGKILL)
    lab.pods["pod-0"].kill()
    lab.pods["pod-0"].wait()
    lab.kubectl("patch", "hj", "once", "--type=merge", "-p", json.dumps({"spec": {"activeDeadlineSeconds": 3000}}))
    site.start()
    lab.start_server("pod-0")
    site.service.control(settings={"seconds": 0.0})
    ended = lab.ended("once")
    assert (ended["state"], ended["backend"], ended["attempts"]) == ("Complete", "acme", 1), (
        ended["reason"],
        ended["message"],
    )
    assert ended["result"]["counts"] == {"11": 100}
    assert len(site.service.tasks) == 1


def test_a_vendor_that_does_not_cancel_is_told_of_and_stops_nothing_for_ever(site: Site) -> None:
    lab = site.lab
    site.service.control(settings={"seconds": 600})
    site.send("stuck")
    (task,) = site.queued("stuck")["cloudTasks"]
    site.service.fault("cancel", "busy", 1_000_000)
    lab.kubectl("delete", "hj", "stuck", "--wait=false")
    message = eventually(
        lambda: next((each for each in site.events("CloudTasksRemain") if "too many requests" in each), None),
        "an event",
    )
    assert lab.status("stuck")["reason"] == "CloudTasksRemain"
    assert message.startswith("1 task on devices elsewhere may still run: default/acme was asked to cancel")
    assert f"the vendor's tasks are {task['id']}" in message
    way_out = message.split("to wait no longer: kubectl ")[1]
    # Its operator and its proxy may go: who follows knows of it.
    lab.stop_operator(signal.SIGKILL)
    lab.pods["pod-0"].kill()
    lab.pods["pod-0"].wait()
    lab.start_server("pod-0")
    before = len(site.events("CloudTasksRemain"))
    site.start()
    eventually(lambda: len(site.events("CloudTasksRemain")) > before, "what the successor says")
    assert lab.get("hj", "stuck")["metadata"]["finalizers"] == [FINALIZER]
    lab.kubectl(*way_out.split())
    eventually(lambda: not lab.get("hj", "stuck"), "the deletion")
    assert any(task["id"] in message for message in eventually(lambda: site.events("CloudTasksAbandoned"), "an event"))
    assert len(site.service.tasks) == 1


def test_what_programs_sent_is_begun_once_and_ends_with_them_though_operator_and_proxy_were_killed(site: Site) -> None:
    lab = site.lab
    site.service.control(settings={"seconds": 600})
    programs = {name: Program(lab, name) for name in ("deleted", "held", "ends")}
    lab.apply(*(program(name) for name in programs))
    for name, each in programs.items():
        status, metadata = each.placed(), lab.get("hj", name)["metadata"]
        assert status["submissions"] == [
            {"task": f"{metadata['uid']}-0.1", "backend": "default/acme", "attempt": 1, "hedge": False}
        ]
        assert metadata["finalizers"] == [FINALIZER]
    tokens = {name: each.token() for name, each in programs.items()}

    def begin() -> bool:
        """Send what a program's client sends again after a restart of the proxy; it waits to be told of programs."""
        return all(send(lab.port("pod-0"), token, f"of-{name}", TURN, 0)[0] == 202 for name, token in tokens.items())

    def released(name: str) -> bool:
        return not lab.get("hj", name)["metadata"].get("finalizers")

    def restart() -> None:
        lab.pods["pod-0"].kill()
        lab.pods["pod-0"].wait()
        lab.start_server("pod-0")

    eventually(begin, "the programs are let in")
    eventually(lambda: len(site.service.tasks) == 3, "their tasks")
    restart()
    eventually(begin, "the programs are let in again")
    assert {each["tags"]["qonverge.io/job"] for each in site.service.tasks} == set(programs)
    # From here on no program sends again: the next proxy and the next operator know what the cluster and the vendor do.
    lab.stop_operator(signal.SIGKILL)
    restart()
    lab.kubectl("delete", "hj", "deleted", "--wait=false")
    lab.kubectl("patch", "hj", "held", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    programs["ends"].end()
    site.start()
    eventually(lambda: not lab.get("hj", "deleted"), "the deletion")
    for name in ("held", "ends"):
        eventually(partial(released, name), f"the release of {name}")
    assert (lab.status("held")["state"], lab.status("ends")["state"]) == ("Suspended", "Complete")
    assert [each["state"] for each in site.service.tasks] == ["Cancelled"] * 3
    assert code(send(lab.port("pod-0"), tokens["held"], "late", TURN)) == "AccessEnded"
    lab.kubectl("patch", "hj", "held", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    programs["held"].placed(2)
    # Its account is another one, of which nothing is over.
    eventually(lambda: send(lab.port("pod-0"), programs["held"].token(2), "anew", TURN, 0)[0] == 202, "its tasks")
    assert len(eventually(lambda: found if len(found := site.service.tasks) > 3 else None, "its task")) == 4


def test_of_thirty_tasks_at_clouds_that_fail_none_is_lost_or_there_twice_whatever_is_killed(
    lab: Lab, tmp_path: Path
) -> None:
    """``bench.chaos`` in small: one vendor takes a key twice, the other has tags only; a tenth of all calls fails."""
    with provider(tmp_path / "site"), vendor() as keyed, vendor() as tagged:
        places = [VendorPlace("Keyed", keyed, 1.0), VendorPlace("Tagged", tagged, 1.0)]
        drill = Drill(lab, places, 30, seed=1)
        drill.start()
        kills = [
            Kill(place="tagged", call="submit", when="after"),
            Kill(operator=True),
            Kill(place="keyed", call="submit", when="after", operator=True),
        ]
        report = drill.run(kills, rate=0.1)
    assert (report.lost, report.duplicates, report.running) == ([], [], [])
    assert report.completed + report.deleted == 30
    assert report.completed > report.deleted
    assert sum(report.kills.values()) == len(kills)
    failed = [fault for of in report.faults.values() for fault in of if not fault.startswith("hold")]
    assert failed
