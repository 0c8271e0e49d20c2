"""A control plane without nodes, for tests that need a real API server and nothing that runs."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from e2e.cluster import commands
from e2e.cluster.build import Programs
from e2e.cluster.credentials import write_client, write_control_plane
from e2e.cluster.processes import Daemon, execute, free_ports

_READY_SECONDS = 90


class ControlPlane:
    """etcd and kube-apiserver on the loopback interface, and more of Kubernetes where it is asked for.

    Any number may run at once, each in a directory of its own. Nothing needs root. The programs end with the thread
    that called ``start``; that thread must live as long as the control plane is used.

    Without ``controllers`` there is no garbage collection, no Job controller, no default ServiceAccount in a new
    namespace, and a deleted namespace stays ``Terminating``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        controllers: bool = False,
        scheduler: bool = False,
        kwok: bool = False,
        audit_policy: Mapping[str, Any] | None = None,
        api_server_flags: Sequence[str] = (),
        controller_flags: Sequence[str] = (),
        programs: Programs | None = None,
    ) -> None:
        """Describe a control plane; ``start`` or ``with`` starts it.

        Args:
            directory: keys, logs, data and the kubeconfig; made where it does not exist.
            controllers: also start kube-controller-manager (with a high request rate).
            scheduler: also start kube-scheduler (likewise).
            kwok: also start KWOK; ``add_fake_nodes`` then makes nodes on which pods "run".
            audit_policy: an ``audit.k8s.io/v1`` Policy; events go to ``audit_log``.
            api_server_flags: further flags of kube-apiserver.
            controller_flags: further flags of kube-controller-manager.
            programs: where built programs are; by default in the user's cache.
        """
        self._programs = programs or Programs()
        self._with = (controllers, scheduler, kwok)
        self._audit_policy = audit_policy
        self._flags = tuple(api_server_flags)
        self._controller_flags = tuple(controller_flags)
        api, etcd, peer, *self._ports = free_ports(5)
        self.layout = commands.Layout(directory.absolute(), "127.0.0.1", api, etcd, peer, "10.96.0.0/16")
        self._daemons: list[Daemon] = []

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of a cluster administrator."""
        return self.layout.kubeconfig("admin")

    @property
    def url(self) -> str:
        """Address of the API server."""
        return self.layout.url

    @property
    def audit_log(self) -> Path:
        """The audit log, one JSON event a line."""
        return self.layout.audit_log

    def start(self) -> Self:
        """Start everything and return when the API server is ready.

        Raises:
            ClusterError: a program could not be built or did not become ready.
        """
        layout, programs = self.layout, self._programs
        write_control_plane(layout, datetime.now(UTC))
        if self._audit_policy is not None:
            (layout.directory / "audit-policy.yaml").write_text(yaml.safe_dump(dict(self._audit_policy)))
        api_server = commands.api_server(
            programs["kube-apiserver"], layout, audited=self._audit_policy is not None, extra=self._flags
        )
        controllers, scheduler, kwok = self._with
        started = [("etcd", commands.etcd(programs["etcd"], layout)), ("kube-apiserver", api_server)]
        if controllers:
            program = programs["kube-controller-manager"]
            command = commands.controller_manager(program, layout, self._ports[0], self._controller_flags)
            started.append(("kube-controller-manager", command))
        if scheduler:
            started.append(("kube-scheduler", commands.scheduler(programs["kube-scheduler"], layout, self._ports[1])))
        if kwok:
            started.append(("kwok", commands.kwok(programs["kwok"], layout, self._write_stages())))
        self._daemons = [Daemon(name, command, layout.log(name)) for name, command in started]
        try:
            for daemon in self._daemons[:2]:
                daemon.start()
            self._wait_for_api_server()
            for daemon in self._daemons[2:]:
                daemon.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything at once and delete the data; keys and logs stay."""
        for daemon in reversed(self._daemons):
            daemon.kill()
        shutil.rmtree(self.layout.directory / "etcd", ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def daemon(self, name: str) -> Daemon:
        """Return one of the programs: ``etcd``, ``kube-apiserver``, ``kube-controller-manager``, ... ."""
        return next(daemon for daemon in self._daemons if daemon.name == name)

    def kill_api_server(self) -> None:
        """End the API server with SIGKILL: connections to it are reset, new ones are refused."""
        self.daemon("kube-apiserver").kill()

    def start_api_server(self) -> None:
        """Start the API server again, at the same address, and return when it is ready."""
        self.daemon("kube-apiserver").start()
        self._wait_for_api_server()

    def pause_api_server(self) -> None:
        """Stop the API server with SIGSTOP: connections stay open and nothing answers."""
        self.daemon("kube-apiserver").signal(signal.SIGSTOP)

    def resume_api_server(self) -> None:
        """Let a paused API server go on."""
        self.daemon("kube-apiserver").signal(signal.SIGCONT)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Return a kubeconfig of ``user`` in ``groups``, who may do what RBAC allows.

        The name of a service account is ``system:serviceaccount:NAMESPACE:NAME``.
        """
        return write_client(self.layout, user.replace(":", "-").replace("/", "-"), user, datetime.now(UTC), groups)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as an administrator and return what it prints.

        Raises:
            CommandFailed: its status is not 0; ``output`` has what it said.
        """
        return execute([self._programs["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments], stdin=stdin)

    def add_fake_nodes(self, count: int, *, cpu: str = "64", memory: str = "256Gi", pods: int = 1000) -> None:
        """Create nodes that KWOK keeps ready and on which it plays the pods' lives."""
        capacity = {"cpu": cpu, "memory": memory, "pods": str(pods), "ephemeral-storage": "1Ti"}
        nodes = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": f"fake-{number}",
                    "annotations": {"kwok.x-k8s.io/node": "fake"},
                    "labels": {"kubernetes.io/hostname": f"fake-{number}", "kubernetes.io/os": "linux"},
                },
                "status": {"capacity": capacity, "allocatable": capacity},
            }
            for number in range(count)
        ]
        self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))
        self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")

    def audit_events(self) -> list[dict[str, Any]]:
        """Return all events of the audit log so far."""
        # The last line may be half written.
        lines = self.audit_log.read_text().split("\n")[:-1] if self.audit_log.exists() else []
        return [json.loads(line) for line in lines]

    def _wait_for_api_server(self) -> None:
        self.daemon("kube-apiserver").wait_until(lambda: answers_ready(self.layout), _READY_SECONDS)

    def _write_stages(self) -> Path:
        folders = [self._programs.data("kwok", f"kustomize/stage/{kind}/fast") for kind in ("node", "pod")]
        stages = [
            file.read_text()
            for folder in folders
            for file in sorted(folder.glob("*.yaml"))
            if file.name != "kustomization.yaml"
        ]
        path = self.layout.directory / "stages.yaml"
        path.write_text("\n---\n".join(stages))
        return path


def answers_ready(layout: commands.Layout) -> bool:
    """Whether the API server says that it is ready."""
    context = ssl.create_default_context(cafile=str(layout.authority))
    certificate = layout.certificate("apiserver-kubelet")
    context.load_cert_chain(certificate, layout.key("apiserver-kubelet"))
    connection = http.client.HTTPSConnection(layout.address, layout.api_port, timeout=2, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
