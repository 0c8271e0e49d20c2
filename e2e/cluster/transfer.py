"""Images on their way from buildah's store to a node that may have some of the layers already."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Set
from pathlib import Path
from typing import IO

from e2e.cluster.errors import CommandFailed
from e2e.cluster.processes import execute

_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
#: Under which containerd knows an image.
_NAME = "io.containerd.image.name"


class Store:
    """A store of images, as buildah and others keep it."""

    def __init__(self, root: Path, run: Path) -> None:
        self.options = ["--root", str(root), "--runroot", str(run), "--storage-driver", "overlay"]
        self._options = ["--graph", str(root), "--run", str(run), "--storage-driver", "overlay"]

    def write_archive(self, images: Iterable[str], present: Set[str], stream: IO[bytes]) -> None:
        """Write the images as a tar archive in the OCI image layout.

        Layers whose digests are ``present`` where it goes are left out: a change of a few files sends a few files.
        Layers come as they were made, not compressed.

        Raises:
            CommandFailed: the store could not be read.
        """
        manifests = []
        written = set(present)
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            for image in images:
                text = self._data(image, "manifest")
                digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
                entry = {"mediaType": _MANIFEST_TYPE, "digest": digest, "size": len(text)}
                manifests.append(entry | {"annotations": {_NAME: image}})
                manifest = json.loads(text)
                configuration = manifest["config"]["digest"]
                for name, content in ((digest, text), (configuration, self._data(image, configuration))):
                    if name not in written:
                        written.add(name)
                        _add(archive, _path(name), content)
                for layer in manifest["layers"]:
                    if layer["digest"] not in written:
                        written.add(layer["digest"])
                        self._add_layer(archive, layer["digest"], layer["size"])
            _add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())

    def _data(self, image: str, name: str) -> bytes:
        return execute(["containers-storage", "get-image-data", *self._options, image, name]).encode()

    def _add_layer(self, archive: tarfile.TarFile, digest: str, size: int) -> None:
        layers = json.loads(execute(["containers-storage", "layers", "--json", *self._options]))
        identifier = next(layer["id"] for layer in layers if layer.get("diff-digest") == digest)
        command = ["containers-storage", "diff", "--uncompressed", *self._options, identifier]
        member = tarfile.TarInfo(_path(digest))
        member.size = size
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            archive.addfile(member, process.stdout)
        if process.returncode:
            raise CommandFailed(command, process.returncode, "the layer could not be read from the store")


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
