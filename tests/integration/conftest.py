"""A real API server, the operator as a process, and backend servers where a kubelet would start pods."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import ControlPlane, standin
from e2e.cluster.processes import free_ports
from e2e.layers import require
from qonverge.controller.kube.lease import LABEL
from tests.integration.kube_client import KubeClient

ROOT = Path(__file__).parents[2]
NAMESPACE = "qonverge-system"


def free_port() -> int:
    return free_ports(1)[0]


LIMIT = 600.0
"""Seconds that only end a test that hangs: a busy machine needs many times what an idle one does."""


def eventually(condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    """Return the condition's value as soon as it is true; it is an error after ``limit`` seconds."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {limit:g} s")
        time.sleep(0.05)


# What owns others goes first.
_MADE = (
    *("hj", "qb", "qq", "events", "job", "deployment", "replicaset", "service", "pod", "configmap", "networkpolicy"),
)


class Lab:
    """A control plane with the CRDs, and what was started in it."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.api = KubeClient(plane.kubeconfig)
        self.operator: subprocess.Popen[bytes] | None = None
        self.health = free_port()
        self._results = free_port()
        self.results = f"http://127.0.0.1:{self._results}"
        self.reports = 0
        """Port at which the operator takes reports."""
        self.pods: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[int, dict[str, str], tuple[str, ...]]] = {}
        self._starts = 0

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.plane.kubectl(*arguments, stdin=stdin)

    def apply(self, *objects: dict[str, Any]) -> None:
        for obj in objects:
            self.api.apply(obj, "default")

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        return self.api.get(kind, name, namespace)

    def list(self, kind: str, namespace: str = "default") -> list[dict[str, Any]]:
        return self.api.list(kind, namespace)

    def patch(self, kind: str, name: str, change: Mapping[str, Any], subresource: str = "") -> None:
        """Merge a change into an object of the namespace ``default``."""
        self.api.patch(kind, name, "default", change, subresource)

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get("hj", name).get("status", {})
        return status

    def delete_all(self, path: str) -> None:
        """Delete a collection at once; ``kubectl delete --all`` asks for one object after the other."""
        self.kubectl("delete", f"--raw=/{path}")

    def ended(self, name: str, limit: float = LIMIT) -> dict[str, Any]:
        def done() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status.get("state") in ("Complete", "Failed") else None

        value: dict[str, Any] = eventually(done, f"the end of {name}", limit)
        return value

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """Return the environment of a process that asks the API server."""
        return {**os.environ, "KUBECONFIG": str(kubeconfig or self.plane.kubeconfig)}

    def start_operator(self, kubeconfig: Path | None = None, **settings: str) -> None:
        """Start the operator; ``settings`` are further variables of its environment."""
        self.reports = free_port()
        given = {} if kubeconfig is None else {"KUBECONFIG": str(kubeconfig)}
        given |= {"QONVERGE_REPORT_LISTEN": f"127.0.0.1:{self.reports}"}
        given |= {"QONVERGE_RESULT_LISTEN": f"127.0.0.1:{self._results}"}
        self.operator = self.operator_process(self.health, **(given | settings))

    def operator_process(self, health: int, **settings: str) -> subprocess.Popen[bytes]:
        """Start an operator with other settings than the lab's where they are given; the caller ends it."""
        self._starts += 1
        environment = {
            **self.environment(),
            "QONVERGE_NAMESPACE": NAMESPACE,
            "QONVERGE_POD_NAME": f"operator-{self._starts}",
            "QONVERGE_HEALTH_LISTEN": f"127.0.0.1:{health}",
            "QONVERGE_REPORT_LISTEN": f"127.0.0.1:{free_port()}",
            "QONVERGE_RESULT_LISTEN": f"127.0.0.1:{free_port()}",
            **settings,
        }
        log = (self.folder / f"operator-{self._starts}.log").open("wb")
        command = [sys.executable, "-m", "qonverge.controller"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def stop_operator(self, number: int = signal.SIGTERM) -> None:
        if self.operator is not None:
            self.operator.send_signal(number)
            self.operator.wait(120)
            self.operator = None

    def readiness(self, health: int | None = None) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{health or self.health}/readyz", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def ready(self) -> None:
        eventually(lambda: self.readiness()[0] == 200, "readiness of the operator")

    def serve(
        self, backend: str, pod: str = "pod-0", *flags: str, behind: Callable[[int], int] = lambda port: port
    ) -> None:
        """Do what a kubelet does for a pod of the backend's Deployment: start its server, report it ready.

        ``behind`` returns the port at which others reach the server, for its own.
        """
        name = f"{backend}-qb"
        deployment = eventually(lambda: self.get("deployment", name), f"the Deployment {name}")
        self.apply(standin.replica_set(deployment, f"{name}-{pod}"))
        self.start_pod(deployment, f"{name}-{pod}", pod, *flags, behind=behind)
        self.deployment_status(name, replicas=1, updatedReplicas=1, readyReplicas=1)

    def start_pod(
        self,
        deployment: dict[str, Any],
        replica_set: str,
        pod: str,
        *flags: str,
        behind: Callable[[int], int] = lambda port: port,
    ) -> None:
        """Make a pod of a Deployment's ReplicaSet, start its server and report it ready."""
        port = free_port()
        # The API server adds uids.
        self.apply(standin.pod(deployment, self.get("replicaset", replica_set), pod, behind(port)))
        uid = self.get("pod", pod)["metadata"]["uid"]
        given = standin.environment(deployment, uid, lambda secret: self.get("secret", secret))
        self._commands[pod] = (port, {**os.environ, **given, "QONVERGE_LISTEN": f"127.0.0.1:{port}"}, flags)
        self.start_server(pod)
        self.set_ready(pod, True)

    def port(self, pod: str) -> int:
        """Return where a pod serves."""
        return self._commands[pod][0]

    def start_server(self, pod: str) -> None:
        """Start the process of a pod, at the address that the pod has."""
        port, environment, flags = self._commands[pod]
        with (self.folder / f"{pod}.log").open("ab") as log:
            command = [sys.executable, "-m", "qonverge.backend", *flags]
            self.pods[pod] = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        eventually(lambda: _answers(port), f"readiness of {pod}")

    def url(self, pod: str) -> str:
        """Return where a pod's server listens."""
        return f"http://127.0.0.1:{self._commands[pod][0]}"

    def set_ready(self, pod: str, ready: bool) -> None:
        status = {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                }
            ],
        }
        self.patch("pod", pod, {"status": status}, "status")

    def deployment_status(self, name: str, **fields: Any) -> None:
        """Do what the controller manager does: say how far the Deployment is with its present specification."""
        generation = self.get("deployment", name)["metadata"]["generation"]
        self.patch("deployment", name, {"status": {"observedGeneration": generation, **fields}}, "status")

    def kill_pod(self, pod: str) -> None:
        process = self.pods.pop(pod)
        process.kill()
        process.wait()
        self.api.delete("pod", pod, "default")

    def end_pod(self, pod: str) -> threading.Thread:
        """Delete a pod and do what its kubelet does: its server ends by itself, and the returned thread after it."""
        self.api.delete("pod", pod, "default", at_once=False)
        process = self.pods.pop(pod)

        def end() -> None:
            process.terminate()
            process.wait()
            self.api.delete("pod", pod, "default")

        ending = threading.Thread(target=end, name=f"end {pod}")
        ending.start()
        return ending

    def clear(self) -> None:
        """Delete what tests and the operator made."""
        for kind in _MADE:
            self.api.delete_all(kind, "default")
        self.api.delete_all("lease", "kube-system", LABEL)

    def close(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop_operator()
        for process in self.pods.values():
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def running_plane(
    folder: Path, *controllers: str, audit_policy: Mapping[str, Any] | None = None
) -> Iterator[ControlPlane]:
    """Run an API server with the CRDs and the operator's namespace until the end of the block.

    Of kube-controller-manager those controllers run that are named, looking each second where they look now and then.
    ``audit_policy`` says what the audit log has; without it there is none.
    """
    flags = (f"--controllers={','.join(controllers)}", "--horizontal-pod-autoscaler-sync-period=1s")
    started = ControlPlane(folder, controllers=bool(controllers), controller_flags=flags, audit_policy=audit_policy)
    with started as plane:
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", f"--timeout={LIMIT:g}s")
        plane.kubectl("create", "namespace", NAMESPACE)
        # A controller that does not run here makes it in a cluster.
        plane.kubectl("create", "serviceaccount", "default")
        yield plane


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with the CRDs and the operator's namespace."""
    require("integration")
    with running_plane(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture
def lab(plane: ControlPlane, tmp_path: Path) -> Iterator[Lab]:
    """A lab without objects, operator or pods."""
    lab = Lab(plane, tmp_path)
    try:
        yield lab
    finally:
        lab.close()
        lab.clear()


@pytest.fixture
def size() -> dict[str, Any]:
    """What is given of the backend of ``served``; a module may have another."""
    return {}


@pytest.fixture
def served(lab: Lab, size: dict[str, Any]) -> Lab:
    """A lab with a running operator and one serving backend, aer."""
    lab.apply(backend("aer", **size))
    lab.start_operator()
    lab.ready()
    lab.serve("aer")
    eventually(lambda: lab.get("qb", "aer")["status"].get("capabilities"), "what aer can do")
    return lab


HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
BELL = HEADER + "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"


def layered(qubits: int, layers: int) -> str:
    """Return a circuit that takes a time that doubles with each qubit."""
    layer = "".join(f"rx(0.3) q[{n}]; cx q[{n}], q[{(n + 1) % qubits}];" for n in range(qubits))
    return HEADER + f"qubit[{qubits}] q; bit[{qubits}] c; {layer * layers} c = measure q;"


SLOW = layered(24, 40)
SOME_SECONDS = layered(23, 12)


def _sized(concurrency: int, memory: str) -> dict[str, Any]:
    return {"capacity": {"concurrency": concurrency}, "template": {"resources": {"limits": {"memory": memory}}}}


TWO_WORKERS = _sized(2, "2Gi")
"""What a backend needs for two workers and a spare one; each costs a second of CPU to start."""


def backend(name: str, **spec: Any) -> dict[str, Any]:
    """Return a QuantumBackend with one worker."""
    base = {"simulator": {}, **_sized(1, "1000Mi")}
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "QuantumBackend",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {**base, **spec},
    }


def job(name: str, text: str = BELL, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "qonverge.io/v1alpha1",
        "kind": "HybridJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"program": {"circuit": {"openqasm": text}}, "shots": 1024, **spec},
    }
