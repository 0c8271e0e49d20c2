"""Programs and people that do what they should not: `qonverge run` ends in time, with the truth, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from qonverge.documents.reports import MOST_METRICS

ROOT = Path(__file__).parents[3]
REFUSED = ["[]", '{"progress": 2}', '{"metrics": [1]}', "{", '{"metrics": {"a": NaN}}', '{"result": ' + "[" * 5000]
COMMAND = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run"]
# A process that the program leaves behind, in its own group or in one of its own, with the program's output open.
LEAVES = (
    "import subprocess, sys\n"
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session={detached})\n"
    "print(p.pid, flush=True)\n"
)


def manifest(source: str, **spec: Any) -> str:
    body = {"metadata": {"name": "job"}, "spec": {"program": {"python": {"source": source}}, **spec}}
    return yaml.safe_dump({"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", **body})


def status(source: str, **spec: Any) -> dict[str, Any]:
    done = subprocess.run(
        [*COMMAND, "-q", "-o", "json", "-"],
        input=manifest(source, **spec),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    value: dict[str, Any] = json.loads(done.stdout)["status"]
    return value


def runs(pid: int) -> bool:
    """Return whether a process lives; one that only waits to be counted does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_program_that_leaves_a_process_behind_ends_with_it() -> None:
    ended = status(LEAVES.format(detached=False))
    assert ended["state"] == "Complete"
    assert not runs(int(ended["log"]))


def test_a_process_that_left_the_programs_group_holds_nobody_up() -> None:
    ended = status(LEAVES.format(detached=True))
    psutil.Process(int(ended["log"])).kill()
    assert ended["state"] == "Complete"


def test_a_deadline_ends_what_the_program_started() -> None:
    ended = status(LEAVES.format(detached=False) + "p.wait()\n", activeDeadlineSeconds=10)
    assert ended["reason"] == "DeadlineExceeded"
    assert not runs(int(ended["log"]))


def test_a_signal_is_named_and_counted_as_in_a_pod() -> None:
    ended = status("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert (ended["reason"], ended["exitCode"]) == ("ProgramFailed", 137)
    assert ended["message"] == "the program was ended by signal 9 (SIGKILL)"


def test_a_result_that_json_lacks_is_kept_as_text_and_a_metric_is_left_out() -> None:
    source = (
        "import numpy as np\nfrom qonverge.client import report, result\n"
        "report(progress=1.0, energy=float('nan'), step=3)\n"
        "result({'energy': np.float64('nan'), np.int64(2): [1, np.inf], 'ok': -1.5})\n"
    )
    ended = status(source)
    assert ended["state"] == "Complete"
    assert ended["result"] == {"value": {"energy": "NaN", "2": [1, "Infinity"], "ok": -1.5}}
    assert ended["metrics"] == {"step": 3.0}
    assert "result keeps as text what JSON has no form for: energy is NaN; 2[1] is Infinity" in ended["log"]
    assert "report leaves out what is no finite number: energy=nan" in ended["log"]


def test_one_line_of_a_hundred_megabytes() -> None:
    ended = status("print('y' * 100_000_000)\nprint('the end')\nraise SystemExit(4)\n")
    assert ended["exitCode"] == 4
    assert ended["log"].endswith("the end")
    assert len(ended["log"]) <= 8192


def test_reports_that_make_no_sense_are_refused_and_metrics_have_a_limit() -> None:
    """By the same rules as in a cluster."""
    source = f"""
import json, os, urllib3
from qonverge.client import report, result
headers = {{'authorization': 'Bearer ' + os.environ['QONVERGE_TOKEN']}}
def send(body):
    return urllib3.request('POST', os.environ['QONVERGE_REPORT_URL'], body=body, headers=headers).status
statuses = [send(body) for body in {REFUSED!r}]
statuses.append(send(json.dumps({{'metrics': {{f'm{{n}}': n for n in range({MOST_METRICS})}}}})))
statuses.append(send('{{"metrics": {{"one more": 1}}}}'))
for n in range(3):
    report(**{{f'm{{m}}': m + n for m in range({MOST_METRICS})}}, beyond=1.0)
result(statuses)
"""
    ended = status(source)
    assert ended["result"]["value"] == [*([400] * len(REFUSED)), 204, 400]
    assert ended["metrics"] == {f"m{n}": n + 2 for n in range(MOST_METRICS)}
    assert ended["log"].count("report leaves out 'beyond', and further ones without a word: a job has at most 64") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_as_an_interrupt_does(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(manifest("import time; print('started', flush=True); time.sleep(600)"))
    process.stdin.close()
    process.stdin = None
    while "started" not in process.stdout.readline():
        pass
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted: what ran was cancelled\n")
    assert psutil.wait_procs(children, timeout=120)[1] == []


def test_a_reader_that_goes_away_ends_the_program() -> None:
    process = subprocess.Popen(
        [*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(manifest("while True: print('more')"))
    process.stdin.close()
    while "more" not in process.stdout.readline():
        pass
    process.stdout.close()
    assert process.wait(60) == 1
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_a_stream_without_block_characters() -> None:
    done = subprocess.run(
        [*COMMAND, str(ROOT / "examples/bell.yaml")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "00 ???" in done.stdout
