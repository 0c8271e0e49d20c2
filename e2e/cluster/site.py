"""A site: one node with networks and mounts of its own, behind a link whose conditions can be changed."""

from __future__ import annotations

import contextlib
import shutil
import sys
from datetime import UTC, datetime

from e2e.cluster import link
from e2e.cluster.build import Programs
from e2e.cluster.cgroups import CgroupTree
from e2e.cluster.credentials import write_kubelet
from e2e.cluster.errors import ClusterError, CommandFailed
from e2e.cluster.image_copy import copy_images
from e2e.cluster.images import REGISTRY, Images
from e2e.cluster.link import Conditions
from e2e.cluster.node import Node, containerd_client, import_images
from e2e.cluster.plan import Plan
from e2e.cluster.processes import execute
from e2e.cluster.supervisor import Supervisor

TAINT = "qonverge.io/site"
"""Taint of the nodes, with the site's name: only pods that tolerate it come there."""
_LABELS = {
    "edge": {"qonverge.io/tier": "Edge", "qonverge.io/site": "edge", "topology.kubernetes.io/region": "home"},
    "cloud": {"qonverge.io/tier": "Cloud", "qonverge.io/site": "cloud", "topology.kubernetes.io/region": "abroad"},
}
_READY_SECONDS = 20


class Site:
    """One of the sites of a cluster, whether it is there or not.

    Its link's process makes the namespaces and is the first of its processes; without it nothing there has a network,
    so a site without it is ended whole before it is begun again.
    """

    def __init__(
        self, plan: Plan, name: str, programs: Programs, images: Images, tree: CgroupTree, supervisor: Supervisor
    ) -> None:
        self._plan = plan
        self._node = plan.site(name)
        self._programs = programs
        self._images = images
        self._tree = tree
        self._supervisor = supervisor

    def add(self, pause: str) -> None:
        """Start what does not run, and return when the node is ready and has the images that node 1 has."""
        plan, node, program = self._plan, self._node, f"{self._node.name}-link"
        # One whose start was broken off may have no network, or name another node's containers.
        new = not (self._supervisor.alive(program) and (node.home / "kubelet.yaml").exists())
        if new:
            self.remove()
            self._begin(program)
        process = f"/proc/{self._supervisor.pid(program)}/ns"
        started = Node(
            plan,
            node,
            self._programs,
            self._images,
            self._supervisor,
            inside=["nsenter", f"--net={process}/net", f"--mount={process}/mnt", "--"],
            labels=_LABELS[node.name],
            taint=(TAINT, node.name),
        )
        if new:
            started.forget_containers(pause)
        started.start(pause)
        present = containerd_client(plan.node, "images", "check", "--quiet").split()
        import_images(node, self._images, [name for name in present if name.startswith(f"{REGISTRY}/")])

    def _begin(self, program: str) -> None:
        """Make its folder and its link."""
        plan, node, containerd = self._plan, self._node, self._supervisor.pid("containerd")
        if containerd is None:
            raise ClusterError("the cluster's own node does not run: start it with `up`")
        node.home.mkdir(parents=True)
        if not plan.layout.kubeconfig(node.kubelet_client).exists():
            write_kubelet(plan.layout, node, datetime.now(UTC))
        copy_images(plan.node, containerd, node)
        Conditions().write(node.home)
        self._tree.create()
        ends = ["--device", plan.link_device(node.name), "--host", plan.node_address]
        ends += ["--site", node.address, "--pods", node.pod_network]
        self._supervisor.start(program, [sys.executable, link.__file__, str(node.home), *ends])
        self._supervisor.wait_until(program, self._carries, _READY_SECONDS)

    def remove(self) -> None:
        """End it, with the pods on it, and forget its node."""
        if not self._node.home.exists():
            return
        for name in ("kubelet", "kube-proxy"):
            self._supervisor.stop(f"{self._node.name}-{name}", grace=0)
        self._tree.remove()
        for what in (f"node/{self._node.name}", f"pods --field-selector=spec.nodeName={self._node.name} -A"):
            with contextlib.suppress(CommandFailed):
                self._kubectl("delete", *what.split(), "--ignore-not-found", "--grace-period=0", "--force")
        shutil.rmtree(self._node.home)

    def _carries(self) -> bool:
        ready, pid = link.ready_file(self._node.home), self._supervisor.pid(f"{self._node.name}-link")
        return ready.exists() and ready.read_text() == str(pid)

    def _kubectl(self, *arguments: str) -> str:
        return execute([self._programs["kubectl"], f"--kubeconfig={self._plan.kubeconfig}", *arguments])
