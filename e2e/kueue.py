"""Kueue on the cluster, as its own manifests install it, with its webhooks; the program is built here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.access import ClusterAccess
from e2e.cluster.build import Programs
from e2e.cluster.errors import CommandFailed
from e2e.cluster.node import import_images
from e2e.layers import leave_out
from e2e.workspace import LIMIT, eventually

API = "kueue.x-k8s.io/v1beta2"
#: All that a program's pod asks for by default: Kueue admits nothing that asks for what its queue does not cover.
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_NAMESPACE, _DEPLOYMENT = "kueue-system", "kueue-controller-manager"


@contextlib.contextmanager
def running_kueue(cluster: ClusterAccess, folder: Path) -> Iterator[None]:
    """Install Kueue until the end of the block. It must be the only one of the cluster."""
    if cluster.own is None:
        leave_out("Kueue's image is built here, and is given to a cluster of this machine only")
    programs = Programs()
    image = cluster.own.images.program("kueue", programs["kueue"])
    import_images(cluster.own.plan.node, cluster.own.images, [image])
    manifests = _manifests(cluster, folder, programs.data("kueue", "config"), image)
    cluster.kubectl("apply", "--server-side", f"--filename={manifests}")
    try:
        rollout = ("rollout", "status", f"--namespace={_NAMESPACE}", f"deployment/{_DEPLOYMENT}")
        cluster.kubectl(*rollout, f"--timeout={LIMIT}s")
        # Its endpoint is there a moment after its pod is ready, and until then its webhooks refuse all.
        flavor = {"apiVersion": API, "kind": "ResourceFlavor", "metadata": {"name": "probe"}}
        eventually(lambda: _takes(cluster, flavor), "an answer of Kueue's webhooks")
        yield
    finally:
        # While it runs it takes its finalizers off.
        for kind in ("workloads", "localqueues", "clusterqueues", "resourceflavors"):
            cluster.kubectl("delete", f"{kind}.kueue.x-k8s.io", "--all", "--all-namespaces", f"--timeout={LIMIT}s")
        cluster.kubectl("delete", f"--filename={manifests}", "--ignore-not-found", f"--timeout={LIMIT}s")


def _manifests(cluster: ClusterAccess, folder: Path, upstream: Path, image: str) -> Path:
    """Return a file with Kueue's default installation, changed in where its program is and what its pod reserves."""
    name, _, tag = image.rpartition(":")
    container = {
        "name": "manager",
        "command": ["/kueue"],
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "50m"}},
    }
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _DEPLOYMENT, "namespace": _NAMESPACE},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    former = yaml.safe_load((upstream / "components/manager/kustomization.yaml").read_text())["images"][0]["newName"]
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(upstream / "default", folder.resolve())],
        "images": [{"name": former, "newName": name, "newTag": tag}],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    file = folder / "kueue.yaml"
    file.write_text(cluster.kubectl("kustomize", str(folder)))
    return file


def _takes(cluster: ClusterAccess, obj: dict[str, Any]) -> bool:
    with contextlib.suppress(CommandFailed):
        cluster.kubectl("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(obj))
        return True
    return False


def queues(name: str, namespace: str, *, cpu: str, selector: dict[str, str]) -> list[dict[str, Any]]:
    """Return a flavor of nodes, a ClusterQueue with a quota of CPUs and a namespace's LocalQueue, all of one name.

    Who has a higher priority takes the place of others in it.
    """
    quotas = {"cpu": cpu, "memory": "64Gi", "ephemeral-storage": "64Gi"}
    flavors = [{"name": name, "resources": [{"name": each, "nominalQuota": quotas[each]} for each in _RESOURCES]}]
    metadata = {"name": name}
    return [
        {"apiVersion": API, "kind": "ResourceFlavor", "metadata": metadata, "spec": {"nodeLabels": selector}},
        {
            "apiVersion": API,
            "kind": "ClusterQueue",
            "metadata": metadata,
            "spec": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceGroups": [{"coveredResources": list(_RESOURCES), "flavors": flavors}],
                "preemption": {"withinClusterQueue": "LowerPriority"},
            },
        },
        {
            "apiVersion": API,
            "kind": "LocalQueue",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterQueue": name},
        },
    ]
