"""What a program's process asked of backends, counted, and told to who scrapes its pod."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qonverge.client.errors import TaskFailed
from qonverge.client.program.metrics_listener import listen
from qonverge.client.transport.usage_counts import UsageCounts
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import Cancelled, EngineFailed
from qonverge.wire.messages import PubResult, TaskResult

RESULT = TaskResult("t", "Completed", (PubResult(shots=100), PubResult(shots=20)), queue_seconds=0.5, run_seconds=1.5)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tasks_that_are_under_way_together_are_one_wait() -> None:
    time = Time()
    counts = UsageCounts(time)
    with counts.task():
        time.now = 2.0
        with counts.task():
            time.now = 5.0
        counts.take(RESULT)
        time.now = 6.0
        assert counts.read().under_way == 1
        assert counts.read().wait_seconds == 6.0
    time.now = 100.0
    with counts.task():
        time.now = 101.0
    found = counts.read()
    assert (found.waits, found.wait_seconds, found.task_seconds) == (2, 7.0, 3.0 + 6.0 + 1.0)
    assert (found.queue_seconds, found.run_seconds, found.shots) == (0.5, 1.5, 120)
    assert (found.ended["Completed"], found.under_way) == (3, 0)


@pytest.mark.parametrize(("error", "state"), [(Cancelled("c"), "Cancelled"), (EngineFailed("f"), "Failed")])
def test_tasks_are_counted_by_how_they_ended(error: Any, state: str) -> None:
    counts = UsageCounts(Time())
    with pytest.raises(TaskFailed), counts.task():
        raise TaskFailed.of(error)
    assert counts.read().ended == {"Completed": 0, "Failed": 0, "Cancelled": 0, state: 1}


# It scrapes itself, since its port is drawn.
PROGRAM = """
import sys, urllib.error, urllib.request
from qonverge.client import report
from qonverge.client.program.metrics_listener import listen
assert not any(name.split(".")[0] == "prometheus_client" for name in sys.modules), "nobody has asked yet"
port = listen({"QONVERGE_METRICS_LISTEN": "127.0.0.1:0"})
from qonverge.client.transport.connection import Connection
from qonverge.wire.messages import Pub, Task
Connection(URL).run(Task("t", (Pub("d" * 64, shots=5),), {"d" * 64: b"qpy"}))
try:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/other", timeout=30)
except urllib.error.HTTPError as error:
    assert error.code == 404
for _ in range(2):
    report(progress=0.25, energy=-1.5, step=3)
    told = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30)
    assert told.headers["content-type"] == "text/plain; version=0.0.4"
    text = told.read().decode()
print(text)
"""


def test_a_program_tells_what_it_asked_of_its_backend(peer: Any, tmp_path: Path) -> None:
    def answer(request: Any) -> tuple[int, str, bytes]:
        sent = unpack(request.body)
        result = TaskResult(sent["id"], "Completed", RESULT.results, queue_seconds=0.5, run_seconds=1.5)
        return 200, "application/msgpack", pack(result.to_dict())

    peer.answer = answer
    file = tmp_path / "program.py"
    file.write_text(f"URL = {peer.url!r}\n{PROGRAM}")
    # The first process of a pod listens where the operator says.
    given = {**os.environ, "QONVERGE_METRICS_LISTEN": "127.0.0.1:0"}
    command = [sys.executable, "-m", "qonverge.client.program.run", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, env=given)
    assert done.returncode == 0, done.stderr
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(done.stdout)
        for sample in family.samples
    }
    (request,) = peer.received
    expected = {
        ("qonverge_program_tasks_total", "Completed"): 1.0,
        ("qonverge_program_tasks_total", "Failed"): 0.0,
        ("qonverge_program_tasks_total", "Cancelled"): 0.0,
        ("qonverge_program_tasks_under_way",): 0.0,
        ("qonverge_program_waits_total",): 1.0,
        ("qonverge_program_queue_seconds_total",): 0.5,
        ("qonverge_program_run_seconds_total",): 1.5,
        ("qonverge_program_shots_total",): 120.0,
        ("qonverge_program_progress_ratio",): 0.25,
        ("qonverge_program_reported_value", "energy"): -1.5,
        ("qonverge_program_reported_value", "step"): 3.0,
        ("qonverge_program_sent_bytes_total",): float(len(request.body)),
    }
    assert {name: found[name] for name in expected} == expected
    assert 0 < found["qonverge_program_wait_seconds_total",] == found["qonverge_program_task_seconds_total",]
    assert found["qonverge_program_received_bytes_total",] > 0
    assert found["qonverge_program_last_report_timestamp_seconds",] > 1e9
    assert ("process_cpu_seconds_total",) in found


def test_without_an_address_nobody_may_ask_and_with_a_bad_one_the_program_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert listen({}) is None
    assert capsys.readouterr().err == ""
    assert listen({"QONVERGE_METRICS_LISTEN": "127.0.0.1:none"}) is None
    assert "qonverge: no metrics at 127.0.0.1:none" in capsys.readouterr().err
