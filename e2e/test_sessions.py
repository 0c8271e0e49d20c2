"""Sessions for people whose connections go through the API server and a kubelet to a backend's pod."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import yaml

from e2e.workspace import LIMIT, Workspace, backend, eventually

_COMMAND = (sys.executable, "-c", "from qonverge.cli.main import main; main()")
# It goes on until a file is there.
_SCRIPT = """
import sys, time
from pathlib import Path
from qiskit import QuantumCircuit
from qonverge.client import SamplerV2

bell = QuantumCircuit(2)
bell.h(0)
bell.cx(0, 1)
bell.measure_all()
sampler, done = SamplerV2(), 0
while done == 0 or not Path(sys.argv[1]).exists():
    counts = sampler.run([bell], shots=100).result()[0].data.meas.get_counts()
    assert set(counts) <= {"00", "11"} and sum(counts.values()) == 100
    done += 100
    print(done, flush=True)
    time.sleep(0.2)
"""
# As docs/sessions.md says.
_RIGHTS = [
    {"apiGroups": ["qonverge.io"], "resources": ["hybridjobs"], "verbs": ["create", "get", "list", "watch", "patch"]},
    {"apiGroups": [""], "resources": ["secrets", "services"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]},
]


def _person(workspace: Workspace, folder: Path) -> dict[str, str]:
    """Return the environment of a person who has only the rights that a session needs."""
    rbac, name = "rbac.authorization.k8s.io", {"name": "ann"}
    workspace.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": name, "rules": _RIGHTS},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "ann"},
            "subjects": [{"kind": "ServiceAccount", "name": "ann", "namespace": workspace.namespace}],
        },
    )
    environment = workspace.environment(folder)
    file = Path(environment["KUBECONFIG"])
    configuration = yaml.safe_load(file.read_text())
    configuration["users"][0]["user"] = {"token": workspace.kubectl("create", "token", "ann").strip()}
    file.write_text(yaml.safe_dump(configuration))
    return environment


def test_a_script_on_this_machine_uses_a_backend_whose_pod_is_replaced_meanwhile(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.apply(backend("pair", replicas=2))
    workspace.wait("--for=jsonpath={.status.readyReplicas}=2", "quantumbackend/pair")
    script, enough = tmp_path / "script.py", tmp_path / "enough"
    script.write_text(dedent(_SCRIPT))
    arguments = ("session", "--backend", "pair", "--duration", "1h", "--", sys.executable, str(script), str(enough))
    with subprocess.Popen(
        [*_COMMAND, *arguments],
        env=_person(workspace, tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "100\n"
            (job,) = workspace.items("hybridjobs")
            service = job["status"]["session"]["service"]
            assert service == f"{workspace.namespace}/pair-qb"
            # Each in turn, so that one of them is the one that is used.
            for pod in workspace.backend_pods("pair"):
                workspace.kubectl("delete", "pod", pod["metadata"]["name"])
                workspace.wait("--for=jsonpath={.status.readyReplicas}=2", "quantumbackend/pair")
                done = int(process.stdout.readline())
                assert any(int(line) > done + 100 for line in process.stdout)
            enough.touch()
            rest, err = process.communicate(timeout=LIMIT)
        finally:
            process.terminate()
    assert process.returncode == 0, err
    assert rest.split() == [] or int(rest.split()[-1]) > 300
    name = job["metadata"]["name"]
    assert f"{name} Complete: the session was ended" in err.splitlines()[-1]
    eventually(lambda: workspace.status(name).get("state") == "Complete", "the end of the session")
