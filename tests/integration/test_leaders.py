"""Several operators, and several replicas of one, against a real API server; and what programs report to them."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from e2e.cluster.errors import CommandFailed
from qonverge.api import HybridJob
from qonverge.api.program import MAX_SOURCE
from qonverge.documents.reports import LONGEST_METRIC_NAME, MOST_METRICS
from qonverge.execution.stored_size import MOST_STORED, stored_size, stored_with
from tests.integration.conftest import NAMESPACE, Lab, backend, eventually, free_port, job

FAST = {"QONVERGE_LEASE_SECONDS": "3"}


class Replica:
    """A process of an operator."""

    def __init__(self, lab: Lab, **settings: str) -> None:
        self._lab = lab
        self.health, self.reports = free_port(), free_port()
        settings = {"QONVERGE_REPORT_LISTEN": f"127.0.0.1:{self.reports}", **settings}
        self.process: subprocess.Popen[bytes] = lab.operator_process(self.health, **settings)

    def readiness(self) -> tuple[int, str]:
        return self._lab.readiness(self.health)

    def ready(self) -> None:
        eventually(lambda: self.readiness()[0] == 200, "readiness of a replica")

    def refused(self) -> str:
        """Wait until it says that another operator is there, and return what it says."""
        said: str = eventually(lambda: "another operator" in (text := self.readiness()[1]) and text, "a refusal")
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def report(self, name: str, token: str, body: bytes) -> tuple[int, str]:
        """Send a report as a program does; 0 where nobody answers."""
        url = f"http://127.0.0.1:{self.reports}/v1/jobs/default/{name}/report"
        request = urllib.request.Request(url, body, {"authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)


class Operators:
    """Starts replicas, and ends what is left of them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._all: list[Replica] = []

    def start(self, **settings: str) -> Replica:
        self._all.append(Replica(self.lab, **settings))
        return self._all[-1]

    def close(self) -> None:
        for replica in self._all:
            replica.process.kill()
            replica.process.wait()


@pytest.fixture
def operators(lab: Lab) -> Iterator[Operators]:
    operators = Operators(lab)
    try:
        yield operators
    finally:
        operators.close()


def completes(lab: Lab, name: str) -> None:
    lab.apply(job(name))
    assert lab.ended(name)["state"] == "Complete"


def launched(lab: Lab, name: str, source: str = "pass") -> str:
    """Create a job of a program and return its token, once the operator has made what the program needs.

    Nothing here deletes what a deleted job owned: each has a name of its own.
    """
    # Not applied: that would write it into an annotation too.
    manifest = job(name, program={"python": {"source": source}}, shots=None)
    lab.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    batch = eventually(
        lambda: next((b for b in lab.list("job") if b["metadata"]["name"].startswith(name)), None), "the batch Job"
    )
    secret = lab.get("secret", batch["metadata"]["name"])
    eventually(lambda: lab.status(name).get("state") == "Placed", "its placement")
    return base64.b64decode(secret["data"]["token"]).decode()


@pytest.mark.parametrize("scopes", [("", "default"), ("default", "")], ids=["all-first", "one-first"])
def test_of_two_operators_that_meet_the_second_waits_until_the_first_is_gone(
    lab: Lab, operators: Operators, scopes: tuple[str, str]
) -> None:
    first, second = (
        {"QONVERGE_LEASE_NAME": f"{name}-operator", "QONVERGE_WATCH_NAMESPACES": scope, **FAST}
        # By name the second would go first.
        for name, scope in zip(("west", "east"), scopes, strict=True)
    )
    lab.apply(backend("aer"))
    one = operators.start(**first)
    one.ready()
    lab.serve("aer")
    completes(lab, "before")
    generation = lab.get("deployment", "aer-qb")["metadata"]["generation"]
    # Another image, so that it would be seen to change what it touches.
    two = operators.start(**second, QONVERGE_BACKEND_IMAGE="of-the-second")
    scope = {"": "all namespaces", "default": "the namespaces default"}
    assert f"of the Lease kube-system/west-operator, looks after {scope[scopes[0]]}:" in two.refused()

    def events() -> list[str]:
        return [
            event["message"]
            for event in lab.list("events", "kube-system")
            if (event["reason"], event["involvedObject"]["name"]) == ("OperatorConflict", "east-operator")
        ]

    eventually(lambda: any("west-operator" in message for message in events()), "an event on the second's Lease")
    completes(lab, "during")
    deployment = lab.get("deployment", "aer-qb")
    assert deployment["metadata"]["generation"] == generation
    assert two.process.poll() is None
    one.kill()
    two.ready()
    image = eventually(
        lambda: (
            lab.get("deployment", "aer-qb")["spec"]["template"]["spec"]["containers"][0]["image"] == "of-the-second"
        ),
        "the work of the second",
    )
    assert image
    completes(lab, "after")
    again = operators.start(**first)
    assert "of the Lease kube-system/east-operator" in again.refused()
    # One that ends says so.
    two.stop()
    again.ready()
    completes(lab, "last")


