"""Writes the certificates, keys and kubeconfig files of a control plane to its directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import yaml

from e2e.cluster.certificates import Authority, KeyPair, kubeconfig, new_key, private_pem, public_pem
from e2e.cluster.commands import FRONT_PROXY, Layout
from e2e.cluster.plan import NodePlan

#: Kubeconfig name, common name and organizations of those who call the API server.
_CLIENTS = (
    ("admin", "admin", ("system:masters",)),
    ("controller-manager", "system:kube-controller-manager", ()),
    ("scheduler", "system:kube-scheduler", ()),
)


def write_control_plane(layout: Layout, now: datetime) -> None:
    """Write all that the control plane needs. What a former call wrote is kept: keys outlive a restart."""
    if layout.kubeconfig("admin").exists():
        return
    for folder in ("pki", "logs", "etcd"):
        # etcd insists on a data directory that is its owner's alone.
        (layout.directory / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = Authority.create("qonverge test cluster", now)
    _write(layout, "ca", KeyPair(authority.certificate, authority.key))
    hosts = [
        "localhost",
        *("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
        "127.0.0.1",
        str(ip_network(layout.service_network)[1]),
    ]
    if layout.address not in hosts:
        hosts.append(layout.address)
    _write(layout, "apiserver", authority.issue("kube-apiserver", now, hosts=hosts))
    to_kubelet = authority.issue("kube-apiserver-kubelet-client", now, organizations=("system:masters",))
    _write(layout, "apiserver-kubelet", to_kubelet)
    _write(layout, "front-proxy", authority.issue(FRONT_PROXY, now))
    signing = new_key()
    _private(layout.key("service-accounts"), private_pem(signing))
    (layout.directory / "pki" / "service-accounts.pub").write_bytes(public_pem(signing))
    # The admin's comes last: it tells a later call that everything is there.
    for name, common_name, organizations in reversed(_CLIENTS):
        write_client(layout, name, common_name, now, organizations)


def write_client(layout: Layout, name: str, common_name: str, now: datetime, organizations: Sequence[str] = ()) -> Path:
    """Write the kubeconfig ``name`` of the user ``common_name`` in the groups ``organizations``; return its path."""
    client = _authority(layout).issue(common_name, now, organizations=organizations)
    path = layout.kubeconfig(name)
    content = kubeconfig(layout.url, layout.authority.read_bytes(), client)
    _private(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path


def write_server(layout: Layout, name: str, common_name: str, now: datetime, hosts: Sequence[str]) -> None:
    """Write certificate and key of a server."""
    _write(layout, name, _authority(layout).issue(common_name, now, hosts=hosts))


def write_kubelet(layout: Layout, node: NodePlan, now: datetime) -> None:
    """Write what a node's kubelet serves with, and then what it calls the API server with."""
    write_server(layout, node.kubelet_server, node.name, now, [node.name, node.address])
    write_client(layout, node.kubelet_client, f"system:node:{node.name}", now, ["system:nodes"])


def _authority(layout: Layout) -> Authority:
    return Authority(layout.authority.read_bytes(), layout.key("ca").read_bytes())


def _write(layout: Layout, name: str, pair: KeyPair) -> None:
    layout.certificate(name).write_bytes(pair.certificate)
    _private(layout.key(name), pair.key)


def _private(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(content)
    temporary.rename(path)
