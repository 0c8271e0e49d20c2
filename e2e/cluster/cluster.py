"""A whole Kubernetes on this machine, of one node and others at sites of their own: up, down, status."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from e2e.cluster import commands, host, node_files
from e2e.cluster.build import GROUPS, ORDINARY, Programs, cache_directory, locked
from e2e.cluster.cgroups import CgroupTree
from e2e.cluster.control_plane import answers_ready
from e2e.cluster.credentials import write_client, write_control_plane, write_kubelet
from e2e.cluster.errors import ClusterError
from e2e.cluster.images import Images
from e2e.cluster.node import Node, SystemImages
from e2e.cluster.plan import PORT_COUNT, SITES, Plan, choose_network
from e2e.cluster.processes import execute, free_ports
from e2e.cluster.requirements import install_packages, require
from e2e.cluster.site import Site
from e2e.cluster.supervisor import Supervisor

_CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_NODE = ("containerd", "kubelet", "kube-proxy")
#: Ended in this order, so that nothing starts anew what is being ended.
_END_FIRST = ("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler")
_READY_SECONDS = 120


@dataclass(frozen=True)
class Status:
    """What runs of a cluster."""

    exists: bool
    #: Program to process id, or None where it does not run.
    programs: Mapping[str, int | None]
    api_ready: bool

    @property
    def running(self) -> bool:
        """Whether everything runs."""
        return self.exists and self.api_ready and None not in self.programs.values()


def default_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a cluster lives unless another directory is named."""
    return Path(environment.get("QONVERGE_CLUSTER_DIR") or "/var/lib/qonverge-cluster")


