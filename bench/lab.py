"""What is measured: a real API server, the operator as a process, a backend server where a kubelet would start its pod.

Nothing of it is on a node, so what is measured is Qonverge and the control plane, and no container runtime.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from e2e.cluster import ControlPlane, standin
from e2e.cluster.processes import free_ports
from qonverge.api.backend import OFFERS_LABEL

OPERATED = "operated"
"""The namespace that the operator watches; in others a bare client works undisturbed."""
BACKEND = "aer"
_SYSTEM = "qonverge-system"
_ACCOUNT = "qonverge-operator"
OPERATOR = f"system:serviceaccount:{_SYSTEM}:{_ACCOUNT}"
"""The operator's user name at the API server, which nobody else has."""
_CRDS = Path(__file__).parents[1] / "crds"
_LIMIT_SECONDS = 120.0
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_DAEMONS = {"API server": "kube-apiserver", "etcd": "etcd"}
_NODE_DAEMONS = {"controllers": "kube-controller-manager", "scheduler": "kube-scheduler", "kwok": "kwok"}
# The backend's Deployment is not for them; the last one lets pods onto nodes that are ready.
_CONTROLLERS = "--controllers=job-controller,garbage-collector-controller,node-lifecycle-controller"
_NODES = 4
# What others do is not logged: it would only slow the API server down.
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [OPERATOR], "verbs": list(_WRITES)}, {"level": "None"}],
}


