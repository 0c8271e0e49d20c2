"""Sessions for people, as a person begins, uses and ends them, against a real API server and a real backend server.

No kubelet runs here, so that nothing is forwarded: the backend is reached at the URL that an Ingress would have.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.integration.conftest import Lab, eventually, job
from tests.integration.test_tokens import send

_COMMAND = (sys.executable, "-c", "from qonverge.cli.main import main; main()")
NOTEBOOK = dedent(
    """
    from qiskit import QuantumCircuit
    from qonverge.client import BudgetExceeded, SamplerV2, SessionEnded, TaskFailed

    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()

    def run(shots):
        counts = SamplerV2().run([bell], shots=shots).result()[0].data.meas.get_counts()
        assert set(counts) == {"00", "11"} and sum(counts.values()) == shots
    """
)


def session(name: str, section: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    made = job(name, program={"session": section or {}}, **spec)
    del made["spec"]["shots"]
    return made


@contextmanager
def begun(lab: Lab, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and end it at the end of the block where it has not ended."""
    # A shell that starts the tests in the background has them ignore Ctrl-C, and a child inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [*_COMMAND, "session", *arguments],
            env=lab.environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def only_job(lab: Lab) -> dict[str, Any]:
    (found,) = lab.list("hj")
    return found


def test_a_command_runs_with_the_backend_in_its_environment_and_the_session_ends_with_it(
    served: Lab, tmp_path: Path
) -> None:
    """Its primitives need no argument; what it may run is bounded, and told at the end."""
    script = tmp_path / "notebook.py"
    script.write_text(
        NOTEBOOK
        + dedent(
            """
            import os, stat
            assert stat.S_IMODE(os.stat(os.environ["QONVERGE_TOKEN_FILE"]).st_mode) == 0o600
            run(300)
            try:
                run(800)
            except BudgetExceeded as error:
                print(error)
            run(700)
            raise SystemExit(7)
            """
        )
    )
    bounds = ("--backend", "aer", "--duration", "30m", "--max-shots", "1000", "--max-cost", "5USD")
    with begun(served, *bounds, "--url", served.url("pod-0"), "--", sys.executable, str(script)) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 7, err
    refused, asks = "the task asks for 800 shots and 700 are left of the job's maxShots", "ask for less"
    assert out == f"{refused}: {asks}, or begin a session with more [BudgetExceeded]\n"
    made = only_job(served)
    name = made["metadata"]["name"]
    assert name.startswith("session-")
    assert made["spec"]["program"] == {"session": {"duration": "30m", "maxShots": 1000}}
    assert (made["spec"]["backend"], made["spec"]["budget"]) == ({"name": "aer"}, {"amount": "5", "currency": "USD"})
    assert (made["status"]["state"], made["status"]["usage"]["shots"]) == ("Complete", 1000)
    lines = err.splitlines()
    assert lines[0] == f"hybridjob/{name} created"
    assert any(line.startswith(f"{name}  Running on aer  until ") for line in lines)
    assert lines[-1].startswith(f"{name} Complete: the session was ended: spec.cancel is true; used: in ")
    assert "1000 shots" in lines[-1]


def test_without_a_command_the_environment_is_printed_and_ctrl_c_ends_the_session(served: Lab) -> None:
    with begun(served, "--duration", "30m", "--url", served.url("pod-0")) as process:
        assert process.stdout is not None
        variables = dict(process.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2))
        assert variables["QONVERGE_BACKEND_URL"] == served.url("pod-0")
        subprocess.run(
            [sys.executable, "-c", NOTEBOOK + "run(100)"], env=served.environment() | variables, check=True, timeout=240
        )
        token = Path(variables["QONVERGE_TOKEN_FILE"]).read_text()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert only_job(served)["status"]["state"] == "Complete"
    assert not Path(variables["QONVERGE_TOKEN_FILE"]).exists()
    # The token lives for some minutes yet, and opens nothing.
    eventually(lambda: send(served.port("pod-0"), token, "late")[0] == 403, "the end of the token's access")


