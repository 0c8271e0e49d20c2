"""Builds the cluster's programs from Go modules, once, into a cache outside the tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.errors import CommandFailed, RequirementsMissing

MODULES = Path(__file__).parent
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")


@dataclass(frozen=True)
class Group:
    """One Go module and the programs that it makes."""

    name: str
    #: Program name to Go package.
    programs: Mapping[str, str]
    #: The required module whose version names the group; empty for a program of our own.
    module: str = ""
    #: Package whose ``gitVersion``, ``gitMajor`` and ``gitMinor`` the linker sets.
    version_package: str = ""
    #: Folders of the required module that are kept beside the programs.
    data: tuple[str, ...] = ()
    #: Roughly what a cold build takes, for the person who waits.
    minutes: float = 1
    #: Whether only tests of other projects' parts need it, so that it is built when one of them asks for it.
    ecosystem: bool = False
    #: The folder with the Go modules' folders.
    modules: Path = MODULES

    @property
    def directory(self) -> Path:
        """The folder of the Go module."""
        return self.modules / self.name

    @property
    def version(self) -> str:
        """Version of the required module, such as ``v1.35.4``."""
        return required_version((self.directory / "go.mod").read_text(), self.module) if self.module else "v0"

    @property
    def linker_flags(self) -> str:
        """Flags for the linker: no symbol tables, and the version where programs report it."""
        flags = ["-s", "-w"]
        if self.version_package:
            major, minor = self.version.removeprefix("v").split(".")[:2]
            for name, value in (("gitVersion", self.version), ("gitMajor", major), ("gitMinor", minor)):
                flags += ["-X", f"{self.version_package}.{name}={value}"]
        return " ".join(flags)

    @property
    def digest(self) -> str:
        """What decides whether a build can be used again: sources, pinned modules, flags."""
        digest = hashlib.sha256(repr((sorted(self.programs.items()), self.data, self.linker_flags)).encode())
        for file in sorted(self.directory.iterdir()):
            if file.suffix in {".go", ".mod", ".sum"}:
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:12]


GROUPS: Mapping[str, Group] = {
    group.name: group
    for group in (
        Group(
            "kubernetes",
            {name: f"k8s.io/kubernetes/cmd/{name}" for name in _KUBERNETES},
            module="k8s.io/kubernetes",
            version_package="k8s.io/component-base/version",
            minutes=8,
        ),
        Group("etcd", {"etcd": "."}, module="go.etcd.io/etcd/server/v3"),
        Group(
            "kwok",
            {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
            module="sigs.k8s.io/kwok",
            data=("kustomize/stage/node/fast", "kustomize/stage/pod/fast"),
            minutes=2,
        ),
        Group("coredns", {"coredns": "."}, module="github.com/coredns/coredns", minutes=2.5),
        Group("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, module="helm.sh/helm/v4", minutes=2.5),
        Group("pause", {"pause": "."}),
        # An S3-compatible server, for tests of stores.
        Group(
            "versitygw",
            {"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
            module="github.com/versity/versitygw",
            minutes=1.5,
        ),
        Group(
            "keda",
            {
                "keda-operator": "github.com/kedacore/keda/v2/cmd/operator",
                "keda-metrics-apiserver": "github.com/kedacore/keda/v2/cmd/adapter",
            },
            module="github.com/kedacore/keda/v2",
            data=("config/crd/bases", "config/rbac", "config/metrics-server"),
            minutes=8,
            ecosystem=True,
        ),
        Group(
            "kueue",
            {"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
            module="sigs.k8s.io/kueue",
            version_package="sigs.k8s.io/kueue/pkg/version",
            data=("config",),
            minutes=3,
            ecosystem=True,
        ),
    )
}
#: Names of the groups that the project's ordinary tests need.
ORDINARY = tuple(name for name, group in GROUPS.items() if not group.ecosystem)


def required_version(go_mod: str, module: str) -> str:
    """Return the version of ``module`` that a go.mod's text requires, such as ``v1.35.4``."""
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError(f"no requirement of {module}")
    return found[1]


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where built programs and images are kept between runs."""
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qonverge"


class Programs:
    """Built programs, by name; what is missing is built when it is asked for."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache or cache_directory()

    def __getitem__(self, name: str) -> Path:
        """Return the path of a program.

        Raises:
            CommandFailed: the build failed.
            RequirementsMissing: it is not built yet and there is no Go toolchain.
        """
        group = next(group for group in GROUPS.values() if name in group.programs)
        return self.build(group) / name

    def data(self, group: str, folder: str) -> Path:
        """Return a folder of the group's upstream module."""
        return self.build(GROUPS[group]) / folder

    def missing(self, *groups: str) -> list[str]:
        """Return those groups that would have to be built."""
        return [name for name in groups if not self._path(GROUPS[name]).is_dir()]

    def build(self, group: Group) -> Path:
        """Return the folder with the group's programs, building them first where that was not done yet."""
        path = self._path(group)
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._cache / f"{group.name}.lock"):
                if not path.is_dir():
                    _build(group, path)
        return path

    def _path(self, group: Group) -> Path:
        return self._cache / "programs" / f"{group.name}-{group.version}-{group.digest}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file that the system gives back however this process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(group: Group, path: Path) -> None:
    """Build into a folder of its own and rename it when it is whole, so that a half-built one is never used."""
    if shutil.which("go") is None:
        raise RequirementsMissing("build", [f"the Go toolchain builds {group.name}: install Go 1.26 or later"])
    print(
        f"building {group.name} {group.version}: once, about {group.minutes:g} min on two cores",
        file=sys.stderr,
        flush=True,
    )
    prefix = f".{group.name}-"
    for abandoned in path.parent.glob(f"{prefix}*"):
        _remove_tree(abandoned)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    try:
        for name, package in group.programs.items():
            _go(group, "build", "-trimpath", "-ldflags", group.linker_flags, "-o", str(temporary / name), package)
        if group.data:
            source = Path(_go(group, "list", "-m", "-f", "{{.Dir}}", group.module).strip())
            for folder in group.data:
                shutil.copytree(source / folder, temporary / folder, copy_function=shutil.copyfile)
        temporary.chmod(0o755)
        temporary.rename(path)
    finally:
        if temporary.exists():
            _remove_tree(temporary)


def _remove_tree(path: Path) -> None:
    # Folders copied from Go's module cache are read-only.
    for folder in [path, *(entry for entry in path.rglob("*") if entry.is_dir())]:
        folder.chmod(0o755)
    shutil.rmtree(path)


def _go(group: Group, *arguments: str) -> str:
    # Building shares the machine with whatever else runs on it.
    command = ["nice", "-n", "10", "go", *arguments]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    done = subprocess.run(command, cwd=group.directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(command, done.returncode, done.stdout + done.stderr)
    return done.stdout
