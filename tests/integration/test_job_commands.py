"""Commands about jobs of the cluster, as a person gives them, against a real API server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kubernetes.aio.config import kube_config

from e2e.cluster import ControlPlane
from qonverge.cli.main import cli
from tests.integration.conftest import LIMIT, SLOW, Lab, backend, eventually, job
from tests.integration.test_tokens import Program, ask, program

_COMMAND = (sys.executable, "-c", "from qonverge.cli.main import main; main()")


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(autouse=True)
def of_a_person(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process ask the lab's cluster."""
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(plane.kubeconfig))


def qonverge(*arguments: str, stdin: str = "") -> Done:
    done = CliRunner().invoke(cli, arguments, input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def started(lab: Lab, *arguments: str) -> subprocess.Popen[str]:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and a child inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*_COMMAND, *arguments],
            env=lab.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def manifest(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects)


def runs(lab: Lab, name: str, *reports: dict[str, Any]) -> Program:
    """Start a program as far as is done without a kubelet, and have it report."""
    lab.apply(program(name))
    made = Program(lab, name)
    made.placed()
    for report in reports:
        assert told(lab, name, made.token(), report) == 204
    return made


def told(lab: Lab, name: str, token: str, report: dict[str, Any]) -> int:
    """Send a report until the operator answers it, as a program does: a busy one may lose its Lease for a moment."""

    def answered() -> int:
        status = ask(lab.reports, token, f"/v1/jobs/default/{name}/report", report)[0]
        return 0 if status == 503 else status

    status: int = eventually(answered, "an answer to a report")
    return status


def test_submit_waits_for_the_end_and_says_how_it_went(served: Lab) -> None:
    done = qonverge("submit", "-", "--wait", "--timeout", "3m", stdin=manifest(job("bell")))
    assert (done.returncode, done.stdout) == (0, "hybridjob/bell created\n"), done.stderr
    assert done.stderr.splitlines()[-1].startswith("bell  Complete: ")
    again = qonverge("submit", "-", stdin=manifest(job("bell")))
    assert again.returncode == 2
    assert "there is a HybridJob bell in the namespace default already" in again.stderr
    assert "qonverge rerun bell" in again.stderr


