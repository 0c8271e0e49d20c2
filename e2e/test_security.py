"""What pods may do, and what the operator may ask of the API server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import dedent
from typing import Any

import pytest

from e2e.cluster.access import ClusterAccess
from e2e.cluster.errors import CommandFailed
from e2e.workspace import Workspace, operator_pods, program

# What a process may do, as it finds out itself.
_LOOK = """
import json, os, pathlib

def writable(folder):
    try:
        (pathlib.Path(folder) / "e2e-probe").write_text("")
    except OSError:
        return False
    (pathlib.Path(folder) / "e2e-probe").unlink()
    return True

status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
found = {
    "root": 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), *os.getgroups()),
    "writable": [
        folder for folder in ("/", "/etc", "/opt/project", "/usr", "/var", "/tmp", "/output") if writable(folder)
    ],
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no new privileges": status["NoNewPrivs"].strip(),
    "seccomp": status["Seccomp"].strip(),
    "service account": os.path.exists("/var/run/secrets/kubernetes.io"),
}
"""
_CONFINED = {
    "root": False,
    "writable": ["/tmp"],
    "capabilities": 0,
    "no new privileges": "1",
    "seccomp": "2",
    "service account": False,
}


def _looks(cluster: ClusterAccess, pod: dict[str, Any]) -> Any:
    metadata = pod["metadata"]
    command = ["python", "-c", _LOOK + "print(json.dumps(found))"]
    return json.loads(cluster.kubectl("exec", f"--namespace={metadata['namespace']}", metadata["name"], "--", *command))


def test_the_operator_is_confined(cluster: ClusterAccess) -> None:
    (pod,) = operator_pods(cluster)
    # It alone talks to the API server.
    assert _looks(cluster, pod) == {**_CONFINED, "service account": True}


def test_backends_are_confined(cluster: ClusterAccess, shared: Workspace) -> None:
    (pod,) = shared.backend_pods()
    assert _looks(cluster, pod) == _CONFINED


def test_programs_are_confined(workspace: Workspace) -> None:
    workspace.apply(program("looks", _LOOK + "from qonverge.client import result\nresult(found)\n"))
    assert workspace.completed("looks")["result"]["value"] == {**_CONFINED, "writable": ["/tmp", "/output"]}


def test_pods_keep_to_the_restricted_security_standard(cluster: ClusterAccess, shared: Workspace) -> None:
    """The API server itself says of every pod that does not; tests' namespaces admit no other."""
    labels = shared.cluster.get("namespace", shared.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = operator_pods(cluster)[0]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "copy"}, "spec": pod["spec"]}
    for name in ("nodeName", "serviceAccount", "serviceAccountName", "tolerations"):
        body["spec"].pop(name, None)
    shared.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(body))


def test_a_program_reaches_its_own_tasks_alone(workspace: Workspace, shared: Workspace) -> None:
    """Its token opens its backend, not the tasks of others, nor reports of other jobs."""
    source = """
        import json, os, urllib.error, urllib.request
        from qonverge.client import result

        token = open(os.environ["QONVERGE_TOKEN_FILE"]).read()
        backend, report = os.environ["QONVERGE_BACKEND_URL"], os.environ["QONVERGE_REPORT_URL"]

        def ask(url, token, body=None):
            request = urllib.request.Request(url, body, {"content-type": "application/json"})
            if token:
                request.add_header("authorization", f"Bearer {token}")
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        other = report.replace("/asks/", "/another/")
        result({
            "own": ask(backend + "/v1/backend", token),
            "without": ask(backend + "/v1/backend", None),
            "forged": ask(backend + "/v1/backend", token[:-8] + "AAAAAAAA"),
            "another": ask(other, token, b'{"progress": 1}'),
            "report": ask(report, token, b'{"progress": 0.5}'),
        })
    """
    waits = "import time\ntime.sleep(3600)\n"
    workspace.apply(program("another", waits))
    workspace.running("another")
    workspace.apply(program("asks", dedent(source)))
    assert workspace.completed("asks")["result"]["value"] == {
        "own": 200, "without": 401, "forged": 401, "another": 403, "report": 204,
    }  # fmt: skip
    assert "progress" not in workspace.status("another")


_ALLOWED = [
    "watch hybridjobs.qonverge.io --all-namespaces",
    "patch hybridjobs.qonverge.io --subresource=status --all-namespaces",
    # For the finalizer of jobs with tasks at a cloud.
    "patch hybridjobs.qonverge.io --all-namespaces",
    # For the mark of those that go when a backend gets smaller.
    "patch pods --all-namespaces",
    # Of larger sizes of backends, which are backends of their own.
    "create quantumbackends.qonverge.io --all-namespaces",
    "delete quantumbackends.qonverge.io --all-namespaces",
    "create jobs.batch --all-namespaces",
    "create secrets --all-namespaces",
    # Of attempts that are over.
    "delete secrets --all-namespaces",
    "update leases.coordination.k8s.io/qonverge.{release}.qonverge --namespace=kube-system",
    "list leases.coordination.k8s.io --namespace=kube-system",
    "get secrets/qonverge-signing-key --namespace={release}",
]
_REFUSED = [
    "list nodes",
    "get namespaces/kube-system",
    "list secrets --all-namespaces",
    "watch secrets --all-namespaces",
    "get secrets --namespace=kube-system",
    "list configmaps --all-namespaces",
    "get quantumbackends.qonverge.io --all-namespaces",
    "update secrets --all-namespaces",
    "update leases.coordination.k8s.io --namespace=kube-system",
    "update leases.coordination.k8s.io/kube-scheduler --namespace=kube-system",
    "list leases.coordination.k8s.io --all-namespaces",
    "update pods --all-namespaces",
    "patch pods --subresource=status --all-namespaces",
    "create pods --all-namespaces",
    "create pods --subresource=exec --all-namespaces",
    "delete pods --all-namespaces",
    "create hybridjobs.qonverge.io --all-namespaces",
    "update hybridjobs.qonverge.io --all-namespaces",
    "create clusterrolebindings.rbac.authorization.k8s.io",
    "create serviceaccounts --subresource=token --all-namespaces",
    "impersonate users",
    "* *",
]


def _may(cluster: ClusterAccess, words: Sequence[str]) -> bool:
    account = operator_pods(cluster)[0]["spec"]["serviceAccountName"]
    subject = f"--as=system:serviceaccount:{cluster.namespace}:{account}"
    try:
        answer = cluster.kubectl("auth", "can-i", subject, *words)
    except CommandFailed as error:
        # Its status is 1 for no, and for errors.
        answer = error.output
    word = answer.split()[0]
    assert word in ("yes", "no"), answer
    return word == "yes"


@pytest.mark.parametrize("question", _ALLOWED)
def test_the_operator_may_do_its_work(cluster: ClusterAccess, question: str) -> None:
    assert _may(cluster, question.format(release=cluster.namespace).split())


@pytest.mark.parametrize("question", _REFUSED)
def test_the_operator_may_do_no_more(cluster: ClusterAccess, question: str) -> None:
    assert not _may(cluster, question.split())
