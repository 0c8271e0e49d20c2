"""``qonverge run`` as a person runs it: a process, real engines, real programs."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from qiskit import QuantumCircuit, qpy

ROOT = Path(__file__).parents[2]
HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def run(
    *arguments: str, stdin: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from qonverge.cli.main import main; main()", *arguments]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )


def manifest(program: dict[str, Any], kind: str = "HybridJob", name: str = "job", **spec: Any) -> str:
    body = {"spec": {"program": program, **spec}} if kind == "HybridJob" else {"spec": program}
    return yaml.safe_dump({"apiVersion": "qonverge.io/v1alpha1", "kind": kind, "metadata": {"name": name}, **body})


def status(*documents: str, code: int) -> dict[str, Any]:
    done = run("run", "-o", "json", "-", stdin="---\n".join(documents))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr or "program" in documents[0]
    value: dict[str, Any] = json.loads(done.stdout)["status"]
    return value


def python(source: str) -> dict[str, Any]:
    return {"python": {"source": source}}


def circuit(text: str, **more: Any) -> dict[str, Any]:
    return {"circuit": {"openqasm": HEADER + text, **more}}


BELL = "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"


def test_the_two_examples_of_the_demo(tmp_path: Path) -> None:
    picture = tmp_path / "bell.png"
    done = run("run", "--plot", str(picture), "examples/bell.yaml", "examples/vqe-h2.yaml")
    assert done.returncode == 0, done.stderr
    assert "placed: local is the only candidate" in done.stdout
    assert "█" in done.stdout
    assert "chemical accuracy is 1.6 mHa" in done.stdout
    assert "vqe-h2 completed in" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_vqe_energy_reaches_the_status() -> None:
    done = run("run", "-q", "-o", "yaml", "examples/vqe-h2.yaml")
    value = yaml.safe_load(done.stdout)["status"]["result"]["value"]
    assert abs(value["energy"] - value["exact"]) < 1.6e-3
    assert value["exact"] == pytest.approx(-1.857275, abs=1e-6)


def test_the_same_seed_gives_the_same_counts() -> None:
    first = status(manifest(circuit(BELL), seed=5, shots=2000), code=0)
    again = status(manifest(circuit(BELL), seed=5, shots=2000), code=0)
    assert first["result"] == again["result"]
    assert sum(first["result"]["counts"].values()) == 2000
    assert set(first["result"]["counts"]) == {"00", "11"}


def test_expectation_values() -> None:
    text = "input float theta; qubit[2] q; ry(theta) q[0]; cx q[0], q[1];"
    program = circuit(text, parameters={"theta": 0.3}, observables=["ZZ", {"IZ": 2.0, "XX": 1.0}])
    exact = status(manifest(program), code=0)["result"]
    assert exact["expectationValues"] == pytest.approx([1.0, 2 * 0.955336 + 0.295520], abs=1e-5)
    assert exact["standardErrors"] == [0.0, 0.0]
    sampled = status(manifest(program, precision=0.02, seed=3), code=0)["result"]
    for value, error, true in zip(
        sampled["expectationValues"], sampled["standardErrors"], exact["expectationValues"], strict=True
    ):
        assert error <= 0.02
        assert abs(value - true) <= 5 * max(error, 1e-9)


def test_a_bad_program_fails_with_its_place() -> None:
    ended = status(manifest(circuit("qubit q\nh q;")), code=1)
    assert (ended["state"], ended["reason"]) == ("Failed", "InvalidProgram")
    assert ended["message"] == "line 4, column 1: unexpected 'h'; expected ';'"
    assert "attempts" not in ended


def test_a_circuit_that_cannot_fit_is_refused_with_the_numbers() -> None:
    entangled = "".join(f"cx q[{n}], q[{59 - n}];" for n in range(30))
    wide = circuit(f"qubit[60] q; bit c; ry(0.1) q; {entangled} c = measure q[0];")
    ended = status(manifest(wide), code=1)
    assert ended["reason"] == "Unschedulable"
    assert "statevector of 60 qubits needs 16 EiB" in ended["message"]


def config_map(name: str = "programs", namespace: str = "default", **data: bytes) -> str:
    coded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": namespace}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": coded})


def test_circuits_come_compressed_and_as_qpy() -> None:
    bell, buffer = QuantumCircuit(2), io.BytesIO()
    bell.h(0)
    bell.cx(0, 1)
    bell.measure_all()
    qpy.dump(bell, buffer)
    given = config_map(packed=gzip.compress((HEADER + BELL).encode()), qpy=buffer.getvalue())
    inline = {"circuit": {"qpy": base64.encodebytes(gzip.compress(buffer.getvalue())).decode()}}
    jobs = [
        manifest(inline, name="inline"),
        *(
            manifest({"circuit": {"configMapKeyRef": {"name": "programs", "key": key}}}, name=key)
            for key in ("packed", "qpy")
        ),
    ]
    done = run("run", "-o", "json", "-", stdin="---\n".join([given, *jobs]))
    assert done.returncode == 0, done.stderr
    for item in json.loads(done.stdout)["items"]:
        assert set(item["status"]["result"]["counts"]) == {"00", "11"}


def test_a_config_map_of_another_namespace_is_not_read_and_named() -> None:
    program = {"circuit": {"configMapKeyRef": {"name": "programs", "key": "a"}}}
    done = run("validate", "-", stdin="---\n".join([config_map(namespace="team", a=b"x"), manifest(program)]))
    assert done.returncode == 2
    assert done.stderr == (
        "error: -, document 2: spec.program.circuit: there is no ConfigMap programs in namespace default among the "
        "files given; there is one in team, and only the own namespace is looked in\n"
    )


def test_a_text_of_megabytes_is_refused_in_one_line() -> None:
    done = run("run", "-", stdin=manifest(circuit("x q[0];" * 400_000)))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "2800038 characters are given, and at most 1048576 are taken: compress it with gzip" in done.stderr
    assert len(done.stderr) < 300


def test_what_an_engines_libraries_print_is_for_those_who_ask() -> None:
    # The OpenMP library of Aer prints its settings when it is loaded.
    told = {"OMP_DISPLAY_ENV": "TRUE"}
    quiet = run("run", "-q", "-", stdin=manifest(circuit(BELL)), environment=told)
    loud = run("run", "-q", "-v", "-", stdin=manifest(circuit(BELL)), environment=told)
    assert (quiet.returncode, loud.returncode) == (0, 0)
    assert quiet.stderr == ""
    assert "OPENMP DISPLAY ENVIRONMENT" in loud.stderr
    assert [line.split()[0] for line in quiet.stdout.splitlines()] == ["00", "11"]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("validate examples/bell.yaml >&-", 0, ""),
        ("validate - <&-", 2, "error: -: there is nothing to check\n"),
        ("run -q -o json examples/bell.yaml >&-", 0, ""),
        ("validate examples/bell.yaml >/dev/full", 1, "error: No space left on device\n"),
        ("validate examples", 2, "error: examples: is a folder: name the files in it, such as examples/*.yaml\n"),
        ("validate /dev/zero", 2, "error: /dev/zero: larger than 67108864 bytes, which no manifest is\n"),
        ("replay /dev/null", 2, "error: /dev/null: there is no recorded round in it\n"),
        ("KUBECONFIG=/bin/true why j", 2, "error: there is no cluster to ask: "),
    ],
)
def test_streams_and_files_that_are_not_what_they_should_be(command: str, code: int, said: str) -> None:
    words = command.split(" ")
    before = [words.pop(0)] if "=" in words[0] else []
    line = " ".join([*before, sys.executable, "-c", "'from qonverge.cli.main import main; main()'", *words])
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(said)
    assert "unforeseen" not in done.stderr
    assert not said.endswith("\n") or done.stderr == said


def test_a_program_that_fails_keeps_its_code_and_last_lines() -> None:
    ended = status(manifest(python("print('before')\nimport sys\nsys.exit(3)")), code=1)
    assert (ended["reason"], ended["exitCode"], ended["log"]) == ("ProgramFailed", 3, "before")


def test_a_program_that_prints_a_hundred_megabytes() -> None:
    source = "for n in range(1_000_000): print('x' * 100)\nprint('the end')\nraise ValueError('so')"
    ended = status(manifest(python(source)), code=1)
    assert "the end" in ended["log"]
    assert ended["log"].endswith("ValueError: so")
    assert len(ended["log"]) <= 8192


def test_arguments_results_and_metrics_of_a_program() -> None:
    source = (
        "import sys, numpy as np\nfrom qonverge.client import report, result\n"
        "for n in range(1000): report(progress=n / 1000, step=n)\n"
        "result({'args': sys.argv[1:], 'array': np.arange(3)})\n"
    )
    ended = status(manifest({"python": {"source": source, "args": ["a", "b c"]}}), code=0)
    assert ended["result"]["value"] == {"args": ["a", "b c"], "array": [0, 1, 2]}
    assert ended["metrics"] == {"step": 999.0}


def test_results_of_any_size_are_whole() -> None:
    many = manifest(circuit("qubit[30] q; bit[30] c; h q; c = measure q;"), name="many", shots=40_000)
    long = manifest(python("from qonverge.client import result\nresult(['x' * 99] * 20_000)"), name="long")
    done = run("run", "-o", "json", "-", stdin=f"{many}---\n{long}")
    assert done.returncode == 0, done.stderr
    first, second = (item["status"] for item in json.loads(done.stdout)["items"])
    assert sum(first["result"]["counts"].values()) == 40_000
    assert len(json.dumps(first["result"])) > 1_000_000
    assert second["result"]["value"] == ["x" * 99] * 20_000


def test_a_deadline_ends_a_program() -> None:
    ended = status(manifest(python("import time; time.sleep(600)"), activeDeadlineSeconds=4), code=1)
    assert ended["reason"] == "DeadlineExceeded"


def test_a_suspended_job_is_not_run() -> None:
    assert status(manifest(python("raise SystemExit(9)"), suspend=True), code=1)["state"] == "Suspended"


def test_backends_of_the_file_are_used_and_named() -> None:
    backend = manifest({"simulator": {"method": "DensityMatrix", "seed": 4}}, kind="QuantumBackend", name="dm")
    ended = status(manifest(circuit(BELL)), backend, code=0)
    assert ended["backend"] == "dm"
    assert ended["provenance"]["method"] == "density_matrix"
    assert ended["provenance"]["seed"] == 4
    assert status(manifest(circuit(BELL), backend={"name": "x"}), backend, code=1)["message"] == (
        "waiting for a QuantumBackend named x; there are dm"
    )


def test_a_worker_that_dies_is_replaced_and_the_job_runs_again() -> None:
    layers = "".join(f"rx(0.3) q[{n}]; cx q[{n}], q[{(n + 1) % 22}];" for n in range(22)) * 40
    text = manifest(circuit(f"qubit[22] q; bit[22] c; {layers} c = measure q;"), shots=10)
    command = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run", "-o", "json", "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    while "running on" not in process.stderr.readline():
        pass
    victim = busiest_worker(process.pid)
    os.kill(victim, signal.SIGKILL)
    out, _ = process.communicate(timeout=300)
    ended = json.loads(out)["status"]
    assert process.returncode == 0
    assert ended["attempts"] == 2


def busiest_worker(parent: int) -> int:
    """Return the worker that runs the circuit: the one that uses a CPU for longer than a spare takes to load."""
    workers = [
        p for p in psutil.Process(parent).children() if "qonverge.backend.executors.worker_process" in p.cmdline()
    ]
    before = {p.pid: p.cpu_times().user for p in workers}
    while True:
        for process in workers:
            if process.cpu_times().user - before[process.pid] > 3.0:
                return process.pid


def test_an_interrupt_cancels_and_leaves_nothing_behind() -> None:
    command = [sys.executable, "-c", "from qonverge.cli.main import main; main()", "run", "-"]
    # A shell that starts the tests in the background has them ignore Ctrl-C, and a child inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(manifest(python("import time; print('started', flush=True); time.sleep(600)")))
    process.stdin.close()
    process.stdin = None
    while "started" not in process.stdout.readline():
        pass
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    gone, alive = psutil.wait_procs(children, timeout=120)
    assert not alive
    assert gone


def test_a_budget_holds_for_a_whole_program_and_is_named_where_it_ends_it() -> None:
    """Three tasks of 0.10 EUR, and no fourth; the other program does not catch what its first task gets."""
    head = (
        "from qiskit import QuantumCircuit\nfrom qonverge.client import BudgetExceeded, SamplerV2, result\n"
        "circuit, done = QuantumCircuit(1), 0\ncircuit.h(0)\ncircuit.measure_all()\n"
    )
    catches = head + (
        "try:\n    while done < 9:\n        SamplerV2().run([circuit], shots=10).result()\n        done += 1\n"
        "except BudgetExceeded as error:\n    result([done, str(error)])\n"
    )
    budget: dict[str, Any] = {"budget": {"amount": "0.35", "currency": "EUR"}}
    documents = (
        manifest({"simulator": {}, "pricing": {"perShot": "0.01", "currency": "EUR"}}, "QuantumBackend", "paid"),
        manifest(python(catches), name="catches", **budget),
        manifest(python(head + "SamplerV2().run([circuit], shots=36).result()\n"), name="fails", **budget),
    )
    done = run("run", "-o", "json", "-", stdin="---\n".join(documents))
    caught, failed = (each["status"] for each in json.loads(done.stdout)["items"])
    said = "EUR are left of the job's budget: ask for less, or give the job a larger spec.budget"
    assert caught["result"]["value"] == [3, f"the task costs 0.1 EUR and 0.05 {said} [BudgetExceeded]"]
    assert (caught["usage"]["shots"], caught["usage"]["costs"]) == (30, [{"amount": "0.3", "currency": "EUR"}])
    assert (failed["reason"], failed["message"]) == ("BudgetExceeded", f"the task costs 0.36 EUR and 0.35 {said}")
    assert failed["usage"]["cost"] == "0"
