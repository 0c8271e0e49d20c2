"""What a cluster changes on the machine outside its directory: network, kernel settings, mounts. Each can be undone."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from e2e.cluster.errors import ClusterError, CommandFailed
from e2e.cluster.plan import Plan
from e2e.cluster.processes import execute

#: Kernel settings that pods' networking, the kubelet or kube-proxy change.
_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/vs/conntrack",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
#: Where the kubelet, containerd and the CNI library write, whatever they are told.
_OUTSIDE = (
    "/var/lib/kubelet",
    "/var/lib/kubelet/device-plugins",
    "/var/log/containers",
    "/var/log/pods",
    "/var/lib/cni",
    "/var/lib/cni/results",
    "/run/containerd",
    "/run/containerd/s",
    "/usr/libexec/kubernetes",
    "/etc/cni",
    "/etc/cni/net.d",
)
_PROXY_TABLES = ("ip kube-proxy", "ip6 kube-proxy")


def settings() -> dict[str, str]:
    """Return the kernel settings that a cluster changes, as they are now."""
    found = {}
    for name in _SETTINGS:
        with contextlib.suppress(OSError):
            found[name] = (Path("/proc/sys") / name).read_text().strip()
    return found


def restore_settings(before: Mapping[str, str]) -> None:
    """Put kernel settings back."""
    now = settings()
    for name, value in before.items():
        # Writing ip_forward resets other settings of the network, even where the value is the same.
        if now.get(name) != value:
            (Path("/proc/sys") / name).write_text(value)


def absent_outside() -> list[str]:
    """Return those places that Kubernetes makes outside its directory and that do not exist now."""
    return [path for path in _OUTSIDE if not Path(path).exists()]


def routes() -> list[str]:
    """Return the destinations of the machine's IPv4 routes."""
    return [route["dst"] for route in json.loads(execute(["ip", "-4", "-json", "route", "show", "table", "all"]))]


def nft_tables() -> set[str]:
    """Return the names of all nftables tables, such as ``ip kube-proxy``."""
    return {line.removeprefix("table ").strip() for line in execute(["nft", "list", "tables"]).splitlines()}


def refuse_other_clusters() -> None:
    """Raise ClusterError where another cluster's kube-proxy already rules on this machine."""
    if present := nft_tables().intersection(_PROXY_TABLES):
        raise ClusterError(
            f"the nftables tables {sorted(present)} exist: another Kubernetes node runs on this machine, and its "
            "kube-proxy would undo this one's work. Stop it first, or delete the tables if it is gone"
        )


def create_network(plan: Plan) -> None:
    """Make the node's interface, let pods' packets through and hide their addresses from other networks."""
    if plan.name not in _interfaces():
        # A bridge without ports, as some kernels lack the dummy interface.
        execute(["ip", "link", "add", plan.name, "type", "bridge"])
        execute(["ip", "address", "add", f"{plan.node_address}/32", "dev", plan.name])
        execute(["ip", "link", "set", plan.name, "up"])
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    if forward.read_text().strip() != "1":
        forward.write_text("1")
    execute(["nft", "-f", "-"], stdin=masquerade_rules(plan))
    if _drops_forwarded():
        for rule in _forward_rules(plan):
            if not _succeeds(["iptables", "--check", "FORWARD", *rule]):
                execute(["iptables", "--insert", "FORWARD", *rule])


def masquerade_rules(plan: Plan) -> str:
    """Return the nftables script that gives packets which leave the cluster the machine's own address."""
    return f"""
add table inet {plan.name}
delete table inet {plan.name}
table inet {plan.name} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {plan.pod_network} ip daddr != {plan.network} masquerade
  }}
}}
"""


def remove_network(plan: Plan) -> None:
    """Undo ``create_network`` and what kube-proxy and the CNI plugins added."""
    tables = nft_tables() if shutil.which("nft") else set()
    # A plan is only made where there is no kube-proxy yet: the tables are of this cluster's.
    for table in tables.intersection({f"inet {plan.name}", *_PROXY_TABLES}):
        execute(["nft", "delete", "table", *table.split()])
    if shutil.which("iptables") and "ip filter" in tables:
        for rule in _forward_rules(plan):
            while _succeeds(["iptables", "--delete", "FORWARD", *rule]):
                pass
    interfaces = {plan.name}
    for route in json.loads(execute(["ip", "-4", "-json", "route", "show", "root", plan.pod_network])):
        interfaces.add(route["dev"])
    for interface in sorted(interfaces):
        # Interfaces of pods go by themselves when the last process of a pod is gone, perhaps between these lines.
        with contextlib.suppress(CommandFailed):
            execute(["ip", "link", "delete", interface])
    if left := interfaces.intersection(_interfaces()):
        raise ClusterError(f"the network interfaces {sorted(left)} cannot be deleted")


def unmount_below(directory: Path) -> None:
    """Unmount everything that is mounted in ``directory``."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # Later mounts may hide earlier ones, so the order is turned round.
    for point in reversed(points):
        # The kernel writes space, tab and the like as octal numbers.
        path = point.encode().decode("unicode_escape")
        if Path(path).is_relative_to(directory):
            execute(["umount", "--lazy", path])


def remove_outside(plan: Plan) -> None:
    """Delete what the kubelet, containerd and the CNI library left outside the cluster's directory."""
    for shim in Path("/run/containerd/s").glob("*"):
        if _abandoned(shim):
            _unlink(shim)
    for link in Path("/var/log/containers").glob("*"):
        if link.is_symlink() and link.readlink().is_relative_to(plan.directory):
            link.unlink()
    results = Path("/var/lib/cni/results")
    for result in results.glob(f"{plan.name}-*-eth0"):
        sandbox = result.name.removeprefix(f"{plan.name}-").removesuffix("-eth0")
        _unlink(results / f"cni-loopback-{sandbox}-lo")
        _unlink(result)
    for path in sorted(map(Path, plan.outside), key=lambda path: len(path.parts), reverse=True):
        if path == Path("/var/lib/kubelet/device-plugins"):
            for entry in path.glob("*"):
                _unlink(entry)
        with contextlib.suppress(OSError):
            path.rmdir()


def _interfaces() -> set[str]:
    return {link["ifname"] for link in json.loads(execute(["ip", "-json", "link", "show"]))}


def _abandoned(path: Path) -> bool:
    """Whether nothing listens on a socket any more. A record of whose it was is lost with a process that is killed."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _drops_forwarded() -> bool:
    return shutil.which("iptables") is not None and "ip filter" in nft_tables() and _policy_is_drop()


def _policy_is_drop() -> bool:
    return "-P FORWARD DROP" in execute(["iptables", "--list-rules", "FORWARD"])


def _forward_rules(plan: Plan) -> Iterable[list[str]]:
    comment = ["--match", "comment", "--comment", plan.name, "--jump", "ACCEPT"]
    yield ["--source", plan.pod_network, *comment]
    yield ["--destination", plan.pod_network, *comment]


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