def test_when_its_time_is_over_programs_read_so_at_once(served: Lab, tmp_path: Path) -> None:
    """An administrator who ends it has the same effect; the command is left alone with what it has not saved."""
    script = tmp_path / "notebook.py"
    script.write_text(
        NOTEBOOK
        + dedent(
            """
            import time
            run(10)
            print("began", flush=True)
            while True:
                try:
                    run(10)
                except TaskFailed as error:
                    # The pods know of it before the command does.
                    assert error.code == "AccessEnded", error
                except SessionEnded as error:
                    print(error)
                    break
                time.sleep(0.1)
            """
        )
    )
    with begun(served, "--url", served.url("pod-0"), "--", sys.executable, str(script)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        name = only_job(served)["metadata"]["name"]
        served.patch("hj", name, {"spec": {"cancel": True}})
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out == f"the session {name} has ended: the session was ended: spec.cancel is true\n"
    assert f"{name} has ended: the session was ended: spec.cancel is true; {sys.executable} goes on" in err


def test_a_session_ends_by_itself_and_frees_its_slot_for_the_next_that_waited(served: Lab) -> None:
    served.apply(session("first", {"duration": "4s"}))
    eventually(lambda: served.status("first").get("state") in ("Running", "Complete"), "the first session")
    served.apply(session("second", {"duration": "1h"}))
    eventually(lambda: served.status("second").get("state") == "Running", "the second session")
    first = served.status("first")
    assert (first["state"], first["message"]) == ("Complete", "the session's time, 4s, is over")


def test_why_there_is_no_session_is_said(served: Lab) -> None:
    with begun(served, "--backend", "none", "--url", served.url("pod-0"), "--", "true") as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "Pending: " in line and "none" in line)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM
    assert line.startswith(only_job(served)["metadata"]["name"])
    assert only_job(served)["status"]["reason"] == "Cancelled", rest


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--url", "http://127.0.0.1:9", "--duration", "25h"], 2, "a session takes at least 1s and at most 24h"),
        (["--duration", "soon"], 2, "give a time such as 90s, 10m or 1h30m"),
        (["--max-cost", "5 dollars"], 2, "give an amount and a currency, such as 5USD or 0.50EUR"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(lab: Lab, arguments: list[str], status: int, says: str) -> None:
    with begun(lab, *arguments, "--", "true") as process:
        _, err = process.communicate(timeout=240)
    assert (process.returncode, says in err) == (status, True), err
    assert lab.list("hj") == []


def test_a_notebook_in_jupyter_has_the_backend_without_any_argument(served: Lab, tmp_path: Path) -> None:
    """Its kernel is a process of its own, which the command started: as with JupyterLab."""
    notebook, script = tmp_path / "bell.ipynb", tmp_path / "execute.py"
    cell: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**cell, "id": f"cell-{n}", "source": source} for n, source in enumerate((NOTEBOOK, "run(100)\n'done'"))]
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    script.write_text(
        dedent(
            f"""
            import nbclient, nbformat
            notebook = nbformat.read({str(notebook)!r}, 4)
            nbclient.NotebookClient(notebook, kernel_name="python3", timeout=240).execute()
            print(notebook.cells[-1].outputs[0]["data"]["text/plain"])
            """
        )
    )
    with begun(served, "--url", served.url("pod-0"), "--", sys.executable, str(script)) as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, "'done'\n"), err
    assert only_job(served)["status"]["usage"]["shots"] == 100


@pytest.mark.parametrize("size", [{"pricing": {"currency": "USD", "perShot": "0.001"}}])
def test_a_notebook_reads_that_the_budget_is_spent_and_goes_on_when_there_is_more(served: Lab, tmp_path: Path) -> None:
    """What costs more than is left is not run, and costs nothing; the session goes on for what is less."""
    notebook, script = tmp_path / "costs.ipynb", tmp_path / "execute.py"
    more = dedent(
        """
        import time
        while True:
            try:
                run(100)
                break
            except BudgetExceeded:
                time.sleep(0.1)
        """
    )
    cell: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    sources = (NOTEBOOK, "run(300)", "run(300)", "run(200)", "run(1)", more)
    cells = [{**cell, "id": f"cell-{n}", "source": source} for n, source in enumerate(sources)]
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    script.write_text(
        dedent(
            f"""
            import nbclient, nbformat
            notebook = nbformat.read({str(notebook)!r}, 4)
            client = nbclient.NotebookClient(notebook, kernel_name="python3", timeout=240, allow_errors=True)
            with client.setup_kernel():
                for number, cell in enumerate(notebook.cells):
                    client.execute_cell(cell, number)
                    for each in cell.outputs:
                        print(number, each["ename"], each["evalue"], flush=True)
            """
        )
    )
    command = ("--max-cost", "0.5USD", "--url", served.url("pod-0"), "--", sys.executable, str(script))
    with begun(served, *command) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(2)]
        made = only_job(served)
        name, state = made["metadata"]["name"], made["status"]["state"]
        served.patch("hj", name, {"spec": {"budget": {"amount": "0.7"}}})
        rest, err = process.communicate(timeout=300)
    left = "USD are left of the job's budget: ask for less, or give the job a larger spec.budget [BudgetExceeded]\n"
    assert told == [
        f"2 BudgetExceeded the task costs 0.3 USD and 0.2 {left}",
        f"4 BudgetExceeded the task costs 0.001 USD and 0 {left}",
    ], err
    assert (process.returncode, state, rest) == (0, "Running", ""), err
    status = only_job(served)["status"]
    assert (status["state"], status["usage"]["costs"]) == ("Complete", [{"amount": "0.6", "currency": "USD"}])
    last = err.splitlines()[-1]
    assert "600 shots" in last
    assert last.endswith(", 0.6 USD")
