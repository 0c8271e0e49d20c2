"""Where a Python program is that is more than one text: a Git repository, a volume, or an OCI artifact."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qonverge.api.base import SpecModel
from qonverge.api.pod_program import Image, LocalReference

_SEGMENT = r"[A-Za-z0-9_][^/]*"
EntryPoint = Annotated[str, Field(pattern=rf"^{_SEGMENT}(/{_SEGMENT})*$", max_length=1024)]
"""A file below a folder: relative, and nothing in it begins with a dot."""


class GitSource(SpecModel):
    """A program in a Git repository, whose files are in `/program` while it runs."""

    url: Annotated[str, Field(pattern=r"^https?://[^/@\s?#]+/[^\s?#]+$", max_length=2048)]
    """The repository, by HTTPS and without credentials."""
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][^\s~^:?*\[\\]*$", max_length=255)] = "HEAD"
    """A branch, a tag, or a whole commit id. The commit that it is when the program first starts is in
    `status.provenance.commit`, and further attempts run the same."""
    path: EntryPoint
    """The file that is run, in the repository."""
    credentials: LocalReference | None = None
    """A Secret with the keys `username` and `password`, as those of type kubernetes.io/basic-auth. Without a cluster
    they are in the variables QONVERGE_GIT_USERNAME and QONVERGE_GIT_PASSWORD."""


class VolumeSource(SpecModel):
    """A program on a claimed volume, whose files are in `/program` while it runs, to be read only."""

    claim_name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the PersistentVolumeClaim."""
    path: EntryPoint
    """The file that is run, in the volume."""


class ArtifactSource(SpecModel):
    """A program in an OCI image or artifact, whose files are in `/program` while it runs, to be read only.

    The node pulls it as it pulls images: Kubernetes 1.35 or later, or its feature gate ImageVolume, and a container
    runtime that has image volumes. `template.imagePullSecrets` hold for it too.
    """

    reference: Image
    """The artifact, by tag or digest, such as ghcr.io/lab/vqe:1.4."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When it is pulled. Default: Always for the tag latest, IfNotPresent for others."""
    path: EntryPoint
    """The file that is run, in the artifact."""
