"""Results that a status has no room for, fetched through the API server by those who may read the job."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster.errors import CommandFailed
from e2e.workspace import HEADER, Workspace, circuit

# Of 30 random bits nearly every shot has an outcome of its own.
_WIDE = HEADER + "qubit[30] q; bit[30] c; h q; c = measure q;"
_SHOTS = 40_000
_RESULT = "from qonverge.cli.main import main; main()"


def test_a_large_result_goes_to_those_who_may_read_the_job(
    workspace: Workspace, shared: Workspace, tmp_path: Path
) -> None:
    account = {"kind": "ServiceAccount", "name": "reader", "namespace": workspace.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    workspace.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "reader"},
            "roleRef": role,
            "subjects": [account],
        },
        circuit("wide", _WIDE, shots=_SHOTS),
    )
    status = workspace.completed("wide")
    kept = status["result"]["kept"]
    assert kept["backend"] == f"{shared.namespace}/aer", "the backend is in a namespace that readers have no part in"
    reader = f"--as=system:serviceaccount:{workspace.namespace}:reader"
    path = workspace.kubectl(reader, "get", "hybridjob", "wide", "--output=jsonpath={.status.result.kept.path}")
    plain = workspace.kubectl(reader, "get", f"--raw={path}").encode()
    assert (len(plain), hashlib.sha256(plain).hexdigest()) == (kept["bytes"], kept["sha256"])
    assert sum(json.loads(plain)["counts"].values()) == _SHOTS
    command = [sys.executable, "-c", _RESULT, "result", "wide"]
    done = subprocess.run(command, capture_output=True, check=False, env=workspace.environment(tmp_path))
    assert (done.returncode, done.stdout) == (0, plain), done.stderr
    # Whoever does not know the path gets nothing, and nobody sends anything there.
    for refused in (
        ("get", f"--raw={path.partition('?')[0]}?key=guessed"),
        ("get", f"--raw={path.partition('/v1/jobs/')[0]}/metrics"),
        ("create", f"--raw={path}", "--filename=-"),
        ("get", f"--raw={path.replace(':results', ':reports')}"),
    ):
        with pytest.raises(CommandFailed):
            workspace.kubectl(reader, *refused, stdin="{}")
