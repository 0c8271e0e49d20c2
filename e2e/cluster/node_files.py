"""Configuration files of a node's programs. Pure: a plan in, text out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.plan import NodePlan, Plan

#: Namespace of the operator; the audit log has every write of its service accounts.
RELEASE_NAMESPACE = "qonverge-system"


def audit_policy() -> dict[str, Any]:
    """Return the policy of the audit log: Qonverge's own objects, and whatever the operator writes."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "Metadata", "resources": [{"group": "qonverge.io"}]},
            {
                "level": "Metadata",
                "userGroups": [f"system:serviceaccounts:{RELEASE_NAMESPACE}"],
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            },
            {"level": "None"},
        ],
    }


def containerd(node: NodePlan, *, pause_image: str, runc: str, cni_plugins: Path, serves_kubelet: bool = True) -> str:
    """Return containerd's configuration (TOML), with everything it keeps below the node's folder."""
    home = node.home / "containerd"
    snapshotters = ("aufs", "btrfs", "devmapper", "zfs")
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in snapshotters] + ["io.containerd.internal.v1.tracing"]
    if not serves_kubelet:
        disabled.append("io.containerd.grpc.v1.cri")
    cri = '"io.containerd.grpc.v1.cri"'
    # JSON strings and lists are TOML too.
    return f"""version = 2
root = {_text(home / "root")}
state = {_text(home / "state")}
disabled_plugins = {json.dumps(disabled)}
[grpc]
address = {_text(node.containerd_socket)}
[plugins."io.containerd.internal.v1.opt"]
path = {_text(home / "opt")}
[plugins.{cri}]
sandbox_image = {_text(pause_image)}
# Without CAP_SYS_RESOURCE no process can be protected better than its parent, and none starts that tries.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
[plugins.{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins.{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.{cri}.containerd.runtimes.runc.options]
BinaryName = {_text(runc)}
Root = {_text(home / "runc")}
SystemdCgroup = false
[plugins.{cri}.cni]
bin_dir = {_text(cni_plugins)}
conf_dir = {_text(node.home / "cni")}
max_conf_num = 1
"""


def network(plan: Plan, node: NodePlan) -> str:
    """Return the CNI configuration: a routed link for each pod.

    Every packet passes the host's tables, those between pods too, so a Service's address works from every pod without
    the kernel's bridge filters. Masquerading is the cluster's own table: the plugins' would be iptables rules that
    nobody removes after a crash.
    """
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pod_network}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(node.home / "cni-addresses"),
    }
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": addresses}]
    return json.dumps({"cniVersion": "0.4.0", "name": plan.name, "plugins": plugins}, indent=2)


def kubelet(plan: Plan, node: NodePlan, taint: tuple[str, str] | None = None) -> str:
    """Return the kubelet's configuration (YAML); only pods that tolerate ``taint``, key and value, come to its node."""
    layout = plan.layout
    configuration: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "port": plan.kubelet_port,
        "healthzBindAddress": node.address,
        "healthzPort": plan.ports["kubelet_health"],
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.certificate(node.kubelet_server)),
        "tlsPrivateKeyFile": str(layout.key(node.kubelet_server)),
        "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [plan.dns_address],
        "resolvConf": str(node.home / "resolv.conf"),
        "podLogsDir": str(node.home / "pods"),
        "volumePluginDir": str(node.home / "volume-plugins"),
        "makeIPTablesUtilChains": False,
        "maxPods": 240,
        # The machine's disk is not the cluster's: nobody pulls again the images that the kubelet would delete.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "oomScoreAdj": 0,
        "serializeImagePulls": False,
    }
    if taint is not None:
        configuration["registerWithTaints"] = [{"key": taint[0], "value": taint[1], "effect": "NoSchedule"}]
    return yaml.safe_dump(configuration, sort_keys=False)


def kube_proxy(plan: Plan, node: NodePlan) -> str:
    """Return kube-proxy's configuration (YAML)."""
    configuration: Mapping[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(plan.layout.kubeconfig("proxy"))},
        "clusterCIDR": plan.pod_network,
        "hostnameOverride": node.name,
        "healthzBindAddress": f"127.0.0.1:{plan.ports['proxy_health']}",
        "metricsBindAddress": f"127.0.0.1:{plan.ports['proxy_metrics']}",
        # The kernel's limits on connections are the machine's affair.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "nftables": {"minSyncPeriod": "100ms"},
        "oomScoreAdj": 0,
    }
    return yaml.safe_dump(dict(configuration), sort_keys=False)


def _text(value: str | Path) -> str:
    return json.dumps(str(value))
