"""Reports and results as a program sends them, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def program(
    folder: Path, source: str, url: str | None, *arguments: str, **given: str
) -> subprocess.CompletedProcess[str]:
    file = folder / "program.py"
    file.write_text(source)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")}
    if url is not None:
        environment |= {"QONVERGE_REPORT_URL": f"{url}/v1/reports/chem/job", "QONVERGE_TOKEN": "secret"}
    environment |= {f"QONVERGE_{name.upper()}": value for name, value in given.items()}
    command = [sys.executable, "-m", "qonverge.client.program.run", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def bodies(peer: Any) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in peer.received]


IMPORT = "from qonverge.client import report, result\n"


def test_a_burst_costs_few_requests_and_its_last_report_arrives(peer: Any, tmp_path: Path) -> None:
    source = IMPORT + "for n in range(1000): report(progress=n / 999, step=n, **({'first': 7} if n == 0 else {}))\n"
    done = program(tmp_path, source, peer.url)
    assert done.returncode == 0, done.stderr
    sent = bodies(peer)
    assert 1 <= len(sent) <= 10
    assert (sent[-1]["progress"], sent[-1]["metrics"]["step"]) == (1.0, 999.0)
    # What only one of the merged reports had is not lost.
    assert any(report["metrics"].get("first") == 7.0 for report in sent)
    assert {request.headers["authorization"] for request in peer.received} == {"Bearer secret"}
    assert {request.path for request in peer.received} == {"/v1/reports/chem/job"}


@pytest.mark.parametrize("ending", ["", "raise ValueError('so')", "import sys; sys.exit(3)"])
def test_what_was_reported_arrives_however_the_program_ends(peer: Any, tmp_path: Path, ending: str) -> None:
    done = program(tmp_path, IMPORT + f"result({{'energy': -1.5}})\nreport(energy=-1.5)\n{ending}\n", peer.url)
    assert done.returncode == (0 if not ending else 1 if "raise" in ending else 3)
    merged: dict[str, Any] = {}
    for body in bodies(peer):
        merged |= body
    assert merged["result"] == {"energy": -1.5}
    assert merged["metrics"] == {"energy": -1.5}


def test_the_last_result_counts_and_numpy_is_converted(peer: Any, tmp_path: Path) -> None:
    source = IMPORT + (
        "import numpy as np\nresult(1)\n"
        "result({'a': np.float64(0.5), 'b': np.arange(4).reshape(2, 2), 'c': np.int64(3), 'd': (1, None, True)})\n"
    )
    assert program(tmp_path, source, peer.url).returncode == 0
    assert [body["result"] for body in bodies(peer) if "result" in body][-1] == {
        "a": 0.5,
        "b": [[0, 1], [2, 3]],
        "c": 3,
        "d": [1, None, True],
    }


def told(peer: Any, folder: Path, source: str) -> tuple[dict[str, Any], str]:
    """Return what a program's reports came to, merged, and what it wrote to standard error."""
    done = program(folder, IMPORT + source, peer.url)
    assert done.returncode == 0, done.stderr
    merged: dict[str, Any] = {"metrics": {}}
    for body in bodies(peer):
        merged |= {**body, "metrics": {**merged["metrics"], **body["metrics"]}}
    return merged, done.stderr


def test_a_finished_program_does_not_die_of_its_result(peer: Any, tmp_path: Path) -> None:
    source = (
        "import numpy as np\n"
        "result({'energy': -1.5, 'bad': np.array([1.0, np.nan]), np.int64(3): np.float32('inf'), 'z': 1 + 2j})\n"
    )
    merged, warned = told(peer, tmp_path, source)
    assert merged["result"] == {"energy": -1.5, "bad": [1.0, "NaN"], "3": "Infinity", "z": "1+2j"}
    assert "result keeps as text what JSON has no form for: bad[1] is NaN; 3 is Infinity; z is 1+2j" in warned


def test_a_program_does_not_die_of_a_report(peer: Any, tmp_path: Path) -> None:
    source = (
        "import numpy as np\n"
        "for energy in (np.float64(-1.25), float('nan')): report(progress=0.5, energy=energy, step=np.int64(3))\n"
        "report(progress=float('nan'), a=None, b='1', c=1j, d=[1, 2], e=10 ** 400)\n"
        "report(f=np.array([0.5]), g=np.complex128(2), h=True, i=np.float32(0.25))\n"
    )
    merged, warned = told(peer, tmp_path, source)
    assert merged["progress"] == 0.5
    assert merged["metrics"] == {"energy": -1.25, "step": 3.0, "f": 0.5, "g": 2.0, "h": 1.0, "i": 0.25}
    assert "report leaves out what is no finite number: energy=nan" in warned
    assert "a=None, b=1, c=1j, d=[1, 2], e=1000" in warned
    assert "progress=nan" in warned


