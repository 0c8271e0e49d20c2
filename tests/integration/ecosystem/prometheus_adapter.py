"""prometheus-adapter as a process beside a control plane, with its own rights and the configuration of the examples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from e2e.cluster import ControlPlane
from e2e.cluster.build import Programs
from e2e.cluster.credentials import write_server
from e2e.cluster.processes import Daemon, free_ports
from tests.integration.conftest import ROOT
from tests.integration.external_metrics import serve_group

_NAME, _NAMESPACE = "prometheus-adapter", "monitoring"
_MANIFESTS = (
    "cluster-role.yaml",
    "cluster-role-binding.yaml",
    "cluster-role-binding-delegator.yaml",
    "role-binding-auth-reader.yaml",
)


@contextlib.contextmanager
def running_adapter(plane: ControlPlane, folder: Path, prometheus: str) -> Iterator[None]:
    """Run the adapter until the end of the block.

    Args:
        plane: whose API server passes on requests for external metrics to it.
        folder: where its log goes.
        prometheus: address of the Prometheus server.
    """
    programs, layout = Programs(), plane.layout
    plane.kubectl("create", "namespace", _NAMESPACE)
    for name in _MANIFESTS:
        plane.kubectl("apply", "-f", str(programs.data(_NAME, "deploy/manifests") / name))
    kubeconfig = plane.kubeconfig_for(
        f"system:serviceaccount:{_NAMESPACE}:{_NAME}",
        ["system:serviceaccounts", f"system:serviceaccounts:{_NAMESPACE}"],
    )
    write_server(layout, _NAME, _NAME, datetime.now(UTC), [f"{_NAME}.{_NAMESPACE}.svc"])
    (port,) = free_ports(1)
    command = [
        programs[_NAME],
        f"--config={ROOT / 'examples' / 'hpa' / 'prometheus-adapter.yaml'}",
        f"--prometheus-url={prometheus}",
        "--metrics-relist-interval=1s",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={layout.certificate(_NAME)}",
        f"--tls-private-key-file={layout.key(_NAME)}",
        f"--lister-kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    ]
    daemon = Daemon(_NAME, command, folder / f"{_NAME}.log")
    daemon.start()
    try:
        serve_group(plane, _NAMESPACE, _NAME, port)
        yield
    finally:
        daemon.kill()
