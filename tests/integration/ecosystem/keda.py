"""KEDA as processes beside a control plane: its operator and server of metrics, with the rights that it has itself."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from e2e.cluster import ControlPlane
from e2e.cluster.build import Programs
from e2e.cluster.credentials import write_server
from e2e.cluster.processes import Daemon, free_ports
from tests.integration.conftest import LIMIT
from tests.integration.external_metrics import is_available, serve_group

NAMESPACE = "keda"
_SERVICE = "keda-metrics-apiserver"


@contextlib.contextmanager
def running_keda(plane: ControlPlane, folder: Path) -> Iterator[None]:
    """Install KEDA's own manifests and run its programs until the end of the block."""
    programs = Programs()
    _install(plane, programs)
    certificates = _certificates(plane, folder)
    calls, health, secure, figures = free_ports(4)
    kubeconfig = plane.kubeconfig_for(
        f"system:serviceaccount:{NAMESPACE}:keda-operator",
        ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"],
    )
    environment: list[str | Path] = [
        "env",
        f"KUBECONFIG={kubeconfig}",
        f"POD_NAMESPACE={NAMESPACE}",
        "WATCH_NAMESPACE=",
    ]
    environment.append(f"KEDA_CLUSTER_OBJECT_NAMESPACE={NAMESPACE}")
    operator: list[str | Path] = [
        *environment,
        programs["keda-operator"],
        "--enable-prometheus-metrics=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        f"--health-probe-bind-address=127.0.0.1:{health}",
        f"--metrics-service-bind-address=127.0.0.1:{calls}",
        f"--cert-dir={certificates}",
    ]
    server: list[str | Path] = [
        *environment,
        programs["keda-metrics-apiserver"],
        "--bind-address=127.0.0.1",
        f"--secure-port={secure}",
        f"--port={figures}",
        f"--metrics-service-address=127.0.0.1:{calls}",
        f"--cert-dir={certificates}",
        f"--tls-cert-file={certificates / 'tls.crt'}",
        f"--tls-private-key-file={certificates / 'tls.key'}",
        f"--client-ca-file={certificates / 'ca.crt'}",
        f"--lister-kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    ]
    commands = {"keda-operator": operator, _SERVICE: server}
    daemons = [Daemon(name, command, folder / f"{name}.log") for name, command in commands.items()]
    serve_group(plane, NAMESPACE, _SERVICE, secure)
    try:
        for daemon in daemons:
            daemon.start()
        for daemon in daemons:
            daemon.wait_until(lambda: is_available(plane), LIMIT)
        yield
    finally:
        for daemon in daemons:
            daemon.kill()


def _install(plane: ControlPlane, programs: Programs) -> None:
    plane.kubectl("create", "namespace", NAMESPACE)
    plane.kubectl("apply", "--server-side", "-f", str(programs.data("keda", "config/crd/bases")))
    for folder in ("rbac", "metrics-server"):
        for name in ("role.yaml", "role_binding.yaml"):
            plane.kubectl("apply", "-f", str(programs.data("keda", f"config/{folder}") / name))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", f"--timeout={LIMIT:g}s")


def _certificates(plane: ControlPlane, folder: Path) -> Path:
    """Return a folder with the files that KEDA's programs look for: each is the other's client or server with them."""
    layout = plane.layout
    write_server(layout, "keda", "keda", datetime.now(UTC), ["127.0.0.1", f"{_SERVICE}.{NAMESPACE}.svc"])
    certificates = folder / "keda-certificates"
    certificates.mkdir()
    files = {"ca.crt": layout.authority, "tls.crt": layout.certificate("keda"), "tls.key": layout.key("keda")}
    for name, source in files.items():
        shutil.copyfile(source, certificates / name)
    return certificates