def test_submit_tells_why_a_job_failed_and_applies_what_it_needs(served: Lab) -> None:
    source = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "text"}, "data": {"bad": "nonsense"}}
    reading = job("reads")
    reading["spec"]["program"] = {"circuit": {"configMapKeyRef": {"name": "text", "key": "bad"}}}
    # As kubectl prints what is there.
    good = job("good")
    good["metadata"] |= {"resourceVersion": "7", "uid": "of-another-cluster", "managedFields": []}
    given = manifest(reading, good, source)
    done = qonverge("submit", "-", "--wait", stdin=given)
    assert done.returncode == 1, done
    assert done.stdout == "configmap/text applied\nhybridjob/reads created\nhybridjob/good created\n", done
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: reads Failed: InvalidProgram: line 1")
    assert served.status("good")["state"] == "Complete"
    # Nothing is sent of a file that cannot be used.
    bad = job("bad")
    bad["spec"]["shotz"] = 3
    done = qonverge("submit", "-", stdin=manifest(job("unsent"), bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert "spec.shotz: unknown field; did you mean shots?" in done.stderr
    assert "unsent" not in {each["metadata"]["name"] for each in served.list("hj")}


def test_submit_gives_up_waiting_and_the_job_goes_on(served: Lab) -> None:
    done = qonverge("submit", "-", "--wait", "--timeout", "3s", stdin=manifest(job("slow", SLOW, suspend=True)))
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("error: not ended within 3 s: ")
    eventually(lambda: served.status("slow").get("state") == "Suspended", "the suspension")


def test_a_job_is_cancelled_suspended_and_resumed(served: Lab) -> None:
    served.apply(job("later"))
    served.ended("later")
    served.apply(job("slow", SLOW))
    eventually(lambda: served.status("slow").get("state") == "Running", "the slow job to run")
    done = qonverge("suspend", "slow", "later")
    assert (done.returncode, done.stdout) == (1, "hybridjob/slow suspended\n")
    assert done.stderr == "error: later has ended before: it is Complete\n"
    eventually(lambda: served.status("slow")["state"] == "Suspended", "the suspension")
    assert qonverge("resume", "slow").stdout == "hybridjob/slow resumed\n"
    eventually(lambda: served.status("slow")["state"] == "Running", "the resumption")
    assert qonverge("cancel", "slow", "-n", "default").stdout == "hybridjob/slow cancelled\n"
    ended = served.ended("slow")
    assert (ended["state"], ended["reason"]) == ("Failed", "Cancelled")
    # The pod does nothing for it any more.
    eventually(lambda: served.get("qb", "aer")["status"].get("running", 0) == 0, "an idle pod")
    done = qonverge("cancel", "nobody")
    assert (done.returncode, done.stderr) == (2, "error: there is no HybridJob nobody in the namespace default\n")


def test_a_program_that_is_cancelled_loses_its_objects_and_may_report_no_more(served: Lab) -> None:
    made = runs(served, "vqe", {"progress": 0.5, "metrics": {"energy": -1.0}})
    token, batch = made.token(), made.object()
    assert qonverge("cancel", "vqe").returncode == 0
    status = served.ended("vqe")
    assert (status["state"], status["reason"]) == ("Failed", "Cancelled")
    # What it had done by then is told.
    assert (status["progress"], status["metrics"]) == ("50%", {"energy": -1.0})
    eventually(lambda: batch not in {each["metadata"]["name"] for each in served.list("job")}, "the end of its Job")
    assert told(served, "vqe", token, {"progress": 0.6}) in (401, 403, 404)


def test_reports_show_in_the_status_and_in_kubectl(served: Lab) -> None:
    curve = {"count": 2, "every": 1, "values": [-1.0, -1.1]}
    runs(
        served,
        "vqe",
        {"progress": 0.1, "metrics": {"energy": -1.0, "step": 1}},
        {"progress": 0.2, "metrics": {"energy": -1.1, "step": 2}, "curves": {"energy": curve}},
    )
    status = served.status("vqe")
    assert (status["progress"], status["metricsSummary"]) == ("20%", "energy=-1.1 step=2")
    assert status["metricCurves"] == [{"name": "energy", "reports": 2, "every": 1, "values": [-1.0, -1.1]}]
    assert status["reportedAt"].endswith("Z")
    head, row = served.kubectl("get", "hj", "vqe").splitlines()
    assert re.split(r" {2,}", head)[:5] == ["NAME", "STATE", "BACKEND", "PROGRESS", "METRICS"]
    assert re.split(r" {2,}", row.strip())[:5] == ["vqe", "Placed", "aer", "20%", "energy=-1.1 step=2"]
    assert "ETA" in served.kubectl("get", "hj", "vqe", "-o", "wide").splitlines()[0]


def test_reports_of_many_callers_are_written_once_a_second(served: Lab) -> None:
    """What reports at once is one write, however many there are, and all of them are told when it is done."""
    made = runs(served, "many", {"metrics": {"first": 1}})
    script = (
        "import json, sys, threading, urllib.request\n"
        "url, token = sys.argv[1:]\n"
        "def send(n):\n"
        "    body = json.dumps({'metrics': {f'm{n}': n}}).encode()\n"
        "    request = urllib.request.Request(url, body, {'authorization': f'Bearer {token}'})\n"
        "    assert urllib.request.urlopen(request, timeout=120).status == 204\n"
        "threads = [threading.Thread(target=send, args=(n,)) for n in range(30)]\n"
        "[each.start() for each in threads]\n"
        "[each.join() for each in threads]\n"
    )
    url = f"http://127.0.0.1:{served.reports}/v1/jobs/default/many/report"
    before = writes(served, "many")
    subprocess.run([sys.executable, "-c", script, url, made.token()], check=True, timeout=300)
    assert served.status("many")["metrics"] == {"first": 1.0, **{f"m{n}": float(n) for n in range(30)}}
    assert writes(served, "many") - before < 30


def writes(lab: Lab, name: str) -> int:
    """Return how often the API server has stored anything until now, by the version of the job."""
    return int(lab.get("hj", name)["metadata"]["resourceVersion"])


def test_watch_tells_how_jobs_go_on_until_they_have_ended(served: Lab) -> None:
    made = runs(served, "vqe", {"progress": 0.25, "metrics": {"energy": -1.0}})
    done = qonverge("watch", "vqe", "later")
    assert done.returncode == 2
    assert "there is no HybridJob later in the namespace default" in done.stderr
    served.apply(job("later", suspend=True))
    eventually(lambda: served.status("later").get("state") == "Suspended", "the suspension")
    watching = started(served, "watch", "vqe", "later")
    assert watching.stdout is not None
    first = sorted(watching.stdout.readline() for _ in range(2))
    assert first[0].startswith("later  Suspended: ")
    assert first[1].startswith("vqe  Placed: ")
    qonverge("resume", "later")
    served.ended("later")
    made.end()
    lines = watching.stdout.read().splitlines()
    assert watching.wait(LIMIT) == 0
    assert any(line.startswith("later  Complete: ") for line in lines)
    assert lines[-1].startswith("vqe  Complete: ")
    watching.communicate()


def test_watch_ends_with_a_job_that_is_deleted_and_when_it_is_interrupted(served: Lab) -> None:
    served.apply(job("held", suspend=True))
    eventually(lambda: served.status("held").get("state") == "Suspended", "the suspension")
    watching, forever = started(served, "watch", "held"), started(served, "watch")
    for each in (watching, forever):
        assert each.stdout is not None
        assert each.stdout.readline().startswith("held  Suspended: ")
    served.kubectl("delete", "hj", "held")
    assert watching.wait(LIMIT) == 1
    assert watching.communicate()[0].splitlines()[-1] == "held  was deleted"
    forever.send_signal(signal.SIGINT)
    assert forever.wait(LIMIT) == 130
    assert forever.communicate()[1] == ""


def test_logs_say_where_there_are_none(served: Lab) -> None:
    served.apply(job("bell"))
    served.ended("bell")
    done = qonverge("logs", "bell")
    assert (done.returncode, done.stdout) == (1, "")
    assert "bell is a circuit, which prints nothing: qonverge result bell" in done.stderr
    made = runs(served, "vqe")
    done = qonverge("logs", "vqe")
    assert done.returncode == 1, done
    assert "vqe has printed nothing yet: it is Placed: " in done.stderr
    following = started(served, "logs", "-f", "vqe")
    made.end()
    served.ended("vqe")
    assert following.wait(LIMIT) == 1
    assert "vqe has printed nothing yet: it is Complete: " in following.communicate()[1]
    # Of a pod that is gone the status has the last lines.
    served.patch("hj", "vqe", {"status": {"log": "line 1\nline 2", "pod": "vqe-pod"}}, "status")
    for arguments in (["logs", "vqe"], ["logs", "-f", "vqe"]):
        done = qonverge(*arguments)
        assert (done.returncode, done.stdout) == (0, "line 1\nline 2\n")
        assert done.stderr == "its pod is gone; the last lines that it printed:\n"


def test_a_job_runs_anew(served: Lab) -> None:
    first = job("bell", seed=7)
    first["metadata"]["labels"] = {"team": "chem"}
    served.apply(first)
    result = served.ended("bell")["result"]
    done = qonverge("rerun", "bell")
    assert (done.returncode, done.stdout) == (0, "hybridjob/bell-rerun created with the specification of bell\n")
    assert served.ended("bell-rerun")["result"] == result
    made = served.get("hj", "bell-rerun")
    assert made["spec"] == served.get("hj", "bell")["spec"]
    assert made["metadata"]["labels"] == {"team": "chem"}
    assert qonverge("rerun", "bell-rerun").stdout.startswith("hybridjob/bell-rerun-2 created")
    assert qonverge("rerun", "bell", "--name", "another").stdout.startswith("hybridjob/another created")
    done = qonverge("rerun", "bell", "--name", "another")
    assert (done.returncode, done.stderr) == (2, "error: there is a HybridJob another already: give another --name\n")
    # What was cancelled is not cancelled again.
    served.apply(job("held", suspend=True))
    assert qonverge("cancel", "held").returncode == 0
    served.ended("held")
    done = qonverge("rerun", "held")
    assert done.stdout.endswith("; it is suspended, as the former: qonverge resume starts it\n")
    eventually(lambda: served.status("held-rerun").get("state") == "Suspended", "the suspension")


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_jobs_are_drawn(served: Lab, tmp_path: Path, suffix: str) -> None:
    served.apply(job("bell"))
    served.ended("bell")
    curve = {"count": 2, "every": 1, "values": [-1.0, -1.1]}
    runs(served, "vqe", {"metrics": {"energy": -1.1}, "curves": {"energy": curve}})
    for name in ("bell", "vqe"):
        picture = tmp_path / f"{name}.{suffix}"
        done = qonverge("plot", name, "-o", str(picture))
        assert (done.returncode, done.stdout) == (0, f"drawn to {picture}\n"), done.stderr
        assert picture.stat().st_size > 1000
    done = qonverge("plot", "vqe", "--metric", "loss", "-o", str(tmp_path / f"x.{suffix}"))
    assert done.returncode == 1, done
    assert "vqe has no metric loss; it has energy" in done.stderr, done


def test_a_manifest_says_where_its_job_goes(served: Lab) -> None:
    placed = job("bell")
    done = qonverge("submit", "-", "-n", "elsewhere", stdin=manifest(placed))
    assert done.returncode == 2
    assert "HybridJob bell is of the namespace default, and -n says elsewhere" in done.stderr
    del placed["metadata"]["namespace"]
    done = qonverge("submit", "-", "-n", "elsewhere", stdin=manifest(placed))
    assert done.returncode == 2
    assert 'namespaces "elsewhere" not found' in done.stderr
    more = backend("more")
    del more["metadata"]["namespace"]
    done = qonverge("submit", "-", stdin=manifest(more, placed))
    assert done.stdout == "quantumbackend/more applied\nhybridjob/bell created\n", done.stderr
    assert served.get("qb", "more")["spec"]["capacity"]["concurrency"] == 1
