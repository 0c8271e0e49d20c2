"""Programs with the constructs of inputs that once failed, as ``qonverge run`` runs them: each has one right answer."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from qonverge.api import HybridJob
from qonverge.local.manifests import ManifestError, Manifests, read
from qonverge.local.run import Observer
from qonverge.local.runner import LocalRunner

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def job(name: str, text: str, **fields: Any) -> dict[str, Any]:
    circuit = {"openqasm": text} | {key: fields.pop(key) for key in ("observables", "parameters") if key in fields}
    spec = {"program": {"circuit": circuit}, "seed": 3, "activeDeadlineSeconds": 300, **fields}
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": name}, "spec": spec}


def backend(name: str, **simulator: Any) -> dict[str, Any]:
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "QuantumBackend",
        "metadata": {"name": name},
        "spec": {"simulator": simulator, "capacity": {"concurrency": 1}},
    }


def written(folder: Path, *objects: dict[str, Any]) -> Manifests:
    path = folder / "given.yaml"
    # JSON is YAML in which every text is quoted: a bare Y would be true.
    path.write_text("\n---\n".join(map(json.dumps, objects)))
    return read([str(path)])


def run(folder: Path, *objects: dict[str, Any]) -> list[HybridJob]:
    manifests = written(folder, *objects)

    async def ended() -> list[HybridJob]:
        runner = LocalRunner(manifests, Observer(*[lambda *_: None] * len(fields(Observer))))
        async with runner.started():
            return [await runner.run(each) for each in manifests.jobs]

    return asyncio.run(ended())


# What is asked, the program, and the only outcome that can come.
CERTAIN = {
    "no version line": ('include "stdgates.inc"; qubit[1] a; bit[1] r; y a; r = measure a;', "1"),
    "a bit compared with 0": (
        HEAD + "qubit[2] a; bit[2] r; r[0] = measure a[0]; if (r[0] == 0) x a[1]; r[1] = measure a[1];",
        "10",
    ),
    "a bit or a bit": (
        HEAD + "qubit[3] a; bit[3] r; x a[1]; r = measure a; if (r[0] || r[1]) x a[2]; r[2] = measure a[2];",
        "110",
    ),
    "a bit and a bit": (
        HEAD + "qubit[3] a; bit[3] r; x a[1]; r = measure a; if (r[0] && r[1]) x a[2]; r[2] = measure a[2];",
        "010",
    ),
    "a register that is not a number": (
        HEAD + "qubit[3] a; bit[2] r; bit[1] d; x a[1]; r = measure a[0:1]; if (r != 1) x a[2]; d[0] = measure a[2];",
        "1 10",
    ),
    "a register that is not equal, negated": (
        HEAD
        + "qubit[3] a; bit[2] r; bit[1] d; x a[1]; r = measure a[0:1]; if (!(r == 2)) x a[2]; d[0] = measure a[2];",
        "0 10",
    ),
    "a register below a number": (
        HEAD + "qubit[3] a; bit[2] r; bit[1] d; x a[0]; r = measure a[0:1]; if (r < 2) x a[2]; d[0] = measure a[2];",
        "1 01",
    ),
    "a cast": (
        HEAD + "qubit[3] a; bit[2] r; bit[1] d; x a; r = measure a[0:1]; if (uint[2](r) >= 3) x a[2];"
        "d[0] = measure a[2];",
        "0 11",
    ),
    "switch": (
        HEAD + "qubit[3] a; bit[2] r; bit[1] d; x a[0]; r = measure a[0:1];"
        "switch (int[3](r)) { case 0, 2 { } case 1 { x a[2]; } default { } } d[0] = measure a[2];",
        "1 01",
    ),
    "a constant size": (HEAD + "const int width = 1 + 1; qubit[width] a; bit[width] r; x a[0]; r = measure a;", "01"),
    "a constant angle": (HEAD + "const angle half = pi; qubit[1] a; bit[1] r; ry(half) a; r = measure a;", "1"),
    "a loop over qubits": (
        HEAD + "qubit[4] a; bit[4] r; for uint k in [0:2:3] { x a[k]; } r = measure a;",
        "0101",
    ),
    "a loop and the qubit before": (
        HEAD + "qubit[3] a; bit[3] r; x a[0]; for int k in [1:2] { cx a[k - 1], a[k]; } r = measure a;",
        "111",
    ),
    "a function": (HEAD + "qubit[1] a; bit[1] r; rx(4 * arctan(1.0)) a; r = measure a;", "1"),
    "a power": (HEAD + "qubit[1] a; bit[1] r; rx(pi * 2**2 / 4) a; r = measure a;", "1"),
    "a subroutine": (
        HEAD + "def both(qubit s, qubit t) { x s; cx s, t; } qubit[2] a; bit[2] r; both(a[0], a[1]); r = measure a;",
        "11",
    ),
    "an integer": (
        HEAD
        + "uint[4] mask = 2; qubit[2] a; bit[2] r; for uint k in [0:1] { if (bool(mask[k])) x a[k]; } r = measure a;",
        "10",
    ),
    "a delay": (HEAD + "qubit[1] a; bit[1] r; x a; delay[2us] a; r = measure a;", "1"),
    "bits with a value": (HEAD + 'qubit[1] a; bit[3] r = "110"; x a; r[0] = measure a[0];', "111"),
    "a measurement for itself": (HEAD + "qubit[2] a; bit[1] r; x a[0]; measure a[1]; r[0] = measure a[0];", "1"),
    "the end": (HEAD + "qubit[1] a; bit[1] r; x a; r = measure a; end;", "1"),
    "a pragma": (HEAD + "#pragma somebody else\nqubit[1] a; bit[1] r; x a; r = measure a;", "1"),
    "a name for one qubit": (HEAD + "qubit[3] a; bit[3] r; let middle = a[-2]; x middle; r = measure a;", "010"),
    "a range to the last": (HEAD + "qubit[5] a; bit[5] r; x a[-3:-1]; r = measure a;", "11100"),
    "a range down to the first": (HEAD + "qubit[5] a; bit[5] r; x a[3:-1:0]; r = measure a;", "01111"),
    "measured ranges": (HEAD + "qubit[3] a; bit[3] r; x a; r[-2:-1] = measure a[-2:-1];", "110"),
    "a loop that is left": (
        HEAD + "qubit[2] a; bit[2] r; x a[0]; for int k in [0:7] { r[0] = measure a[0]; if (r[0]) { break; } x a[1]; }"
        "r[1] = measure a[1];",
        "01",
    ),
    "a turn that is left": (
        HEAD
        + "qubit[2] a; bit[2] r; for int k in [0:2] { x a[0]; r[0] = measure a[0]; if (r[0]) { continue; } x a[1]; }"
        "r[1] = measure a[1];",
        "11",
    ),
    "a condition of 65 bits": (
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg a[2];\ncreg r[65];\nx a[0];\nmeasure a[0] -> r[64];\n'
        f"if (r == {2**64}) x a[1];\nmeasure a[1] -> r[1];\n",
        "1" + "0" * 62 + "10",
    ),
    "scalar bits": (HEAD + "qubit[2] a; bit one; bit two; x a[1]; one = measure a[0]; two = measure a[1];", "1 0"),
}


@pytest.fixture(scope="module")
def certain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HybridJob]:
    folder = tmp_path_factory.mktemp("certain")
    objects = [job(f"c{place}", text, shots=20) for place, (text, _) in enumerate(CERTAIN.values())]
    return dict(zip(CERTAIN, run(folder, *objects), strict=True))


@pytest.mark.parametrize("name", CERTAIN)
def test_programs_have_the_outcome_that_is_certain(certain: dict[str, HybridJob], name: str) -> None:
    status = certain[name].status
    assert status.result is not None, status.message
    assert status.result.counts == {CERTAIN[name][1]: 20}


SENT = (
    HEAD + "qubit[3] a; bit[2] r; ry(1.1) a[0]; rz(0.3) a[0]; h a[1]; cx a[1], a[2]; cx a[0], a[1]; h a[0];"
    "r = measure a[0:1]; if (r[1]) { x a[2]; } if (r[0]) { z a[2]; }"
)


def test_values_of_programs_that_measure_on_their_way(tmp_path: Path) -> None:
    steered = HEAD + "qubit[2] a; bit r; x a[0]; r = measure a[0]; if (r) { x a[1]; }"
    one_shot = HEAD + "qubit[1] a;"
    certain, sent, single = run(
        tmp_path,
        job("steered", steered, observables=["ZI"], shots=500),
        job("sent", SENT, observables=["ZII", "XII", "YII"], shots=40_000),
        job("single", one_shot, observables=["Y"], shots=1),
    )
    assert certain.status.result is not None
    assert certain.status.result.expectation_values == [-1.0]
    assert sent.status.result is not None
    true = [math.cos(1.1), math.sin(1.1) * math.cos(0.3), math.sin(1.1) * math.sin(0.3)]
    # Eight standard errors at most.
    assert sent.status.result.expectation_values == pytest.approx(true, abs=8 / math.sqrt(40_000))
    assert single.status.result is not None
    assert single.status.result.standard_errors is not None
    assert single.status.result.standard_errors[0] > 0.3


def test_methods_take_the_gates_of_the_standard_header(tmp_path: Path) -> None:
    body = "ry(0.7) a[0]; crx(0.4) a[0], a[1]; cry(0.5) a[0], a[1]; crz(0.3) a[1], a[2];"
    text = HEAD + "qubit[3] a;" + body + "cu(0.1, 0.2, 0.3, 0.4) a[0], a[2]; cswap a[0], a[1], a[2];"
    jobs = [
        job(method.lower(), text, observables=["ZZI", "IXY", "YIX"], backend={"name": method.lower()})
        for method in ("Statevector", "DensityMatrix", "MatrixProductState")
    ]
    backends = [
        backend(each["metadata"]["name"], engine="Aer", method=method)
        for each, method in zip(jobs, ("Statevector", "DensityMatrix", "MatrixProductState"), strict=True)
    ]
    found = [each.status for each in run(tmp_path, *backends, *jobs)]
    assert [status.state for status in found] == ["Complete"] * 3, [status.message for status in found]
    values = [status.result.expectation_values for status in found if status.result is not None]
    assert values[1] == pytest.approx(values[0], abs=1e-9)
    assert values[2] == pytest.approx(values[0], abs=1e-9)


def test_a_wide_circuit_of_little_entanglement_runs_by_default(tmp_path: Path) -> None:
    n = 60
    gates = "x a[0]; x a[1];" + "".join(f"ccx a[{k}], a[{k + 1}], a[{k + 2}];" for k in range(n - 2))
    far = "ccx a[0], a[30], a[59]; ccx a[0], a[30], a[59];"
    (ended,) = run(tmp_path, job("wide", HEAD + f"qubit[{n}] a; bit[{n}] r;{gates}{far}r = measure a;", shots=5))
    assert ended.status.result is not None, ended.status.message
    assert ended.status.result.counts == {"1" * n: 5}


def test_resets_of_fresh_qubits_leave_exact_values_exact(tmp_path: Path) -> None:
    n = 16
    body = "".join(f"ry({0.1 + k / 10}) a[{k}];" for k in range(n)) + "cx a[0], a[1];"
    label = "I" * (n - 2) + "ZI"
    (ended,) = run(tmp_path, job("fresh", HEAD + f"qubit[{n}] a; reset a;{body}", observables=[label]))
    assert ended.status.result is not None, ended.status.message
    assert ended.status.result.expectation_values == pytest.approx([math.cos(0.1) * math.cos(0.2)], abs=1e-9)


def test_delays_relax_as_the_calibration_says(tmp_path: Path) -> None:
    from qonverge.devices.snapshots import load

    t1 = load("lima").qubit(0).t1
    assert t1 is not None
    programs = {
        unit: HEAD + f"qubit[5] a; bit[1] r; x a[0]; barrier a; delay[{delay}] a[0]; barrier a; r[0] = measure a[0];"
        for unit, delay in (("us", "80us"), ("ns", "80000ns"), ("ms", "0.08ms"))
    }
    jobs = [job(unit, text, shots=20_000) for unit, text in programs.items()]
    ended = run(tmp_path, backend("lima", noise={"device": "lima"}), *jobs)
    shares = []
    for each in ended:
        assert each.status.result is not None, each.status.message
        assert each.status.result.counts is not None
        shares.append(each.status.result.counts.get("1", 0) / 20_000)
    # The best qubit is taken, whichever it is; readout and the gate take some percent.
    assert shares == pytest.approx([shares[0]] * 3, abs=0.02)
    times = [qubit.t1 for qubit in load("lima").qubits if qubit.t1]
    assert math.exp(-8e-5 / min(times)) * 0.85 < shares[0] < math.exp(-8e-5 / max(times)) * 1.05


def test_types_and_keys_are_as_strict_as_the_api_server_s(tmp_path: Path) -> None:
    text = HEAD + "qubit[1] a; bit[1] r; r = measure a;"
    path = tmp_path / "strict.yaml"
    head = "apiVersion: qonverge.io/v1alpha1\nkind: HybridJob\nmetadata: {name: strict}\nspec:\n"
    program = f"  program: {{circuit: {{openqasm: {json.dumps(text)}}}}}\n"
    doubled = f"  program: {{circuit: {{openqasm: {json.dumps(text)}, observables: [{{Z: 1, Z: 3}}]}}}}\n"
    for given in (f"  shots: false\n{program}", f"  shots: 4\n  shots: 5\n{program}", doubled):
        path.write_text(head + given)
        with pytest.raises(ManifestError):
            read([str(path)])


@pytest.mark.parametrize("source", ["print('\U0001f422')", "print(7)"])
def test_json_with_tabs_and_signs_beyond_the_first_plane(tmp_path: Path, source: str) -> None:
    path = tmp_path / "job.json"
    given = {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": "json"}}
    path.write_text(json.dumps({**given, "spec": {"program": {"python": {"source": source}}}}, indent="\t"))
    (only,) = read([str(path)]).jobs
    assert only.spec.program.python is not None
    assert only.spec.program.python.source == source


def test_a_circuit_that_is_too_long_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    text = HEAD + "qubit[1] a; bit[1] r;" + "x a[0];\n" * 150_000 + "r = measure a;"
    with pytest.raises(ManifestError) as refused:
        written(tmp_path, job("long", text))
    assert len(str(refused.value)) < 1000


def test_what_programs_once_tripped_over(tmp_path: Path) -> None:
    source = """
import numpy as np
from qiskit import QuantumCircuit
from qonverge.client import EstimatorV2, QonvergeBackend, SamplerV2, result

one = QuantumCircuit(1, 1)
one.x(0)
one.measure(0, 0)
found = {"seed": SamplerV2(seed=np.int64(5)).run([one]).result()[0].data.c.get_counts()}
for shots in (0, -5):
    try:
        QonvergeBackend().run(one, shots=shots).result()
    except (TypeError, ValueError) as error:
        found[str(shots)] = str(error)
found["empty"] = list(EstimatorV2().run([(QuantumCircuit(1), np.array([], dtype=object))]).result()[0].data.evs.shape)
result(found)
"""
    program = job("slips", "")
    program["spec"]["program"] = {"python": {"source": source}}
    (ended,) = run(tmp_path, program)
    assert ended.status.result is not None, ended.status.log
    found = ended.status.result.value
    assert found["seed"] == {"1": 1024}
    assert "shots" in found["0"]
    assert "shots" in found["-5"]
    assert found["empty"] == [0]
