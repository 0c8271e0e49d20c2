"""The node: containerd, kubelet, kube-proxy, and the cluster's DNS on it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from e2e.cluster import dns, node_files
from e2e.cluster.build import Programs
from e2e.cluster.errors import ClusterError, CommandFailed
from e2e.cluster.images import Images
from e2e.cluster.plan import NODE, Plan
from e2e.cluster.processes import execute
from e2e.cluster.requirements import cni_plugins
from e2e.cluster.supervisor import Supervisor

_READY_SECONDS = 90
_KUBERNETES_NAMESPACE = "k8s.io"


@dataclass(frozen=True)
class SystemImages:
    """Names of the images that Kubernetes itself needs."""

    pause: str
    coredns: str


class Node:
    """Starts the node's programs."""

    def __init__(self, plan: Plan, programs: Programs, images: Images, supervisor: Supervisor) -> None:
        self._plan = plan
        self._programs = programs
        self._images = images
        self._supervisor = supervisor

    def start(self, images: SystemImages) -> None:
        """Start what does not run, and return when the node and the cluster's DNS are ready."""
        self._start_containerd(images.pause)
        import_images(self._plan, self._images, [images.pause, images.coredns])
        self._start_kubelet()
        self._start_proxy()
        self._start_dns(images.coredns)

    def _start_containerd(self, pause: str) -> None:
        plan = self._plan
        plugins, runc = cni_plugins(), shutil.which("runc")
        if plugins is None or runc is None:
            raise ClusterError("runc or the CNI plugins were removed while the cluster was being started")
        home = plan.directory / "containerd"
        cni = plan.directory / "cni"
        for folder in (home, cni):
            folder.mkdir(exist_ok=True)
        _write(cni / "10-qonverge.conflist", node_files.network(plan))
        configuration = home / "config.toml"
        _write(configuration, node_files.containerd(plan, pause_image=pause, runc=runc, cni_plugins=plugins))
        self._supervisor.start("containerd", ["containerd", "--config", configuration], configuration)
        self._supervisor.wait_until("containerd", self._containerd_answers, _READY_SECONDS)

    def _containerd_answers(self) -> bool:
        try:
            containerd_client(self._plan, "version")
        except CommandFailed:
            return False
        return True

    def _start_kubelet(self) -> None:
        plan = self._plan
        configuration = plan.directory / "kubelet.yaml"
        _write(configuration, node_files.kubelet(plan))
        (plan.directory / "resolv.conf").touch()
        command: list[str | Path] = [
            self._programs["kubelet"],
            f"--config={configuration}",
            f"--kubeconfig={plan.layout.kubeconfig('kubelet')}",
            f"--root-dir={plan.directory / 'kubelet'}",
            f"--cert-dir={plan.directory / 'pki'}",
            f"--hostname-override={NODE}",
            f"--node-ip={plan.node_address}",
        ]
        self._supervisor.start("kubelet", command, configuration)
        self._supervisor.wait_until("kubelet", self._node_ready, _READY_SECONDS)

    def _node_ready(self) -> bool:
        # What the API server says of the node may be what a former kubelet wrote.
        health = f"http://127.0.0.1:{self._plan.ports['kubelet_health']}/healthz"
        try:
            with urlopen(health, timeout=2):
                node = json.loads(self._kubectl("get", "node", NODE, "--output=json"))
        except (OSError, CommandFailed):
            return False
        conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])}
        return conditions.get("Ready") == "True"

    def _start_proxy(self) -> None:
        configuration = self._plan.directory / "kube-proxy.yaml"
        _write(configuration, node_files.kube_proxy(self._plan))
        command: list[str | Path] = [self._programs["kube-proxy"], f"--config={configuration}"]
        self._supervisor.start("kube-proxy", command, configuration)

    def _start_dns(self, image: str) -> None:
        objects = {"apiVersion": "v1", "kind": "List", "items": dns.objects(image, self._plan.dns_address)}
        self._kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=json.dumps(objects))
        timeout = f"--timeout={_READY_SECONDS}s"
        self._kubectl("rollout", "status", f"deployment/{dns.NAME}", f"--namespace={dns.NAMESPACE}", timeout)

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return execute([self._programs["kubectl"], f"--kubeconfig={self._plan.kubeconfig}", *arguments], stdin=stdin)


def _write(path: Path, content: str) -> None:
    # containerd and kube-proxy watch their files: kube-proxy ends when its own is touched.
    if not path.exists() or path.read_text() != content:
        path.write_text(content)


def import_images(plan: Plan, images: Images, names: Iterable[str]) -> None:
    """Give the node those images that it does not have whole; layers that it has are not copied again."""
    present = containerd_client(plan, "images", "check", "--quiet").split()
    missing = [name for name in names if name not in present]
    if not missing:
        return
    layers = containerd_client(plan, "content", "list", "--quiet").split()
    command = _containerd_client(plan, "images", "import", "-")
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        assert process.stdin is not None
        with process, contextlib.suppress(BrokenPipeError), process.stdin:
            images.send(missing, frozenset(layers), process.stdin)
        if process.returncode:
            output.seek(0)
            raise CommandFailed(command, process.returncode, output.read().decode(errors="replace"))


def containerd_client(plan: Plan, *arguments: str) -> str:
    """Run containerd's own client and return what it prints."""
    return execute(_containerd_client(plan, *arguments))


def _containerd_client(plan: Plan, *arguments: str) -> list[str]:
    return ["ctr", "--address", str(plan.containerd_socket), "--namespace", _KUBERNETES_NAMESPACE, *arguments]
