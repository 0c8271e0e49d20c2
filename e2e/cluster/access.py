"""A cluster with Qonverge on it, as tests use it: this machine's own, or one that a person names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster import release
from e2e.cluster.build import Programs
from e2e.cluster.cluster import Cluster
from e2e.cluster.images import DEV_CLOUD, ImageReference
from e2e.cluster.node_files import RELEASE_NAMESPACE
from e2e.cluster.processes import execute

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ClusterAccess:
    """How to reach a cluster on which the chart is installed."""

    kubeconfig: Path
    images: ImageReference
    #: Every write of the operator and every request for Qonverge's objects, where the cluster is this machine's own.
    audit_log: Path | None = None
    #: Namespace of the release.
    namespace: str = RELEASE_NAMESPACE
    #: The cluster, where it is this machine's own.
    own: Cluster | None = None

    def dev_cloud(self) -> str:
        """Return the name of dev-cloud's image, which pods can have; on others' clusters somebody has pushed it."""
        return self.images.image(DEV_CLOUD) if self.own is None else release.provide_dev_cloud(self.own, ROOT)

    def object_store(self) -> str:
        """Return the name of the S3 server's image, which pods can have; on others' clusters somebody has pushed it."""
        name = release.OBJECT_STORE
        return self.images.image(name) if self.own is None else release.provide_object_store(self.own)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints.

        Raises:
            CommandFailed: its status is not 0; ``output`` has what it said.
        """
        return execute([Programs()["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments], stdin=stdin)

    def helm(self, *arguments: str) -> str:
        """Run Helm in the release's namespace and return what it prints."""
        return release.helm(Programs(), self.kubeconfig, arguments)

    def apply(self, *objects: Mapping[str, Any], namespace: str = "default") -> None:
        """Create or change objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(items))

    def get(self, *words: str, namespace: str = "default") -> dict[str, Any]:
        """Return an object, as in ``get("hybridjob", "bell")``, or a list, as in ``get("pods")``."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, f"--namespace={namespace}", "--output=json"))
        return found

    def audit_events(self) -> list[dict[str, Any]]:
        """Return the events of the audit log so far; the cluster must be this machine's own."""
        assert self.audit_log is not None, "the audit log of a cluster that others run cannot be read"
        # The last line may be half written.
        return [json.loads(line) for line in self.audit_log.read_text().split("\n")[:-1]]
