"""Container images, built without a registry: a base from Debian's packages, the project's own from its Dockerfile."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from e2e.cluster import pip_settings
from e2e.cluster.build import locked
from e2e.cluster.errors import ClusterError
from e2e.cluster.host import unmount_below
from e2e.cluster.processes import execute
from e2e.cluster.transfer import Store

REGISTRY = "localhost"
REPOSITORY = "qonverge"
TARGETS = ("operator", "backend", "program")
DEV_CLOUD = "dev-cloud"
_SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
_TEMPORARY = "building-"
#: What the project's Dockerfile may copy.
_INPUTS = ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml", "requirements", "operator")


@dataclass(frozen=True)
class ImageReference:
    """Where the project's images are: ``REGISTRY/REPOSITORY-TARGET:TAG``."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Return what a reference such as ``registry.example/team/qonverge:1.2`` names; the tag may be left out.

        Raises:
            ClusterError: it is not of that form.
        """
        found = re.fullmatch(r"([^/\s]+(?:/[^/\s:]+)*)/([^/:\s]+)(?::([\w.-]+))?", text)
        if found is None:
            raise ClusterError(f"{text!r} is not a reference of images: write REGISTRY/REPOSITORY:TAG")
        return cls(found[1], found[2], found[3] or "latest")

    def image(self, target: str) -> str:
        """Return the full name of the image ``operator``, ``backend`` or ``program``."""
        return f"{self.registry}/{self.repository}-{target}:{self.tag}"

    @property
    def images(self) -> tuple[str, ...]:
        """Full names of all images."""
        return tuple(map(self.image, TARGETS))


class Images:
    """Images in a store of their own below the cache folder; what is unchanged is not built again."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache / "images"
        self._cache.mkdir(parents=True, exist_ok=True)
        self._store = Store(self._cache / "store", self._cache / "run")
        # Without it buildah makes a folder for networks in /etc, although builds use the machine's own.
        self._configuration = self._cache / "containers.conf"
        self._configuration.write_text(f"[network]\nnetwork_config_dir = {json.dumps(str(self._cache / 'networks'))}\n")

    def program(self, name: str, program: Path) -> str:
        """Build an image with one statically linked program in it, run by a user without rights; return its name.

        The cache folder of a program changes with its sources, so it gives the tag.
        """
        image = f"{REGISTRY}/{REPOSITORY}-{name}:{program.parent.name.rpartition('-')[2]}"
        dockerfile = [
            "FROM scratch",
            f"COPY {program.name} /",
            "USER 65532:65532",
            f"ENTRYPOINT {json.dumps([f'/{program.name}'])}",
        ]
        with tempfile.TemporaryDirectory() as folder, self._opened():
            if not self._exists(image):
                file = Path(folder) / "Dockerfile"
                file.write_text("\n".join(dockerfile) + "\n")
                self._buildah("bud", "--layers", "--tag", image, "--file", file, program.parent)
        return image

    def project(self, root: Path) -> ImageReference:
        """Build the project's images from its Dockerfile; the tag tells the sources that they were built from."""
        base = self._base()
        reference = ImageReference(REGISTRY, REPOSITORY, source_digest(root, base))
        with self._opened(), tempfile.TemporaryDirectory() as folder:
            options = ["--build-arg", f"BASE_IMAGE={base}", *self._pip_volumes(Path(folder))]
            for target in TARGETS:
                image = reference.image(target)
                if not self._exists(image):
                    print(f"building {image}", file=sys.stderr, flush=True)
                    self._buildah("bud", "--layers", *options, "--target", target, "--tag", image, root)
        return reference

    def dev_cloud(self, root: Path) -> str:
        """Build the image of dev-cloud, which is for tests only, from its own folder; return its name."""
        base, folder = self._base(), root / DEV_CLOUD
        image = f"{REGISTRY}/{REPOSITORY}-{DEV_CLOUD}:{_digest(folder, _files(folder), base)}"
        with self._opened(), tempfile.TemporaryDirectory() as temporary:
            if not self._exists(image):
                print(f"building {image}", file=sys.stderr, flush=True)
                options = ["--build-arg", f"BASE_IMAGE={base}", *self._pip_volumes(Path(temporary))]
                self._buildah("bud", "--layers", *options, "--tag", image, folder)
        return image

    def send(self, images: Sequence[str], present: Set[str], stream: IO[bytes]) -> None:
        """Write an archive of the images to ``stream``, without the layers whose digests are ``present`` there."""
        with self._opened():
            self._store.write_archive(images, present, stream)

    def release(self) -> None:
        """Unmount what a build that was killed left mounted."""
        with self._opened():
            pass

    def _base(self) -> str:
        """Build the image that the project's are built on; return its name."""
        recipe = repr((*_debian(Path()), platform.machine()))
        image = f"{REGISTRY}/{REPOSITORY}-base:{_SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        with self._opened(), tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self._cache) as folder:
            if not self._exists(image):
                print(f"building {image}: once, about a minute", file=sys.stderr, flush=True)
                execute(_debian(Path(folder) / "base.tar"))
                (Path(folder) / "Dockerfile").write_text('FROM scratch\nADD base.tar /\nCMD ["python3"]\n')
                self._buildah("bud", "--tag", image, folder)
        return image

    def _pip_volumes(self, folder: Path) -> list[str]:
        """Return options that show a build this machine's certificates, package sources and downloads.

        They are mounted: nothing of them stays in an image or its history but empty places.
        """
        settings = pip_settings.relocate(pip_settings.read_settings(), "/run/pip")
        configuration = folder / "pip.conf"
        configuration.write_text(settings.configuration)
        downloads = self._cache / "pip"
        downloads.mkdir(exist_ok=True)
        volumes = [f"{configuration}:/etc/pip.conf:ro", f"{downloads}:/root/.cache/pip"]
        volumes += [f"{path.resolve()}:{target}:ro" for path, target in settings.mounts.items()]
        return [word for volume in volumes for word in ("--volume", volume)]

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Hold the store, and leave nothing of it mounted."""
        with locked(self._cache / "store.lock"):
            for abandoned in self._cache.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(abandoned)
            try:
                yield
            finally:
                unmount_below(self._cache)

    def _exists(self, image: str) -> bool:
        names = self._buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
        return image in names

    def _buildah(self, command: str, *arguments: str | Path) -> str:
        build = ["--isolation", "chroot", "--network", "host"] if command == "bud" else []
        words = ["buildah", *self._store.options, command, *build, *arguments]
        return execute(words, environment={"CONTAINERS_CONF": str(self._configuration)})


def source_digest(root: Path, base: str) -> str:
    """Return a digest of all that the project's images are made of."""
    return _digest(root, _sources(root), base)


def _digest(root: Path, files: Iterable[Path], base: str) -> str:
    digest = hashlib.sha256(base.encode())
    for path in files:
        digest.update(f"\0{path.relative_to(root)}\0{path.stat().st_mode & 0o111:o}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _sources(root: Path) -> Iterable[Path]:
    for name in _INPUTS:
        path = root / name
        if path.is_dir():
            yield from _files(path)
        elif path.exists():
            yield path


def _files(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(file for file in files if "__pycache__" not in file.parts)


def _debian(tar: Path) -> list[str]:
    """Return the command that writes the root file system of a small Debian with Python."""
    return [
        *("nice", "-n", "10", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
        f"--include={','.join(_PACKAGES)}",
        *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
        # What mmdebstrap copies of this machine.
        '--customize-hook=rm --force "$1/etc/resolv.conf" "$1/etc/hostname"',
        *(_SUITE, str(tar)),
    ]
