"""The cluster's DNS: CoreDNS in a pod. Pure: objects to apply."""

from __future__ import annotations

from typing import Any

NAMESPACE = "kube-system"
NAME = "coredns"
_PORT = 8053
_HEALTH, _READY = 8080, 8181
#: Names of the cluster, and none outside it: a test that depends on the network must say so.
COREFILE = f"""
.:{_PORT} {{
    errors
    health :{_HEALTH}
    ready :{_READY}
    cache 5
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        ttl 5
    }}
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""


def objects(image: str, address: str) -> list[dict[str, Any]]:
    """Return what makes ``image`` the cluster's DNS at ``address``."""
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": {"k8s-app": "kube-dns"}}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    read = ["get", "list", "watch"]
    ports = [{"name": f"dns-{name}", "protocol": name.upper(), "containerPort": _PORT} for name in ("udp", "tcp")]
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
    ]
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": ports,
        "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}, "limits": {"memory": "170Mi"}},
        "livenessProbe": {"httpGet": {"path": "/health", "port": _HEALTH}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": _READY}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": NAME}}],
    }
    labels = {"matchLabels": {"k8s-app": "kube-dns"}}
    template = {"metadata": {"labels": labels["matchLabels"]}, "spec": pod}
    service_ports = [
        {"name": name, "protocol": name.upper(), "port": 53, "targetPort": _PORT} for name in ("udp", "tcp")
    ]
    role = f"system:{NAME}"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": COREFILE}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 1, "selector": labels, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata | {"name": "kube-dns"},
            "spec": {"clusterIP": address, "selector": labels["matchLabels"], "ports": service_ports},
        },
    ]