class Cluster:
    """The cluster that lives in one directory. One at a time can run on a machine."""

    def __init__(self, directory: Path | None = None, cache: Path | None = None) -> None:
        self.directory = (directory or default_directory()).resolve()
        self.cache = cache or cache_directory()
        self.programs = Programs(self.cache)
        self.images = Images(self.cache)
        self._plan_file = self.directory / "cluster.json"
        self._audit_policy = self.directory / "audit-policy.yaml"

    @property
    def plan(self) -> Plan:
        """What the cluster is made of.

        Raises:
            ClusterError: there is none.
        """
        if not self._plan_file.exists():
            raise ClusterError(f"there is no cluster in {self.directory}: start one with `up`")
        return Plan.from_json(self._plan_file.read_text(), self.directory)

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster administrator."""
        return self.plan.kubeconfig

    def build(self) -> SystemImages:
        """Build what is not built yet of the cluster's programs, and the images of those that run in pods."""
        for name in ORDINARY:
            self.programs.build(GROUPS[name])
        pause, coredns = (self.images.program(name, self.programs[name]) for name in ("pause", "coredns"))
        return SystemImages(pause, coredns)

    def up(self) -> None:
        """Start what does not run, and return when pods can run and find each other.

        Raises:
            RequirementsMissing: this machine lacks something; nothing was started.
            ClusterError: something did not start.
        """
        require("e2e")
        install_packages()
        system_images = self.build()
        with self._locked():
            plan = self._load_or_create_plan()
            self._write_files(plan)
            tree = CgroupTree(plan.name)
            tree.create()
            host.create_network(plan)
            supervisor = self._supervisor(tree)
            self._start_control_plane(plan, supervisor)
            node = Node(plan, plan.node, self.programs, self.images, supervisor)
            node.start(system_images.pause)
            node.start_dns(system_images.coredns)

    def down(self) -> bool:
        """End everything and leave nothing behind; return whether there was a cluster.

        Raises:
            ClusterError: something resists.
        """
        with self._locked():
            self.images.release()
            if not self._plan_file.exists():
                return False
            plan = self.plan
            tree = CgroupTree(plan.name)
            supervisor = self._supervisor(tree)
            for name in _END_FIRST:
                supervisor.stop(name, grace=2)
            tree.remove()
            host.unmount_below(self.directory)
            host.remove_network(plan)
            host.remove_outside(plan)
            host.restore_settings(plan.settings)
            # The plan goes last: until then a second try knows what to remove.
            for entry in self.directory.iterdir():
                if entry != self._plan_file:
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            shutil.rmtree(self.directory)
            return True

    def status(self) -> Status:
        """Return what runs."""
        if not self._plan_file.exists():
            return Status(False, {}, api_ready=False)
        supervisor = self._supervisor(CgroupTree(self.plan.name))
        sites = [site for site in SITES if self.plan.site(site).home.exists()]
        names = [*_CONTROL_PLANE, *_NODE, *(f"{site}-{name}" for site in sites for name in ("link", *_NODE))]
        programs = {name: supervisor.pid(name) for name in names}
        return Status(True, programs, api_ready=answers_ready(self.plan.layout))

    def add_sites(self) -> None:
        """Add those of ``SITES`` that are not there, with good links.

        Raises:
            ClusterError: there is no cluster, or something did not start.
        """
        pause = self.build().pause
        with self._locked():
            plan = self.plan

            def add(name: str) -> None:
                self._site(plan, name).add(pause)

            with ThreadPoolExecutor() as pool:
                list(pool.map(add, SITES))

    def remove_sites(self) -> None:
        """End the sites, with all pods on them."""
        with self._locked():
            for name in SITES:
                self._site(self.plan, name).remove()

    def _site(self, plan: Plan, name: str) -> Site:
        tree = CgroupTree(plan.site(name).cgroup)
        return Site(plan, name, self.programs, self.images, tree, self._supervisor(tree))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as an administrator and return what it prints."""
        return execute([self.programs["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments], stdin=stdin)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.cache.mkdir(parents=True, exist_ok=True)
        with locked(self.cache / "cluster.lock"):
            yield

    def _supervisor(self, tree: CgroupTree) -> Supervisor:
        return Supervisor(self.directory / "processes", self.directory / "logs", tree.daemons)

    def _load_or_create_plan(self) -> Plan:
        if self._plan_file.exists():
            return self.plan
        if self.directory.exists() and any(self.directory.iterdir()):
            raise ClusterError(f"{self.directory} has files in it that no cluster made: choose an empty directory")
        host.refuse_other_clusters()
        network = choose_network(host.routes())
        ports = free_ports(PORT_COUNT)
        plan = Plan.create(self.directory, network, ports, host.settings(), host.absent_outside())
        self.directory.mkdir(parents=True, exist_ok=True)
        temporary = self._plan_file.with_suffix(".new")
        temporary.write_text(plan.to_json())
        temporary.rename(self._plan_file)
        return plan

    def _write_files(self, plan: Plan) -> None:
        now = datetime.now(UTC)
        layout = plan.layout
        write_control_plane(layout, now)
        node = plan.node
        if not layout.kubeconfig(node.kubelet_client).exists():
            write_client(layout, "proxy", "system:kube-proxy", now)
            write_kubelet(layout, node, now)
        (self.directory / "processes").mkdir(exist_ok=True)
        self._audit_policy.write_text(yaml.safe_dump(node_files.audit_policy()))

    def _start_control_plane(self, plan: Plan, supervisor: Supervisor) -> None:
        layout, programs, ports = plan.layout, self.programs, plan.ports
        supervisor.start("etcd", commands.etcd(programs["etcd"], layout))
        api_server = commands.api_server(programs["kube-apiserver"], layout, audited=True)
        supervisor.start("kube-apiserver", api_server, self._audit_policy)
        supervisor.wait_until("kube-apiserver", lambda: answers_ready(layout), _READY_SECONDS)
        program = programs["kube-controller-manager"]
        manager = commands.controller_manager(program, layout, ports["controller_manager"])
        supervisor.start("kube-controller-manager", manager)
        scheduler = commands.scheduler(programs["kube-scheduler"], layout, ports["scheduler"])
        supervisor.start("kube-scheduler", scheduler)
