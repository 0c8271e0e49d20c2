"""Jobs as the examples write them, on the whole cluster."""

from __future__ import annotations

import re
from textwrap import dedent

from e2e.workspace import HEADER, Workspace, circuit, eventually, layered, program, restarts

# Ground state of the example's Hamiltonian by exact diagonalisation, and chemical accuracy, in Hartree.
_EXACT, _CHEMICAL_ACCURACY = -1.857275030202, 1.6e-3


def test_a_backend_is_a_deployment_and_a_service_with_ready_pods(shared: Workspace) -> None:
    status = shared.get("quantumbackend", "aer")["status"]
    selector = status["selector"]
    (deployment,) = shared.items("deployments", f"--selector={selector}")
    (service,) = shared.items("services", f"--selector={selector}")
    (pod,) = shared.backend_pods()
    assert deployment["status"]["readyReplicas"] == 1
    for owned in (deployment, service):
        (owner,) = owned["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("QuantumBackend", "aer")
    slices = shared.items("endpointslices", f"--selector=kubernetes.io/service-name={service['metadata']['name']}")
    addresses = [a for s in slices for e in s["endpoints"] if e["conditions"]["ready"] for a in e["addresses"]]
    assert addresses == [pod["status"]["podIP"]]
    assert (status["ready"], status["readyReplicas"]) == ("1/1", 1)
    shared.wait("--for=jsonpath={.status.capabilities.memoryBytes}", "quantumbackend/aer")
    memory = shared.get("quantumbackend", "aer")["status"]["capabilities"]["memoryBytes"]
    assert 256 * 1024**2 < memory < 2 * 1024**3, "two workers share the pod's 2 GiB"


def test_a_bell_pair_returns_its_counts(workspace: Workspace, shared: Workspace) -> None:
    workspace.example("bell.yaml")
    workspace.wait("--for=condition=Complete", "hybridjob/bell")
    status = workspace.status("bell")
    counts = status["result"]["counts"]
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 1024
    # Six standard deviations.
    assert abs(counts["00"] - 512) < 96
    assert (status["backend"], status["attempts"]) == (f"{shared.namespace}/aer", 1)


def test_expectation_values_have_the_precision_that_was_asked_for(workspace: Workspace) -> None:
    workspace.example("expectation.yaml")
    result = workspace.completed("expectation")["result"]
    # <ZZ> = 1 and <XX + YY> / 2 = 0 for cos(t/2)|00> + sin(t/2)|11>.
    for value, exact, error in zip(result["expectationValues"], (1, 0), result["standardErrors"], strict=True):
        assert error <= 0.0101
        assert abs(value - exact) <= 6 * 0.01


def test_vqe_runs_as_a_job_whose_pod_calls_the_backend(workspace: Workspace, shared: Workspace) -> None:
    before = shared.tasks("Completed")
    workspace.example("vqe-h2.yaml")
    status = workspace.completed("vqe-h2")
    value = status["result"]["value"]
    assert abs(value["energy"] - _EXACT) < _CHEMICAL_ACCURACY
    assert shared.tasks("Completed") - before >= value["evaluations"] > 10
    assert (status["exitCode"], status["progress"], status["attempts"]) == (0, "100%", 1)
    assert abs(status["metrics"]["energy"] - _EXACT) < 0.1
    (job,) = workspace.items("jobs")
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], job["status"]["succeeded"]) == ("HybridJob", "vqe-h2", 1)
    printed = workspace.kubectl("logs", f"job/{job['metadata']['name']}")
    assert status["log"] == printed.rstrip("\n")
    assert re.search(r"^VQE energy    -1\.85", status["log"], re.MULTILINE)


def test_what_kubectl_prints_tells_how_things_stand(workspace: Workspace, shared: Workspace) -> None:
    steps = """
        import time
        from qonverge.client import report
        report(progress=0.25, energy=-1.5, step=3)
        time.sleep(3600)
    """
    workspace.apply(program("steps", dedent(steps)))
    workspace.wait("--for=jsonpath={.status.progress}=25%", "hybridjob/steps")
    workspace.running("steps")
    (row,) = _table(workspace.kubectl("get", "hj"))
    assert row.pop("AGE")
    assert row == {
        "NAME": "steps", "STATE": "Running", "BACKEND": f"{shared.namespace}/aer", "PROGRESS": "25%",
        "METRICS": "energy=-1.5 step=3", "REASON": "Running", "DURATION": "", "SHOTS": "", "COST": "",
    }  # fmt: skip

    def told() -> dict[str, str] | None:
        (row,) = _table(shared.kubectl("get", "qb"))
        return row if row.pop("RUNNING").isdigit() else None

    row = eventually(told, "what the backend's pod says of itself")
    assert row.pop("AGE")
    assert row == {"NAME": "aer", "ENGINE": "Aer", "STATE": "Serving", "READY": "1/1", "AVAILABLE": "", "QUEUE": "0"}
    assert "hybridjob.qonverge.io/steps" in workspace.kubectl("get", "quantum")


def test_a_circuit_that_fits_nowhere_is_refused_with_the_numbers(workspace: Workspace, shared: Workspace) -> None:
    before = restarts(shared.backend_pods())
    # Layers enough to entangle more than a matrix product state holds.
    wide = layered(40, 12)
    workspace.apply(circuit("wide", wide))
    status = workspace.ended("wide")
    assert (status["state"], status["reason"]) == ("Failed", "Unschedulable")
    assert "a statevector of 40 qubits needs 16 TiB" in status["message"]
    assert re.search(r"aer has \d+ MiB for a circuit", status["message"])
    # A program's circuits are not known before: the backend itself refuses them.
    asks = """
        from qiskit import QuantumCircuit
        from qonverge.client import SamplerV2
        circuit = QuantumCircuit(40)
        for step in range(40 * 12):
            circuit.rx(0.3, step % 40)
            circuit.cx(step % 40, (step + 1) % 40)
        circuit.measure_all()
        SamplerV2().run([circuit]).result()
    """
    workspace.apply(program("asks", dedent(asks)))
    status = workspace.ended("asks")
    assert (status["state"], status["reason"], status["exitCode"]) == ("Failed", "ProgramFailed", 1)
    assert re.search(
        r"a statevector of 40 qubits needs .* and one circuit has .*, enough for 2\d qubits", status["log"]
    )
    assert restarts(shared.backend_pods()) == before


def test_a_circuit_that_is_wrong_fails_with_its_place(workspace: Workspace) -> None:
    workspace.apply(circuit("bad", HEADER + "qubit q\nh q;"))
    status = workspace.ended("bad")
    assert (status["state"], status["reason"]) == ("Failed", "InvalidProgram")
    assert status["message"].startswith("line 4, column 1:")
    assert "InvalidProgram" in workspace.kubectl("events", "--for=hybridjob/bad", "--types=Warning")


def _table(text: str) -> list[dict[str, str]]:
    """Return the rows of what ``kubectl get`` prints, by the columns' names."""
    header, *lines = text.rstrip().splitlines()
    # A cell may be empty, so only the places of the names tell which one it is.
    places = [(match[0], match.start()) for match in re.finditer(r"\S+(?: \S+)*", header)]
    ends = [start for _, start in places[1:]] + [None]
    return [{name: line[start:end].strip() for (name, start), end in zip(places, ends, strict=True)} for line in lines]
