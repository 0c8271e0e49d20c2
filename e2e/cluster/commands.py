"""Command lines of the control plane's programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

#: As whom the API server passes on requests for the groups that other servers have, in whose words these believe it.
FRONT_PROXY = "front-proxy"


@dataclass(frozen=True)
class Layout:
    """Where a control plane keeps its files, and the addresses that it serves."""

    directory: Path
    #: Address that the API server listens on.
    address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    service_network: str

    @property
    def url(self) -> str:
        """Address of the API server."""
        return f"https://{self.address}:{self.api_port}"

    @property
    def etcd_url(self) -> str:
        """Address of etcd."""
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def authority(self) -> Path:
        """Certificate of the authority that signed all others."""
        return self.directory / "pki" / "ca.crt"

    @property
    def audit_log(self) -> Path:
        """What the API server did, one JSON event a line, where a policy was given."""
        return self.directory / "logs" / "audit.jsonl"

    def certificate(self, name: str) -> Path:
        """Certificate of ``name``."""
        return self.directory / "pki" / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Private key of ``name``."""
        return self.directory / "pki" / f"{name}.key"

    def kubeconfig(self, name: str) -> Path:
        """Kubeconfig of ``name``."""
        return self.directory / f"{name}.kubeconfig"

    def log(self, name: str) -> Path:
        """What the program ``name`` writes."""
        return self.directory / "logs" / f"{name}.log"


def etcd(program: Path, layout: Layout) -> list[str]:
    """Return the command line of etcd: one member, which forgets nothing but survives no power cut."""
    peer = f"http://127.0.0.1:{layout.etcd_peer_port}"
    return [
        str(program),
        "--name=qonverge",
        f"--data-dir={layout.directory / 'etcd'}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        f"--listen-client-urls={layout.etcd_url}",
        f"--advertise-client-urls={layout.etcd_url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=qonverge={peer}",
        "--log-level=warn",
    ]


def api_server(program: Path, layout: Layout, *, audited: bool, extra: Sequence[str] = ()) -> list[str]:
    """Return the command line of kube-apiserver."""
    pki = layout.directory / "pki"
    command = [
        str(program),
        f"--etcd-servers={layout.etcd_url}",
        f"--bind-address={layout.address}",
        *_advertised(layout),
        f"--secure-port={layout.api_port}",
        f"--service-cluster-ip-range={layout.service_network}",
        f"--client-ca-file={layout.authority}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        f"--kubelet-certificate-authority={layout.authority}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        f"--requestheader-client-ca-file={layout.authority}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    if audited:
        command += [
            f"--audit-policy-file={layout.directory / 'audit-policy.yaml'}",
            f"--audit-log-path={layout.audit_log}",
            "--audit-log-maxsize=2000",
        ]
    return [*command, *extra]


def _advertised(layout: Layout) -> list[str]:
    """Return what fills the endpoints of the Service ``kubernetes``."""
    if not ip_address(layout.address).is_loopback:
        return [f"--advertise-address={layout.address}"]
    # Endpoints may not be of the loopback interface. Without nodes nobody asks for that Service; the address, of a
    # network for documentation, keeps the server from looking for one by the default route, which may not exist.
    return ["--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"]


def controller_manager(program: Path, layout: Layout, port: int, extra: Sequence[str] = ()) -> list[str]:
    """Return the command line of kube-controller-manager, quick enough not to be what a test measures."""
    return [
        str(program),
        f"--kubeconfig={layout.kubeconfig('controller-manager')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--authentication-kubeconfig={layout.kubeconfig('controller-manager')}",
        f"--authorization-kubeconfig={layout.kubeconfig('controller-manager')}",
        f"--service-account-private-key-file={layout.key('service-accounts')}",
        f"--root-ca-file={layout.authority}",
        f"--cluster-signing-cert-file={layout.authority}",
        f"--cluster-signing-key-file={layout.key('ca')}",
        f"--flex-volume-plugin-dir={layout.directory / 'volume-plugins'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--profiling=false",
        *extra,
    ]


def scheduler(program: Path, layout: Layout, port: int) -> list[str]:
    """Return the command line of kube-scheduler."""
    return [
        str(program),
        f"--kubeconfig={layout.kubeconfig('scheduler')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--authentication-kubeconfig={layout.kubeconfig('scheduler')}",
        f"--authorization-kubeconfig={layout.kubeconfig('scheduler')}",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--profiling=false",
    ]


def kwok(program: Path, layout: Layout, stages: Path) -> list[str]:
    """Return the command line of KWOK, which plays the kubelet of nodes annotated ``kwok.x-k8s.io/node=fake``."""
    return [
        str(program),
        f"--kubeconfig={layout.kubeconfig('admin')}",
        f"--config={stages}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
    ]
