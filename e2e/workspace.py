"""A namespace of the cluster in which a test works, and the manifests that tests use."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster.access import ClusterAccess
from e2e.cluster.build import Programs
from e2e.cluster.errors import CommandFailed

ROOT = Path(__file__).resolve().parents[1]
#: Only ends a test that hangs.
LIMIT = 240

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
BELL = HEADER + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"


def layered(qubits: int, layers: int) -> str:
    """Return a circuit that takes a time that doubles with each qubit."""
    layer = "".join(f"rx(0.3) q[{n}]; cx q[{n}], q[{(n + 1) % qubits}];" for n in range(qubits))
    return HEADER + f"qubit[{qubits}] q; bit[{qubits}] c; {layer * layers} c = measure q;"


#: Runs for minutes: a test ends it.
MINUTES = layered(25, 80)
#: Runs long enough to be found running.
SOME_SECONDS = layered(22, 40)
#: Runs for some tenths of a second.
MOMENT = layered(18, 20)


def circuit(name: str, text: str = BELL, **spec: Any) -> dict[str, Any]:
    """Return a HybridJob of a circuit."""
    return _job(name, {"program": {"circuit": {"openqasm": text}}, **spec})


def program(name: str, source: str, *, resources: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a HybridJob of a Python program."""
    python = {"source": source, **({"resources": resources} if resources else {})}
    return _job(name, {"program": {"python": python}, **spec})


def _job(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "qonverge.io/v1alpha1", "kind": "HybridJob", "metadata": {"name": name}, "spec": spec}


def backend(name: str, **spec: Any) -> dict[str, Any]:
    """Return a QuantumBackend like the example's, for its own namespace."""
    example = yaml.safe_load((ROOT / "examples/backend-aer.yaml").read_text())["spec"]
    del example["access"]
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "QuantumBackend",
        "metadata": {"name": name},
        "spec": {**example, **spec},
    }


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Return the condition's value as soon as it is true, for what ``kubectl wait`` cannot wait for."""
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {LIMIT} s")
        time.sleep(0.2)
    return value


class Workspace:
    """A namespace, and kubectl in it."""

    def __init__(self, cluster: ClusterAccess, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def create(self, **labels: str) -> None:
        """Create the namespace. It admits only pods that keep to the strictest of Kubernetes' security standards."""
        enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.namespace, "labels": enforced | labels}
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def delete(self) -> None:
        """Delete the namespace and all that is in it, without waiting for its end."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.cluster.apply(*objects, namespace=self.namespace)

    def example(self, *names: str) -> None:
        """Apply manifests of the examples as they are."""
        for name in names:
            self.kubectl("apply", f"--filename={ROOT / 'examples' / name}")

    def get(self, *words: str) -> dict[str, Any]:
        return self.cluster.get(*words, namespace=self.namespace)

    def items(self, *words: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get(*words)["items"]
        return items

    def status(self, job: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get("hybridjob", job).get("status", {})
        return status

    def wait(self, *words: str) -> None:
        """Wait as ``kubectl wait`` does; what does not come about is told with the objects' state."""
        try:
            self.kubectl("wait", f"--timeout={LIMIT}s", *words)
        except CommandFailed as error:
            told = [self.kubectl("get", "hybridjobs,quantumbackends,deployments,jobs,pods", "--output=wide")]
            told.append(self.kubectl("get", "hybridjobs", "--output=jsonpath={range .items[*]}{.status}{'\\n'}{end}"))
            told.append(self.cluster.kubectl("logs", f"--namespace={self.cluster.namespace}", *_OPERATOR, "--tail=30"))
            raise AssertionError("\n".join([str(error), *told])) from None

    def running(self, *jobs: str) -> None:
        """Wait until the jobs run."""
        self.wait("--for=condition=Running", *(f"hybridjob/{job}" for job in jobs))

    def ended(self, job: str) -> dict[str, Any]:
        """Wait for a job's end, good or bad, and return its status."""
        self.wait("--for=jsonpath={.status.completedAt}", f"hybridjob/{job}")
        return self.status(job)

    def completed(self, job: str) -> dict[str, Any]:
        """Wait for a job's good end and return its status; another end fails at once."""
        status = self.ended(job)
        assert status["state"] == "Complete", status
        return status

    def backend_pods(self, name: str = "aer") -> list[dict[str, Any]]:
        """Return the pods of a backend of this namespace, but those that are going."""
        return _staying(self.items("pods", f"--selector={self.get('quantumbackend', name)['status']['selector']}"))

    def tasks(self, state: str, name: str = "aer") -> float:
        """Return how many tasks the pods of a backend say that they ended in this state."""
        total = 0.0
        for pod in self.backend_pods(name):
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
            for family in text_string_to_metric_families(self.kubectl("get", f"--raw={path}")):
                for sample in family.samples:
                    if sample.name == "qonverge_backend_tasks_total" and sample.labels["state"] == state:
                        total += sample.value
        return total

    def kubeconfig(self, folder: Path) -> Path:
        """Return a kubeconfig whose current namespace is this one."""
        file = folder / "kubeconfig"
        configuration = yaml.safe_load(self.cluster.kubectl("config", "view", "--flatten", "--minify", "--raw"))
        configuration["contexts"][0]["context"]["namespace"] = self.namespace
        file.write_text(yaml.safe_dump(configuration))
        file.chmod(0o600)
        return file

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment of a person who works here."""
        path = f"{Programs()['kubectl'].parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig(folder))}


#: Selects the operator's pods.
_OPERATOR = ("--selector=app.kubernetes.io/name=qonverge",)


def operator_pods(cluster: ClusterAccess) -> list[dict[str, Any]]:
    """Return the operator's pods, but those that are going."""
    return _staying(cluster.get("pods", *_OPERATOR, namespace=cluster.namespace)["items"])