def test_operators_that_do_not_meet_both_work(lab: Lab, operators: Operators) -> None:
    lab.apply(backend("aer"))
    for name, scope in (("west", "default"), ("east", NAMESPACE)):
        operators.start(QONVERGE_LEASE_NAME=f"{name}-operator", QONVERGE_WATCH_NAMESPACES=scope).ready()
    lab.serve("aer")
    completes(lab, "bell")


def test_reports_reach_the_leader_through_any_replica_and_survive_its_end(lab: Lab, operators: Operators) -> None:
    lab.apply(backend("aer"))
    replicas = [operators.start()]
    replicas[0].ready()
    lab.serve("aer")
    replicas.append(operators.start())
    replicas[1].ready()
    completes(lab, "first")
    token = launched(lab, "tells")

    def tells(replica: Replica, progress: float) -> None:
        body = json.dumps({"progress": progress, "metrics": {"step": progress}}).encode()
        answer = eventually(
            lambda: (got := replica.report("tells", token, body))[0] not in (0, 503) and got, "an answer"
        )
        assert answer == (204, "")
        assert lab.status("tells")["progress"] == f"{progress:.0%}"

    for n, replica in enumerate(replicas):
        assert replica.report("tells", "no token", b"{}")[0] == 401
        assert replica.report("tells", token, b"[]") == (
            400,
            "the report is []; an object with progress, metrics or result is expected\n",
        )
        tells(replica, (n + 1) / 10)
    # The leader dies, the other one takes over; then that one ends and gives the Lease back.
    replicas[0].kill()
    tells(replicas[1], 0.3)
    completes(lab, "second")
    replicas.append(operators.start())
    replicas[2].ready()
    replicas[1].stop()
    tells(replicas[2], 0.4)
    completes(lab, "third")


def test_what_programs_report_always_fits_into_the_job(lab: Lab, operators: Operators) -> None:
    """As much as is allowed of everything, in characters that take most room; and what is not is refused."""
    lab.apply(backend("aer"))
    leader = operators.start()
    leader.ready()
    lab.serve("aer")
    source = ("#<\n" * MAX_SOURCE)[: MAX_SOURCE // 4]
    token = launched(lab, "much", source)
    metrics = {f"{n:03}".ljust(LONGEST_METRIC_NAME, "<"): n / 7 for n in range(MOST_METRICS)}
    assert leader.report("much", token, json.dumps({"metrics": metrics}).encode()) == (204, "")
    status, text = leader.report("much", token, b'{"metrics": {"one-more": 1}, "progress": 0.9}')
    assert (status, "names 1 new metrics ('one-more') beside 64" in text) == (400, True)
    assert "progress" not in lab.status("much")

    def send(size: int) -> tuple[int, str]:
        value = {f"<{n}": n for n in range(100_000, 100_000 + size)}
        return leader.report("much", token, json.dumps({"result": value, "progress": 0.5}).encode())

    before = HybridJob.model_validate(lab.get("hj", "much"))
    room = MOST_STORED - stored_with(before, before.status)
    assert room > 500_000
    fits = room // (stored_size({f"<{n}": n for n in range(100_000, 101_000)}) // 1000) - 100
    assert send(fits) == (204, "")
    status, text = send(fits + 1000)
    assert (status, "bytes where it is stored" in text) == (413, True)
    assert lab.status("much")["progress"] == "50%"
    assert len(lab.status("much")["result"]["value"]) == fits
    # The object can still be written.
    assert leader.report("much", token, b'{"progress": 0.75}') == (204, "")
    lab.kubectl("annotate", "hj", "much", "note=" + "x" * 1000)
    # Whoever else writes the status keeps to the limits too.
    for more, says in (({"one-more": 1}, "must have at most 64"), ({"x" * 64: 1}, "names of metrics have at most 63")):
        patch = json.dumps({"status": {"metrics": more if "one-more" in more else dict.fromkeys(metrics) | more}})
        with pytest.raises(CommandFailed, match=says):
            lab.kubectl("patch", "hj", "much", "--subresource=status", "--type=merge", "-p", patch)
