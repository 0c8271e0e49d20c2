"""What a cluster on this machine is made of. Pure: names, addresses and ports, fixed when it is first started."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Self

from e2e.cluster.commands import Layout
from e2e.cluster.errors import ClusterError

NODE = "node-1"
#: Sites that a cluster can have beside its own, each with one node of the same name.
SITES = ("edge", "cloud")
#: Ports of loopback that a cluster uses, in the order in which free ones are given.
_PORTS = (
    "etcd",
    "etcd_peer",
    "controller_manager",
    "scheduler",
    "kubelet_health",
    "proxy_health",
    "proxy_metrics",
)
PORT_COUNT = len(_PORTS)
_API_PORT = 6443
_KUBELET_PORT = 10250
_SOCKET_LIMIT = 107


@dataclass(frozen=True)
class NodePlan:
    """One node."""

    name: str
    #: Where it keeps its files.
    home: Path
    address: str
    #: Addresses of its pods.
    pod_network: str
    cgroup: str

    @property
    def containerd_socket(self) -> Path:
        """Where its containerd listens."""
        return self.home / "containerd" / "containerd.sock"

    @property
    def kubelet_client(self) -> str:
        """Name of the kubeconfig with which its kubelet calls the API server."""
        return f"kubelet-{self.name}"

    @property
    def kubelet_server(self) -> str:
        """Name of the certificate with which its kubelet serves."""
        return f"kubelet-{self.name}-server"


@dataclass(frozen=True)
class Plan:
    """One cluster. Everything it leaves on the machine has ``name`` in it or lies in ``directory``."""

    directory: Path
    #: The /16 that pods, services and the node take their addresses from.
    network: IPv4Network
    ports: Mapping[str, int]
    #: Kernel settings as they were, to be put back.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Files and folders outside ``directory`` that were not there before and that Kubernetes makes on its own.
    outside: tuple[str, ...] = ()

    @classmethod
    def create(
        cls,
        directory: Path,
        network: IPv4Network,
        ports: Iterable[int],
        settings: Mapping[str, str],
        outside: Iterable[str],
    ) -> Self:
        """Return the plan of a new cluster.

        Raises:
            ClusterError: the directory's path is too long for the sockets in it.
        """
        plan = cls(directory, network, dict(zip(_PORTS, ports, strict=True)), settings, tuple(outside))
        longest = max(len(str(node.containerd_socket)) for node in (plan.node, *map(plan.site, SITES)))
        if longest + len(".ttrpc") > _SOCKET_LIMIT:
            raise ClusterError(f"{directory} is too long for the sockets in it: choose a shorter directory")
        return plan

    @classmethod
    def from_json(cls, text: str, directory: Path) -> Self:
        """Return the plan that ``to_json`` gave."""
        data = json.loads(text)
        network = IPv4Network(data["network"])
        return cls(directory, network, data["ports"], data["settings"], tuple(data["outside"]))

    def to_json(self) -> str:
        """Return the plan as text, without its directory."""
        data: dict[str, Any] = asdict(self) | {"network": str(self.network)}
        del data["directory"]
        return json.dumps(data, indent=2)

    @property
    def name(self) -> str:
        """Name of the cluster's interface, cgroup and network; 13 characters, as an interface's may have 15."""
        return cluster_name(self.directory)

    @property
    def pod_network(self) -> str:
        """Addresses of pods, on all nodes."""
        return f"{self.network[0]}/18"

    @property
    def service_network(self) -> str:
        """Addresses of Services."""
        return f"{self.network[128 * 256]}/20"

    @property
    def dns_address(self) -> str:
        """Address of the cluster's DNS Service."""
        return str(self.network[128 * 256 + 10])

    @property
    def node_address(self) -> str:
        """Address of the node: of an interface of the cluster's own, so that nothing is served to other machines."""
        return str(self.network[64 * 256 + 1])

    @property
    def kubelet_port(self) -> int:
        """Port of the kubelet, on the node's address."""
        return _KUBELET_PORT

    @property
    def layout(self) -> Layout:
        """The control plane's part."""
        return Layout(
            directory=self.directory,
            address=self.node_address,
            api_port=_API_PORT,
            etcd_port=self.ports["etcd"],
            etcd_peer_port=self.ports["etcd_peer"],
            service_network=self.service_network,
        )

    @property
    def node(self) -> NodePlan:
        """The node that every cluster has."""
        return NodePlan(NODE, self.directory, self.node_address, f"{self.network[0]}/24", self.name)

    def site(self, name: str) -> NodePlan:
        """Return the node of one of ``SITES``."""
        number = SITES.index(name) + 1
        address, pods = str(self.network[64 * 256 + 1 + number]), f"{self.network[number * 256]}/24"
        return NodePlan(name, self.directory / "sites" / name, address, pods, f"{self.name}/{name}")

    def link_device(self, site: str) -> str:
        """Return the name of the interface by which the host reaches a site."""
        return f"{self.name}-{SITES.index(site) + 1}"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster administrator."""
        return self.layout.kubeconfig("admin")


def cluster_name(directory: Path) -> str:
    """Return the name of the cluster that lives in ``directory``."""
    return "qnvg-" + hashlib.sha256(str(directory).encode()).hexdigest()[:8]


def choose_network(routes: Iterable[str]) -> IPv4Network:
    """Return a private /16 that none of the machine's routes (``10.0.0.0/8``, ``default``, ...) overlaps.

    Raises:
        ClusterError: there is none.
    """
    taken = [IPv4Network(route) for route in routes if route != "default"]
    for number in range(250, 200, -1):
        network = IPv4Network(f"10.{number}.0.0/16")
        if not any(network.overlaps(other) for other in taken):
            return network
    raise ClusterError("no free network between 10.201.0.0/16 and 10.250.0.0/16 for pods: routes take all of them")
