"""How a server process starts, refuses to start, drains and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from qiskit import QuantumCircuit


def start(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qonverge.backend", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


def test_what_runs_ends_and_what_cannot_is_handed_back(kit: Any, endless: Any) -> None:
    short = QuantumCircuit(12, 1)
    short.rx(0.3, range(12))
    short.reset(0)
    short.measure(0, 0)
    with kit.serving("--concurrency", "2", "--grace", "8") as backend:
        answers: dict[str, Any] = {}

        def send(identity: str, task: Any) -> None:
            answers[identity] = backend.send(task)

        threads = []
        # In this order: the short one must not be over before the other has begun.
        for number, task in enumerate((kit.task(endless, "endless"), kit.task(short, "short", shots=10_000)), 1):
            threads.append(threading.Thread(target=send, args=(task.id, task)))
            threads[-1].start()
            kit.until(lambda wanted=number: backend.info()["running"] == wanted, f"{number} run")
        behind = threading.Thread(target=send, args=("behind", kit.task(endless, "behind")))
        behind.start()
        kit.until(lambda: backend.info()["queued"] == 1, "one waits")
        children = psutil.Process(backend.process.pid).children(recursive=True)
        backend.process.send_signal(signal.SIGTERM)
        kit.until(lambda: backend.ask("GET", "/readyz").status == 503, "the server says that it drains")
        late = backend.send(kit.task(short, "late"), wait=0)
        assert (late.status, late.error["code"], late.error["retryable"]) == (503, "Draining", True)
        assert backend.process.wait(60) == 0
        for thread in (*threads, behind):
            thread.join()
        assert answers["short"].body["state"] == "Completed"
        for identity in ("endless", "behind"):
            assert answers[identity].error["code"] == "Draining"
            assert answers[identity].error["retryable"]
        _, alive = psutil.wait_procs(children, timeout=120)
        assert not alive
        assert "Traceback" not in "".join(backend.lines)


def test_one_that_is_asked_to_end_while_it_loads_ends(kit: Any) -> None:
    """As the first process of a container, to which signals without a handler do not come."""
    process = subprocess.Popen([sys.executable, "-m", "qonverge.backend"], env={**os.environ, "QONVERGE_ENGINE": "Aer"})
    status = Path(f"/proc/{process.pid}/status")
    kit.until(lambda: _handles_sigterm(status.read_text()), "a handler")
    process.send_signal(signal.SIGTERM)
    # What ends without a handler has a negative one, and a server that serves 0.
    assert process.wait(60) == 128 + signal.SIGTERM


def test_one_that_is_asked_to_end_while_it_loads_ends_whatever_it_does_then() -> None:
    """As in a library that lets no exceptions out."""
    program = """
import os, signal
from qonverge.backend.process import run

class Quiet:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(10))

async def serving():
    Quiet()
    print("it serves on")

run(serving())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


def _handles_sigterm(status: str) -> bool:
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_an_idle_server_ends_at_once(kit: Any) -> None:
    with kit.serving("--concurrency", "1", "--grace", "10000") as backend:
        backend.process.send_signal(signal.SIGTERM)
        assert backend.process.wait(60) == 0


def test_results_stay_until_they_are_fetched_and_what_was_not_begun_goes_at_once(kit: Any) -> None:
    """As of a pod that somebody deletes: what runs may take as long as its grace period, and callers may come late."""
    some = QuantumCircuit(12, 1)
    some.rx(0.3, range(12))
    some.reset(0)
    some.measure(0, 0)
    with kit.serving("--concurrency", "1", "--grace", "10000") as backend:
        backend.send(kit.task(some, "runs", shots=10_000), wait=0)
        backend.send(kit.task(some, "waits"), wait=0)
        kit.until(lambda: backend.info()["running"] == 1, "one runs")
        backend.process.send_signal(signal.SIGTERM)
        kit.until(lambda: backend.info()["queued"] == 0, "what waits is handed back")
        assert backend.ask("GET", "/v1/tasks/waits").error["code"] == "Draining"
        kit.until(lambda: backend.info()["running"] == 0, "what runs ends")
        assert backend.process.poll() is None
        assert backend.ask("GET", "/v1/tasks/runs").body["state"] == "Completed"
        assert backend.process.wait(60) == 0


def test_a_killed_server_leaves_no_worker_behind(kit: Any, endless: Any) -> None:
    with kit.serving("--concurrency", "1") as backend:
        backend.send(kit.task(endless, "endless"), wait=0)
        kit.until(lambda: backend.info()["running"] == 1, "it runs")
        children = psutil.Process(backend.process.pid).children(recursive=True)
        backend.process.kill()
        backend.process.wait(30)

        def left() -> list[psutil.Process]:
            # An orphan that ended stays a zombie where the machine's first process reaps nothing.
            return [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

        try:
            kit.until(lambda: not left(), "the workers end with their server", seconds=20)
        finally:
            for child in left():
                child.kill()


def test_a_worker_killed_while_idle_is_replaced_before_the_next_task(kit: Any) -> None:
    """The one that has a place and the one that would take it: not even two at once leave the place empty."""
    with kit.serving("--concurrency", "1") as backend:
        killed = {worker.pid for worker in backend.workers()}
        for worker in backend.workers():
            worker.kill()
        kit.until(lambda: {w.pid for w in backend.workers()} - killed, "a new worker", seconds=30)
        kit.until(lambda: backend.metric("qonverge_backend_worker_restarts_total") == 1, "it is counted")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--engine", "Nope"), "no engine is called Nope"),
        (("--method", "Guess"), "Guess"),
        (("--listen", "nonsense"), "listen"),
        (("--public-key", "no key"), "key"),
        (("--concurrency", "-1"), "concurrency"),
    ],
    ids=str,
)
def test_a_server_that_cannot_serve_says_why(kit: Any, options: tuple[str, ...], says: str) -> None:
    listen = () if "--listen" in options else ("--listen", f"127.0.0.1:{kit.free_port()}")
    done = start(*listen, *options)
    assert done.returncode not in (0, None)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named(kit: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start("--listen", f"127.0.0.1:{port}")
    assert done.returncode not in (0, None)
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
