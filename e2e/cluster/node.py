"""The node: containerd, kubelet, kube-proxy, and the cluster's DNS on it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from e2e.cluster import dns, node_files
from e2e.cluster.build import Programs
from e2e.cluster.errors import ClusterError, CommandFailed
from e2e.cluster.images import Images
from e2e.cluster.plan import NodePlan, Plan
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
    """Starts a node's programs."""

    def __init__(
        self,
        plan: Plan,
        node: NodePlan,
        programs: Programs,
        images: Images,
        supervisor: Supervisor,
        *,
        inside: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        taint: tuple[str, str] | None = None,
    ) -> None:
        """Start them with the words ``inside`` in front; the node has the labels and the taint, key and value."""
        self._plan = plan
        self._node = node
        self._inside = inside
        self._labels = labels or {}
        self._taint = taint
        # Node 1's have no prefix, since there was no other once.
        self._prefix = "" if node == plan.node else f"{node.name}-"
        self._programs = programs
        self._images = images
        self._supervisor = supervisor

    def start(self, pause: str) -> None:
        """Start what does not run, and return when the node is ready; ``pause`` is the image of sandboxes."""
        self.start_containerd(pause)
        import_images(self._node, self._images, [pause])
        self._start_proxy()
        self._start_kubelet()

    def start_dns(self, coredns: str) -> None:
        """Start the cluster's DNS on this node, and return when it is ready."""
        import_images(self._node, self._images, [coredns])
        self._start_dns(coredns)

    def forget_containers(self, pause: str) -> None:
        """Remove the containers that the databases name, of another node: before the kubelet's part of containerd runs,
        which would end what they run.
        """
        self.start_containerd(pause, serves_kubelet=False)
        if containers := containerd_client(self._node, "containers", "list", "--quiet").split():
            containerd_client(self._node, "containers", "delete", *containers)

    def start_containerd(self, pause: str, *, serves_kubelet: bool = True) -> None:
        """Start containerd, with the part that the kubelet calls or without."""
        node = self._node
        plugins, runc = cni_plugins(), shutil.which("runc")
        if plugins is None or runc is None:
            raise ClusterError("runc or the CNI plugins were removed while the cluster was being started")
        home = node.home / "containerd"
        cni = node.home / "cni"
        for folder in (home, cni):
            folder.mkdir(exist_ok=True)
        _write(cni / "10-qonverge.conflist", node_files.network(self._plan, node))
        configuration = home / "config.toml"
        _write(
            configuration,
            node_files.containerd(
                node, pause_image=pause, runc=runc, cni_plugins=plugins, serves_kubelet=serves_kubelet
            ),
        )
        self._start("containerd", ["containerd", "--config", configuration], configuration)
        self._supervisor.wait_until(f"{self._prefix}containerd", self._containerd_answers, _READY_SECONDS)

    def _containerd_answers(self) -> bool:
        try:
            containerd_client(self._node, "version")
        except CommandFailed:
            return False
        return True

    def _start_kubelet(self) -> None:
        plan, node = self._plan, self._node
        configuration = node.home / "kubelet.yaml"
        _write(configuration, node_files.kubelet(plan, node, self._taint))
        (node.home / "resolv.conf").touch()
        command: list[str | Path] = [
            self._programs["kubelet"],
            f"--config={configuration}",
            f"--kubeconfig={plan.layout.kubeconfig(node.kubelet_client)}",
            f"--root-dir={node.home / 'kubelet'}",
            f"--cert-dir={node.home / 'pki'}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            f"--node-labels={','.join(f'{label}={value}' for label, value in self._labels.items())}",
        ]
        self._start("kubelet", command, configuration)
        self._supervisor.wait_until(f"{self._prefix}kubelet", self._node_ready, _READY_SECONDS)

    def _node_ready(self) -> bool:
        # What the API server says of the node may be what a former kubelet wrote.
        health = f"http://{self._node.address}:{self._plan.ports['kubelet_health']}/healthz"
        try:
            with urlopen(health, timeout=2):
                node = json.loads(self._kubectl("get", "node", self._node.name, "--output=json"))
        except (OSError, CommandFailed):
            return False
        conditions = {condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])}
        return conditions.get("Ready") == "True"

    def _start_proxy(self) -> None:
        configuration = self._node.home / "kube-proxy.yaml"
        _write(configuration, node_files.kube_proxy(self._plan, self._node))
        command: list[str | Path] = [self._programs["kube-proxy"], f"--config={configuration}"]
        self._start("kube-proxy", command, configuration)

    def _start(self, name: str, command: list[str | Path], configuration: Path) -> None:
        self._supervisor.start(f"{self._prefix}{name}", [*self._inside, *command], configuration)

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


def import_images(node: NodePlan, images: Images, names: Iterable[str]) -> None:
    """Give the node those images that it does not have whole; layers that it has are not copied again."""
    present = containerd_client(node, "images", "check", "--quiet").split()
    missing = [name for name in names if name not in present]
    if not missing:
        return
    layers = containerd_client(node, "content", "list", "--quiet").split()
    command = _containerd_client(node, "images", "import", "-")
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        assert process.stdin is not None
        with process, contextlib.suppress(BrokenPipeError), process.stdin:
            images.send(missing, frozenset(layers), process.stdin)
        if process.returncode:
            output.seek(0)
            raise CommandFailed(command, process.returncode, output.read().decode(errors="replace"))


def containerd_client(node: NodePlan, *arguments: str) -> str:
    """Run containerd's own client and return what it prints."""
    return execute(_containerd_client(node, *arguments))


def _containerd_client(node: NodePlan, *arguments: str) -> list[str]:
    return ["ctr", "--address", str(node.containerd_socket), "--namespace", _KUBERNETES_NAMESPACE, *arguments]
