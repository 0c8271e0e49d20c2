"""Results that a status has no room for, against a real API server and real backend servers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.integration.conftest import HEADER, Lab, backend, eventually, job

# Of 30 random bits nearly every shot has an outcome of its own.
WIDE = HEADER + "qubit[30] q; bit[30] c; h q; c = measure q;"
SHOTS = 40_000


@pytest.fixture
def lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("QONVERGE_RESULT_SECONDS", "3600")
    lab.apply(backend("aer", simulator={"engine": "Stim", "seed": 5}))
    lab.start_operator()
    lab.ready()
    lab.serve("aer")
    return lab


def fetch(lab: Lab, path: str, **headers: str) -> tuple[int, bytes]:
    """Ask the operator as the API server's proxy does."""
    url = f"{lab.results}/{path.partition('/proxy/')[2]}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def result(lab: Lab, name: str) -> subprocess.CompletedProcess[bytes]:
    main = "from qonverge.cli.main import main; main()"
    command = [sys.executable, "-c", main, "result", name, "-n", "default", "--url", lab.results]
    return subprocess.run(command, capture_output=True, check=False, env=lab.environment())


def kept_bytes(lab: Lab) -> float:
    with urllib.request.urlopen(f"{lab.url('pod-0')}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("qonverge_backend_kept_result_bytes ")).split()[1])


def lost(lab: Lab, name: str) -> dict[str, Any]:
    def seen() -> dict[str, Any] | None:
        status = lab.status(name)
        return status if "lost" in status["result"]["kept"] else None

    status: dict[str, Any] = eventually(seen, f"that {name} has no result any more")
    return status


def test_outcomes_that_are_too_many_beside_a_large_circuit_are_kept_on_a_pod(lab: Lab) -> None:
    """As JSON it is below the limit. Each outcome is stored twice, and the API server would drop managedFields."""
    beside = "".join(f"// {number:0100}\n" for number in range(1900))
    lab.apply(job("heavy", WIDE + "\n" + beside, shots=16_900))
    status = lab.ended("heavy")
    kept = status["result"]["kept"]
    assert (status["state"], status["reason"], kept["bytes"] < 600_000) == ("Complete", "ResultKept", True)
    assert f"with its result of {kept['bytes']} bytes the job takes " in status["message"]
    stored = json.loads(lab.kubectl("get", "hj", "heavy", "-o", "json", "--show-managed-fields"))
    assert "qonverge" in {each["manager"] for each in stored["metadata"]["managedFields"]}
    code, plain = fetch(lab, kept["path"])
    assert (code, hashlib.sha256(plain).hexdigest()) == (200, kept["sha256"])
    assert sum(json.loads(plain)["counts"].values()) == 16_900


def test_a_large_result_is_kept_found_again_and_told_of_when_lost(lab: Lab) -> None:
    lab.apply(job("wide", WIDE, shots=SHOTS), job("other", WIDE, shots=SHOTS, seed=6), job("small"))
    status = lab.ended("wide")
    kept = status["result"]["kept"]
    assert (status["state"], status["reason"], status["result"]["shots"]) == ("Complete", "ResultKept", SHOTS)
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    assert f"the result takes {kept['bytes']} bytes and the job's status has room for 600000" in status["message"]
    assert status["message"].endswith("fetch it by: qonverge result wide -n default")

    code, plain = fetch(lab, kept["path"])
    assert (code, len(plain), hashlib.sha256(plain).hexdigest()) == (200, kept["bytes"], kept["sha256"])
    found = json.loads(plain)
    assert (sum(found["counts"].values()), found["shots"]) == (SHOTS, SHOTS)
    assert {len(outcome) for outcome in found["counts"]} == {30}
    # Nobody who does not know the path gets it, by another job's key neither.
    other = lab.ended("other")["result"]["kept"]
    for path in (kept["path"][:-1], kept["path"].partition("?")[0], kept["path"].replace("/wide/", "/other/")):
        code, text = fetch(lab, path)
        assert (code, b"no kept result" in text) == (404, True)
    assert other["sha256"] != kept["sha256"]

    both = kept_bytes(lab)
    # Another operator finds it, and drops what no job has any more.
    lab.stop_operator()
    lab.kubectl("delete", "hj", "other")
    lab.start_operator()
    lab.ready()
    by_command = result(lab, "wide")
    assert (by_command.returncode, by_command.stdout) == (0, plain), by_command.stderr
    assert json.loads(result(lab, "small").stdout)["counts"].keys() == {"00", "11"}
    eventually(lambda: 0 < kept_bytes(lab) < 0.7 * both, "that the other result is dropped")
    assert "lost" not in lab.status("wide")["result"]["kept"]

    # A server that begins anew has lost it.
    lab.pods["pod-0"].kill()
    lab.pods["pod-0"].wait()
    lab.start_server("pod-0")
    status = lost(lab, "wide")
    assert (status["state"], status["reason"]) == ("Complete", "ResultLost")
    assert "the server of pod default/pod-0 began anew, and results are in its memory" in status["message"]
    by_command = result(lab, "wide")
    assert by_command.returncode == 1
    assert status["message"].encode() in by_command.stderr
    events = [e["reason"] for e in lab.list("events") if e["involvedObject"]["name"] == "wide"]
    assert "ResultLost" in events

    # The command that the message names runs it again.
    again = status["message"].partition("run the job again by: kubectl ")[2].split(" | kubectl ")
    lab.kubectl(*again[1].split(), stdin=lab.kubectl(*again[0].split()))
    status = lab.ended("wide")
    assert (status["reason"], status["result"]["kept"]["sha256"]) == ("ResultKept", kept["sha256"])

    # What the backend has no pod for is gone with it.
    lab.kill_pod("pod-0")
    assert "the pod default/pod-0 that kept it is gone" in lost(lab, "wide")["message"]
