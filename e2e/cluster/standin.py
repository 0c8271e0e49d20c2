"""What a controller manager and a kubelet do for a pod of a Deployment, where neither runs. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from e2e.cluster.errors import ClusterError


def owner(kind: str, name: str, uid: str) -> dict[str, Any]:
    """Return an owner's reference as controllers write it."""
    return {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}


def replica_set(deployment: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a ReplicaSet of a Deployment."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": spec["template"]["metadata"]["labels"],
            "ownerReferences": [owner("Deployment", metadata["name"], metadata["uid"])],
        },
        "spec": {"replicas": 1, "selector": spec["selector"], "template": spec["template"]},
    }


def pod(deployment: Mapping[str, Any], owned_by: Mapping[str, Any], name: str, port: int) -> dict[str, Any]:
    """Return a pod of a Deployment's ReplicaSet that serves at another port, without what needs a kubelet."""
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    own = {**container, "ports": [{"name": container["ports"][0]["name"], "containerPort": port}], "volumeMounts": []}
    del own["livenessProbe"]
    metadata = owned_by["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner("ReplicaSet", metadata["name"], metadata["uid"])],
        },
        "spec": {"containers": [own], "nodeName": "nowhere"},
    }


def environment(
    deployment: Mapping[str, Any], pod_uid: str, secret: Callable[[str], Mapping[str, Any]]
) -> dict[str, str]:
    """Return the variables of a pod's container as a kubelet resolves them; ``secret`` returns a Secret by name.

    Raises:
        ClusterError: a variable comes from where nothing here looks.
    """
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {})
        if not source:
            value = variable["value"]
        elif source.get("fieldRef", {}).get("fieldPath") == "metadata.uid":
            value = pod_uid
        elif reference := source.get("secretKeyRef"):
            value = base64.b64decode(secret(reference["name"])["data"][reference["key"]]).decode()
        else:
            raise ClusterError(f"the variable {variable['name']} comes from {source}")
        found[variable["name"]] = str(value)
    return found
