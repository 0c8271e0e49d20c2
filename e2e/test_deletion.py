"""What is deleted takes all with it that was made for it."""

from __future__ import annotations

from e2e.workspace import MINUTES, Workspace, backend, circuit, program

_WAITS = """
import time
from qonverge.client import report
report(progress=0.5)
time.sleep(3600)
"""


def test_a_circuit_that_is_deleted_frees_its_worker(workspace: Workspace, shared: Workspace) -> None:
    cancelled = shared.tasks("Cancelled")
    workspace.apply(circuit("endless", MINUTES))
    workspace.running("endless")
    shared.wait("--for=jsonpath={.status.running}=1", "quantumbackend/aer")
    workspace.kubectl("delete", "hybridjob", "endless")
    shared.wait("--for=jsonpath={.status.running}=0", "quantumbackend/aer")
    assert shared.tasks("Cancelled") == cancelled + 1


def test_a_program_that_is_deleted_leaves_nothing(workspace: Workspace) -> None:
    workspace.apply(program("waits", _WAITS))
    workspace.wait("--for=jsonpath={.status.progress}=50%", "hybridjob/waits")
    made = [
        f"{kind}/{item['metadata']['name']}"
        for kind in ("job", "pod", "secret")
        for item in workspace.items(kind, "--selector=qonverge.io/job")
    ]
    assert [name.split("/")[0] for name in made] == ["job", "pod", "secret"]
    workspace.kubectl("delete", "hybridjob", "waits")
    workspace.wait("--for=delete", *made)


def test_a_backend_that_is_deleted_leaves_nothing(workspace: Workspace) -> None:
    workspace.apply(backend("passing"), circuit("bell", backend={"name": "passing"}))
    workspace.completed("bell")
    selector = workspace.get("quantumbackend", "passing")["status"]["selector"]
    made = [
        f"{kind}/{item['metadata']['name']}"
        for kind in ("deployment", "service", "secret", "replicaset", "pod")
        for item in workspace.items(kind, f"--selector={selector}")
    ]
    assert [name.split("/")[0] for name in made] == ["deployment", "service", "secret", "replicaset", "pod"]
    workspace.kubectl("delete", "quantumbackend", "passing")
    workspace.wait("--for=delete", *made)
    assert workspace.status("bell")["state"] == "Complete"