def _staying(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def restarts(pods: list[dict[str, Any]]) -> dict[str, int]:
    """Return the restarts of each pod by its uid."""
    return {
        pod["metadata"]["uid"]: sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
        for pod in pods
    }


class Killer:
    """Kills the processes of a pod with SIGKILL, as the kernel does when a node lacks memory.

    Deleting a pod, also by force, asks its processes first to end. A process of the container cannot kill the first
    one. So a pod that sees the node's processes does it.
    """

    _NAME = "e2e-killer"
    #: Namespaces of tests do not admit it.
    _NAMESPACE = "--namespace=kube-system"

    def __init__(self, cluster: ClusterAccess, node: str) -> None:
        self._cluster = cluster
        self._node = node

    def __enter__(self) -> Killer:
        container = {
            "name": "killer",
            "image": self._cluster.images.image("program"),
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "infinity"],
            "securityContext": {"privileged": True, "runAsUser": 0},
        }
        spec = {"nodeName": self._node, "hostPID": True, "terminationGracePeriodSeconds": 0, "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self._NAME}, "spec": spec}
        self._cluster.kubectl("create", self._NAMESPACE, "--filename=-", stdin=json.dumps(pod))
        self._cluster.kubectl("wait", self._NAMESPACE, f"pod/{self._NAME}", "--for=condition=Ready", "--timeout=60s")
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.kubectl("delete", self._NAMESPACE, "pod", self._NAME)

    def kill(self, pod: Mapping[str, Any]) -> None:
        """Kill all that runs in the pod's containers, at once."""
        name = pod["metadata"]["name"]
        self._cluster.kubectl("exec", self._NAMESPACE, self._NAME, "--", "python3", "-c", _KILL, name)


# A pod's name is the host name that its processes are started with.
_KILL = """
import os, pathlib, signal, sys
wanted = f"HOSTNAME={sys.argv[1]}".encode()
found = []
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
    except OSError:
        continue
    if wanted in environment.split(b"\\0") and b"python" in command:
        found.append(int(process.name))
if not found:
    sys.exit("no such processes")
for identity in sorted(found):
    try:
        os.kill(identity, signal.SIGKILL)
    except ProcessLookupError:
        pass
print(found)
"""