def test_a_receiver_that_is_not_the_leader_is_asked_again(peer: Any, tmp_path: Path) -> None:
    answers = [(503, "text/plain", b"not the leader"), None, (500, "text/plain", b"")]
    peer.answer = lambda _: answers.pop(0) if answers else (204, "text/plain", b"")
    assert program(tmp_path, IMPORT + "result(5)\n", peer.url).returncode == 0
    assert [body["result"] for body in bodies(peer)] == [5, 5, 5, 5]


def test_a_result_outlives_the_token(peer: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")

    def answer(request: Any) -> tuple[int, str, bytes]:
        if request.headers["authorization"] == "Bearer new":
            return 204, "text/plain", b""
        # As a kubelet does: a file takes the place of the former.
        (tmp_path / "next").write_text("new")
        (tmp_path / "next").replace(token)
        return 401, "text/plain", b"the token has expired"

    peer.answer = answer
    assert program(tmp_path, IMPORT + "result(5)\n", peer.url, token_file=str(token)).returncode == 0
    assert [body["result"] for body in bodies(peer)] == [5, 5]
    peer.answer = lambda _: (401, "text/plain", b"the token is not valid")
    done = program(tmp_path, IMPORT + "result(5)\n", peer.url)
    assert done.returncode != 0
    assert "the token is not valid" in done.stderr


def test_a_result_that_is_refused_does_not_pass_for_success(peer: Any, tmp_path: Path) -> None:
    peer.answer = lambda _: (413, "text/plain", b"the result is over 256 KiB")
    done = program(tmp_path, IMPORT + "result('x' * 10)\n", peer.url)
    assert done.returncode != 0
    assert "the result is over 256 KiB" in done.stderr
    assert done.stdout == ""


LARGE = IMPORT + "from qonverge.client import ResultTooLarge\n"


@pytest.mark.parametrize(
    ("source", "room", "answer"),
    [
        ("result(['x' * 90] * 21000)", "600000", 204),
        # In UTF-8 it takes less than the escapes of JSON.
        ("result('\u00e9' * 300)", "600", 204),
        # What the operator refuses, whatever the program takes for its room.
        ("result('y' * 1000)", "5000", 413),
    ],
)
def test_a_result_that_is_too_large_ends_the_program_with_the_documented_reason(
    peer: Any, tmp_path: Path, source: str, room: str, answer: int
) -> None:
    peer.answer = lambda _: (answer, "text/plain", b"the result takes 1012 bytes")
    log = tmp_path / "termination-log"
    done = program(tmp_path, IMPORT + source + "\n", peer.url, result_room=room, termination_log=str(log))
    assert done.returncode == 1
    reason, _, message = log.read_text().partition(": ")
    assert reason == "ResultTooLarge"
    assert message in done.stderr
    assert [body for body in bodies(peer) if "result" in body] == [] or answer == 413
    if answer != 413:
        size = {"600": 612, "600000": 1953011}[room]
        assert message.startswith(f"the result takes {size} bytes as JSON and the job's status has room for {room}: ")


def test_a_program_may_return_less_instead(peer: Any, tmp_path: Path) -> None:
    source = "try:\n    result('x' * 1000)\nexcept ResultTooLarge:\n    result('less')\n"
    log = tmp_path / "termination-log"
    done = program(tmp_path, LARGE + source, peer.url, result_room="500", termination_log=str(log))
    assert done.returncode == 0, done.stderr
    assert [body["result"] for body in bodies(peer) if "result" in body] == ["less"]
    assert not log.exists()


def test_without_a_cluster_a_result_may_be_of_any_size(peer: Any, tmp_path: Path) -> None:
    assert program(tmp_path, IMPORT + "result('x' * 2_000_000)\n", peer.url).returncode == 0
    assert len(bodies(peer)[-1]["result"]) == 2_000_000


def test_a_progress_report_that_is_refused_harms_nothing(peer: Any, tmp_path: Path) -> None:
    peer.answer = lambda _: (404, "text/plain", b"no such job")
    done = program(tmp_path, IMPORT + "report(progress=0.5)\nprint('done')\n", peer.url)
    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert "no such job" in done.stderr


def test_outside_of_a_job_reports_go_nowhere(tmp_path: Path) -> None:
    done = program(tmp_path, IMPORT + "report(progress=0.5)\nresult([1])\nprint('fine')\n", None)
    assert (done.returncode, done.stdout) == (0, "fine\n")


def test_the_runner_runs_a_script_as_python_would(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    source = "import sys, beside\nprint(__name__, sys.argv[1:], beside.NAME, __file__)\n1 / 0\n"
    done = program(tmp_path, source, None, "a", "b c")
    assert done.returncode == 1
    assert done.stdout == f"__main__ ['a', 'b c'] beside {tmp_path / 'program.py'}\n"
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "1 / 0" in done.stderr


def test_the_runner_names_a_missing_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qonverge.client.program.run", str(tmp_path / "none.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"qonverge: there is no program at {tmp_path / 'none.py'}\n"


def test_reporting_loads_nothing_heavy() -> None:
    script = (
        "import sys, qonverge.client\nqonverge.client.report\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'qiskit', 'qiskit_aer', 'kopf', 'kubernetes', 'starlette', 'scipy', 'pydantic'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
