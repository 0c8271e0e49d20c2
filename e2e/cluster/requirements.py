"""What a machine must have to run a layer of the tests, and its installation where that can be done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster.build import Programs
from e2e.cluster.errors import RequirementsMissing
from e2e.cluster.processes import execute

_GO = (1, 26)
_CONTROL_PLANE = ("kubernetes", "etcd", "kwok")
_CLUSTER = ("kubernetes", "etcd", "coredns", "helm", "pause")
_EXTERNAL = ("kubernetes", "helm")
#: Commands that a node or the images need, and Debian's packages that bring them.
_PACKAGES: Mapping[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "mount": "mount",
    "buildah": "buildah",
    "containers-storage": "containers-storage",
    "mmdebstrap": "mmdebstrap",
}
#: Commands that tests of metrics, alerts and dashboards need.
_MONITORING: Mapping[str, str] = {"prometheus": "prometheus", "promtool": "prometheus"}
#: Services that start with their package's installation, and that are not used.
_SERVICES: Mapping[str, str] = {"containerd": "containerd.service", "prometheus": "prometheus.service"}
_CNI_PACKAGE = "containernetworking-plugins"
_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/usr/libexec/cni"), Path("/opt/cni/bin"))
_CNI_PLUGINS = ("ptp", "host-local", "loopback")
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
#: With it mmdebstrap can tell Debian's packages from others on a machine that is not Debian.
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def missing_requirements(layer: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return what keeps a layer, ``integration`` or ``e2e``, from running here: a sentence each, empty when it can.

    Things that ``python -m e2e.cluster up`` installs or builds by itself are not missing.
    """
    if layer == "integration":
        return [*_missing_platform("linux", "darwin"), *_missing_toolchain(_CONTROL_PLANE)]
    if layer != "e2e":
        raise ValueError(f"no layer {layer!r}")
    if environment.get("KUBECONFIG") and environment.get("QONVERGE_IMAGE"):
        return _missing_toolchain(_EXTERNAL)
    if wrong := _missing_platform("linux"):
        return wrong
    missing = _missing_toolchain(_CLUSTER)
    if os.geteuid() != 0:
        missing.append("root: containers, network interfaces and cgroups are made (run as root, or with sudo)")
    if (packages := missing_packages()) and shutil.which("apt-get") is None:
        missing.append(f"the commands of Debian's packages {', '.join(packages)}: install them")
    if "overlay" not in Path("/proc/filesystems").read_text():
        missing.append("the overlay file system in the kernel (modprobe overlay)")
    if absent := [name for name in _CONTROLLERS if name not in available_controllers()]:
        missing.append(f"the cgroup controllers {', '.join(absent)} in the kernel")
    return missing


def require(layer: str) -> None:
    """Raise RequirementsMissing unless the layer can run here."""
    if missing := missing_requirements(layer):
        raise RequirementsMissing(layer, missing)


def missing_packages() -> list[str]:
    """Return Debian's packages that a cluster on this machine still needs."""
    packages = [package for command, package in _PACKAGES.items() if shutil.which(command) is None]
    if cni_plugins() is None:
        packages.append(_CNI_PACKAGE)
    if not _KEYRING.exists():
        packages.append("debian-archive-keyring")
    return packages


def cni_plugins() -> Path | None:
    """Return the folder of the CNI plugins, if they are installed."""
    return next((path for path in _CNI_FOLDERS if all((path / name).exists() for name in _CNI_PLUGINS)), None)


def available_controllers() -> list[str]:
    """Return the names of the kernel's cgroup controllers."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return unified.read_text().split()
    lines = Path("/proc/cgroups").read_text().splitlines()
    return [line.split()[0] for line in lines if not line.startswith("#")]


def install_packages() -> None:
    """Install what a cluster still needs, and leave no service of it running that did not run before."""
    _install(missing_packages())


def install_monitoring() -> list[str]:
    """Install Prometheus where that can be done; return what keeps it from being here, empty where it is."""
    if _missing_monitoring() and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        _install(_missing_monitoring())
    return [f"the commands of Debian's package {package}: install it" for package in _missing_monitoring()]


def _missing_monitoring() -> list[str]:
    return sorted({package for command, package in _MONITORING.items() if shutil.which(command) is None})


def _install(packages: Sequence[str]) -> None:
    if not packages:
        return
    print(f"installing {' '.join(packages)}", file=sys.stderr, flush=True)
    with_systemd = Path("/run/systemd/system").is_dir()
    # The cluster runs a containerd of its own, and each test a Prometheus.
    masked = [_SERVICES[package] for package in packages if with_systemd and package in _SERVICES]
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "--yes"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    if masked:
        execute(["systemctl", "mask", "--runtime", *masked])
    try:
        execute([*apt, "update"], environment=quiet)
        execute([*apt, "install", "--no-install-recommends", *packages], environment=quiet)
    finally:
        if masked:
            execute(["systemctl", "unmask", "--runtime", *masked])
    if masked:
        execute(["systemctl", "disable", *masked])


def go_version(text: str) -> tuple[int, int] | None:
    """Return major and minor number of what ``go env GOVERSION`` printed, such as ``go1.26.1``."""
    found = re.match(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _missing_platform(*supported: str) -> list[str]:
    if sys.platform in supported:
        return []
    return [f"{' or '.join(supported)}: this is {sys.platform}"]


def _missing_toolchain(groups: Sequence[str]) -> list[str]:
    absent = Programs().missing(*groups)
    if not absent:
        return []
    wanted = f"Go {_GO[0]}.{_GO[1]} or later, which builds {', '.join(absent)}"
    if shutil.which("go") is None:
        return [f"{wanted}: there is no command go"]
    done = subprocess.run(["go", "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, check=False)
    version, _, toolchain = done.stdout.strip().partition("\n")
    # With any other setting an older Go fetches the version that a module names.
    if toolchain == "local" and (go_version(version) or (0, 0)) < _GO:
        return [f"{wanted}: this is {version}"]
    return []
