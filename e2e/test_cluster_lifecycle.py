"""The cluster starts from any state, and leaves nothing behind.

Each test has network and mount namespaces of its own, so that it disturbs no cluster that runs on this machine and sees
no change but its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.cgroups import hierarchies
from e2e.cluster.cluster import Cluster
from e2e.cluster.errors import CommandFailed
from e2e.cluster.plan import cluster_name
from e2e.cluster.processes import execute
from e2e.cluster.requirements import install_packages

ROOT = Path(__file__).resolve().parents[1]
# The kubelet, containerd and the CNI library write to fixed places, where another cluster on this machine has its own
# files: each test has an empty /run, and keeps for itself what it changes below the others.
HOLD = """
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
for place in /var/lib /var/log; do
    mkdir -p /run/upper$place /run/work$place
    mount -t overlay overlay -o lowerdir=$place,upperdir=/run/upper$place,workdir=/run/work$place $place
done
echo ready
exec sleep infinity
"""


class Namespaces:
    """Network and mount namespaces, held open by a process, and the cluster in them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = cluster_name(directory)
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", HOLD], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def close(self) -> None:
        """End the namespaces."""
        self._holder.kill()
        self._holder.communicate()

    def inside(self, *command: str | Path) -> list[str]:
        """Return the command line that runs a command in the namespaces."""
        return ["nsenter", "--net", "--mount", f"--target={self._holder.pid}", f"--wdns={ROOT}", *map(str, command)]

    def run(self, *command: str | Path, stdin: str | None = None) -> str:
        """Run a command in the namespaces and return what it prints."""
        return execute(self.inside(*command), stdin=stdin)

    def tool(self, command: str, *options: str) -> list[str]:
        """Return the command line of the cluster tool in the namespaces."""
        return self.inside(sys.executable, "-m", "e2e.cluster", command, f"--directory={self.directory}", *options)

    def up(self) -> None:
        execute(self.tool("up", "--no-chart"))

    def down(self) -> str:
        return execute(self.tool("down"))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        kubeconfig = self.directory / "admin.kubeconfig"
        return self.run(
            Cluster(self.directory).programs["kubectl"], f"--kubeconfig={kubeconfig}", *arguments, stdin=stdin
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what a cluster could leave on a machine."""
        ruleset = [["nft", "--stateless", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"]]
        sysctl = ["sysctl", "net.ipv4", "vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic"]
        mounts = self.run("cat", "/proc/self/mountinfo").splitlines()
        return {
            "processes": self.processes(),
            "mounts": sorted(line.split()[4] for line in mounts),
            "links": self.run("ip", "-brief", "link").split("\n"),
            "routes": self.run("ip", "route", "show", "table", "all").split("\n"),
            "rules": [re.sub(r"\[\d+:\d+\]|#.*", "", self.run(*command)) for command in ruleset],
            "settings": self.run(*sysctl, "kernel.panic_on_oops", "kernel.keys").split("\n"),
            "cgroups": sorted(
                str(path)
                for root in hierarchies(Path("/proc/self/mountinfo").read_text())
                for path in root.rglob(f"{self.name}*")
            ),
            "files": self.files(),
            "directory": self.directory.exists(),
        }

    def files(self) -> list[str]:
        """Return the files outside the cluster's directory that belong to it."""
        folders = (
            "run/containerd",
            "run/netns",
            "var/lib/cni",
            "var/lib/kubelet",
            "var/log/containers",
            "var/log/pods",
        )
        root = Path(f"/proc/{self._holder.pid}/root")
        return sorted(str(path.relative_to(root)) for folder in folders for path in (root / folder).rglob("*"))

    def processes(self) -> dict[int, str]:
        """Return the cluster's processes: those in its cgroups, its network, or with its directory as an argument."""
        found = {}
        network = Path(f"/proc/{self._holder.pid}/ns/net").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                belongs = (
                    self.name in (process / "cgroup").read_text()
                    or str(self.directory) in command
                    or (process / "ns" / "net").readlink() == network
                )
            except OSError:
                # It has ended, or the system hides it, as it hides none that a cluster starts.
                continue
            # Without a command it has ended, and the system's first process will take note of that.
            if command and belongs and int(process.name) != self._holder.pid:
                found[int(process.name)] = command
        return found


@pytest.fixture(scope="module")
def built(own_machine: None) -> None:
    """Everything is installed and built: the namespaces have no network."""
    install_packages()
    execute([sys.executable, "-m", "e2e.cluster", "build"], directory=ROOT)


@pytest.fixture
def namespaces(built: None) -> Iterator[Namespaces]:
    # Sockets have short paths.
    directory = Path("/var/tmp", f"qonverge-{uuid.uuid4().hex[:8]}")
    made = Namespaces(directory)
    yield made
    made.down()
    made.close()


def test_up_is_idempotent_and_down_leaves_nothing_behind(namespaces: Namespaces) -> None:
    # As Docker sets it where it is installed.
    namespaces.run("iptables", "--policy", "FORWARD", "DROP")
    before = namespaces.snapshot()
    namespaces.up()
    assert namespaces.run("iptables", "--list-rules", "FORWARD").count(namespaces.name) == 2
    processes = namespaces.processes()
    namespaces.up()
    assert namespaces.processes() == processes
    assert namespaces.down() == "removed\n"
    assert namespaces.snapshot() == before


@pytest.mark.parametrize("victims", [["containerd-shim"], ["etcd", "containerd", "kubelet"]])
def test_down_after_a_crash(namespaces: Namespaces, victims: list[str]) -> None:
    before = namespaces.snapshot()
    namespaces.up()
    if "kubelet" in victims:
        execute(namespaces.tool("sites", "up"))
    _kill(namespaces, victims)
    namespaces.down()
    assert namespaces.snapshot() == before


def test_up_after_a_crash(namespaces: Namespaces) -> None:
    namespaces.up()
    _kill(namespaces, ["etcd", "containerd", "kubelet", "kube-proxy"])
    namespaces.up()
    dns = "--namespace=kube-system"
    namespaces.kubectl("delete", "pods", "--all", dns)
    namespaces.kubectl("rollout", "status", "deployment/coredns", dns, "--timeout=60s")


@pytest.mark.parametrize("sight", ["kube-apiserver", "kube-proxy"])
def test_up_and_down_after_an_up_that_was_killed(namespaces: Namespaces, sight: str) -> None:
    before = namespaces.snapshot()
    tool = subprocess.Popen(namespaces.tool("up", "--no-chart"), start_new_session=True)
    while not any(sight in command for command in namespaces.processes().values()):
        assert tool.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    os.killpg(tool.pid, signal.SIGKILL)
    tool.wait()
    namespaces.up()
    namespaces.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=60s")
    namespaces.down()
    assert namespaces.snapshot() == before


def test_a_directory_with_files_is_refused(namespaces: Namespaces) -> None:
    namespaces.directory.mkdir()
    kept = namespaces.directory / "thesis.tex"
    kept.write_text("")
    with pytest.raises(CommandFailed, match="has files in it that no cluster made"):
        namespaces.up()
    namespaces.down()
    assert kept.exists()
    kept.unlink()
    namespaces.directory.rmdir()


def test_a_second_cluster_is_refused(namespaces: Namespaces) -> None:
    namespaces.run("nft", "add", "table", "ip", "kube-proxy")
    with pytest.raises(CommandFailed, match="another Kubernetes node runs on this machine"):
        namespaces.up()
    assert not namespaces.directory.exists()


def _kill(namespaces: Namespaces, names: list[str]) -> None:
    for process, command in namespaces.processes().items():
        if Path(command.split(" ")[0]).name.startswith(tuple(names)):
            os.kill(process, signal.SIGKILL)
