"""An S3-compatible server as a pod of a test's namespace, and the chart's store in a bucket of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from e2e.cluster import release
from e2e.workspace import ROOT, Workspace

_NAME, _PORT, _BUCKET = "object-store", 7070, "output"
_KEYS = {"accessKeyId": "E2ENOTAREALKEY000002", "secretAccessKey": "e2e-not-a-real-secret"}


@contextmanager
def stored(workspace: Workspace) -> Iterator[None]:
    """Give the installation a store for the jobs of a workspace, until the end."""
    workspace.apply(*_server(workspace.cluster.object_store()))
    workspace.wait("--for=condition=Available", f"deployment/{_NAME}")
    cluster, chart = workspace.cluster, str(ROOT / release.CHART)
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": _NAME}, "stringData": _KEYS}
    cluster.apply(secret, namespace=cluster.namespace)
    store = {
        "name": _NAME,
        "s3": {"bucket": _BUCKET, "endpoint": f"http://{_NAME}.{workspace.namespace}.svc:{_PORT}"},
        "secret": _NAME,
        "namespaces": [workspace.namespace],
    }

    def give(*stores: dict[str, Any]) -> None:
        output = {"stores": stores, "defaultStore": _NAME if stores else ""}
        values = f"--set-json=output={json.dumps(output)}"
        cluster.helm("upgrade", release.RELEASE, chart, "--reuse-values", values, "--wait")

    try:
        give(store)
        yield
    finally:
        # Deletes what they keep first: without the store that would be tried again and again.
        workspace.kubectl("delete", "hybridjobs", "--all")
        give()
        cluster.kubectl("delete", f"--namespace={cluster.namespace}", "secret", _NAME)


def _server(image: str) -> list[dict[str, Any]]:
    labels, metadata = {"app": _NAME}, {"name": _NAME}
    environment = {"ROOT_ACCESS_KEY": _KEYS["accessKeyId"], "ROOT_SECRET_KEY": _KEYS["secretAccessKey"]}
    container = {
        "name": _NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--port", f":{_PORT}", "posix", "/data"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
        # Its folders are its buckets; locks are beside them.
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "bucket", "mountPath": f"/data/{_BUCKET}"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": name, "emptyDir": {}} for name in ("data", "bucket")],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    ports = [{"port": _PORT}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
    ]