class Lab:
    """A control plane in which one operator serves one backend of one pod."""

    def __init__(self, plane: ControlPlane, folder: Path, watched: Sequence[str], slots: int | None) -> None:
        """Use ``running_lab``."""
        self.plane = plane
        self._slots = slots
        self._folder = folder
        self._health, self._reports, self._results, self._tasks = free_ports(4)
        self._watched = ",".join(watched)
        self._operator_config = _as_service_account(plane, folder)
        self._operator: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def operator(self) -> psutil.Process:
        """The operator's process; its children check programs."""
        assert self._operator is not None, "the operator does not run"
        return psutil.Process(self._operator.pid)

    def start_operator(self) -> float:
        """Start the operator and return the seconds until it was ready.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        environment = {
            **_environment(),
            "KUBECONFIG": str(self._operator_config),
            "QONVERGE_NAMESPACE": _SYSTEM,
            "QONVERGE_POD_NAME": "operator",
            "QONVERGE_WATCH_NAMESPACES": self._watched,
            "QONVERGE_HEALTH_LISTEN": f"127.0.0.1:{self._health}",
            "QONVERGE_REPORT_LISTEN": f"127.0.0.1:{self._reports}",
            "QONVERGE_RESULT_LISTEN": f"127.0.0.1:{self._results}",
        }
        start = time.perf_counter()
        self._operator = self._start("operator", "qonverge.controller", environment)
        self._wait("the operator", self._operator, lambda: _answers(self._health))
        return time.perf_counter() - start

    def stop_operator(self) -> None:
        """Ask the operator to stop, as Kubernetes does, and wait for it."""
        if self._operator is not None:
            _end(self._operator)
            self._operator = None

    def start_backend(self) -> None:
        """Create the QuantumBackend and do what a kubelet does for the pod of its Deployment.

        Raises:
            RuntimeError: the server ended, or was not ready in time.
        """
        resources = {"limits": {"memory": "2Gi"}}
        spec: dict[str, Any] = {
            "simulator": {},
            "access": {"namespaces": {"from": "All"}},
            **({} if self._slots is None else {"capacity": {"programs": self._slots}}),
            "template": {"resources": resources},
        }
        self._apply("qonverge.io/v1alpha1", "QuantumBackend", BACKEND, {"spec": spec})
        name = f"{BACKEND}-qb"
        assert self._operator is not None, "the operator makes the Deployment"
        self._wait("the Deployment", self._operator, lambda: self._get("deployment", name))
        deployment = self._get("deployment", name)
        self._create(standin.replica_set(deployment, name))
        self._create(standin.pod(deployment, self._get("replicaset", name), "pod-0", self._tasks))
        uid = self._get("pod", "pod-0")["metadata"]["uid"]
        given = standin.environment(deployment, uid, lambda secret: self._get("secret", secret))
        listen = {"QONVERGE_LISTEN": f"127.0.0.1:{self._tasks}"}
        self._server = self._start("backend", "qonverge.backend", {**_environment(), **given, **listen})
        self._wait("the backend server", self._server, lambda: _answers(self._tasks))
        ready = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        self._patch_status("pod", "pod-0", ready)
        generation = deployment["metadata"]["generation"]
        rolled_out = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
        self._patch_status("deployment", name, rolled_out)
        self._wait(
            "what the backend can do",
            self._operator,
            lambda: self._get("qb", BACKEND).get("status", {}).get("capabilities"),
        )

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time that each part has used so far; ``driver`` is this process."""
        assert self._server is not None, "the backend server does not run"
        operator, server = self.operator, psutil.Process(self._server.pid)
        parts = {
            "operator": [operator],
            "checker": operator.children(recursive=True),
            "backend server": [server],
            "backend workers": server.children(recursive=True),
            **{name: [psutil.Process(self.plane.daemon(of).pid)] for name, of in _DAEMONS.items()},
            "driver": [psutil.Process()],
        }
        if self._slots is not None:
            parts |= {name: [psutil.Process(self.plane.daemon(of).pid)] for name, of in _NODE_DAEMONS.items()}
        return {name: sum(_cpu(process) for process in processes) for name, processes in parts.items()}

    def close(self) -> None:
        """End both processes."""
        for process in (self._operator, self._server):
            if process is not None:
                _end(process)

    def _start(self, name: str, module: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def _wait(self, what: str, process: subprocess.Popen[bytes], ready: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _LIMIT_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                logs = "\n".join(
                    f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in self._folder.glob("*.log")
                )
                raise RuntimeError(f"{what} is not there after {_LIMIT_SECONDS:g} s, or its process ended\n{logs}")
            time.sleep(0.05)

    def _apply(self, version: str, kind: str, name: str, rest: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": OPERATED, **rest.pop("metadata", {})}
        self._create({"apiVersion": version, "kind": kind, "metadata": metadata, **rest})

    def _create(self, body: dict[str, Any]) -> None:
        self.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def _get(self, kind: str, name: str) -> dict[str, Any]:
        text = self.plane.kubectl("get", kind, name, "-n", OPERATED, "-o", "json", "--ignore-not-found")
        found: dict[str, Any] = json.loads(text) if text.strip() else {}
        return found

    def _patch_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.plane.kubectl("patch", kind, name, "-n", OPERATED, "--subresource=status", "--type=merge", "-p", patch)


@contextlib.contextmanager
def running_lab(
    folder: Path, *namespaces: str, watched: Sequence[str] = (OPERATED,), slots: int | None = None
) -> Iterator[Lab]:
    """Run a lab with further namespaces until the end of the block.

    Args:
        folder: what is there is for the lab.
        namespaces: beside that of the operator's jobs.
        watched: namespaces that the operator watches; all if empty.
        slots: of the backend, for programs, whose pods KWOK plays then on nodes of its own; None: there are no nodes.

    Raises:
        ClusterError: the control plane could not be started.
        RuntimeError: the operator or the backend server could not.
    """
    nodes = slots is not None
    control_plane = ControlPlane(
        folder / "plane",
        controllers=nodes,
        scheduler=nodes,
        kwok=nodes,
        audit_policy=_AUDIT,
        controller_flags=(_CONTROLLERS,),
    )
    with control_plane as plane:
        plane.kubectl("apply", "--server-side", "-f", str(_CRDS))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        if nodes:
            plane.add_fake_nodes(_NODES)
        for namespace in (_SYSTEM, OPERATED, *namespaces):
            plane.kubectl("create", "namespace", namespace)
            # The controller that makes it does not run; pods are refused without.
            plane.kubectl("create", "serviceaccount", "default", "-n", namespace)
        plane.kubectl("label", "namespace", OPERATED, f"{OFFERS_LABEL}=true")
        lab = Lab(plane, folder, watched, slots)
        try:
            lab.start_operator()
            lab.start_backend()
            yield lab
        finally:
            lab.close()


def _as_service_account(plane: ControlPlane, folder: Path) -> Path:
    """Return a kubeconfig of the operator's service account: the API server checks a certificate at every request."""
    account = f"{_SYSTEM}:{_ACCOUNT}"
    plane.kubectl("create", "serviceaccount", _ACCOUNT, "-n", _SYSTEM)
    plane.kubectl(
        "create", "clusterrolebinding", _ACCOUNT, "--clusterrole=cluster-admin", f"--serviceaccount={account}"
    )
    token = plane.kubectl("create", "token", _ACCOUNT, "-n", _SYSTEM, "--duration=24h").strip()
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    made = folder / "operator.kubeconfig"
    made.write_text(yaml.safe_dump(config))
    return made


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("QONVERGE_")}


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
