"""What the tests against a whole cluster share."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import release
from e2e.cluster.access import ClusterAccess
from e2e.cluster.build import Programs
from e2e.cluster.cluster import Cluster
from e2e.cluster.images import ImageReference
from e2e.cluster.processes import execute
from e2e.layers import require
from e2e.workspace import Killer, Workspace, operator_pods
from qonverge.api.backend import OFFERS_LABEL

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def own_machine() -> None:
    """This machine can run a cluster."""
    require("e2e", {})


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterAccess]:
    """A cluster with Qonverge on it.

    With KUBECONFIG and QONVERGE_IMAGE (``REGISTRY/REPOSITORY:TAG``) set it is that one, else one on this machine, which
    is brought up to date, and ended at the end unless it ran before.
    """
    require("e2e", os.environ)
    kubeconfig, image = os.environ.get("KUBECONFIG"), os.environ.get("QONVERGE_IMAGE")
    if kubeconfig and image:
        yield from _named_cluster(Path(kubeconfig), ImageReference.parse(image))
        return
    own = Cluster()
    ran = own.status().running
    # A process of its own starts the programs, so that none is a child of the tests.
    execute([sys.executable, "-m", "e2e.cluster", "up"], directory=ROOT)
    images = own.images.project(ROOT)
    yield ClusterAccess(own.kubeconfig, images, audit_log=own.plan.layout.audit_log, own=own)
    if not ran:
        own.down()


def _named_cluster(kubeconfig: Path, images: ImageReference) -> Iterator[ClusterAccess]:
    access = ClusterAccess(kubeconfig, images)
    installed = release.RELEASE in access.helm("list", "--short").split()
    release.install(Programs(), kubeconfig, ROOT / release.CHART, images)
    yield access
    if not installed:
        access.helm("uninstall", release.RELEASE, "--wait")


@pytest.fixture(scope="session")
def shared(cluster: ClusterAccess) -> Iterator[Workspace]:
    """A namespace with the example's backend, which every namespace may use."""
    workspace = Workspace(cluster, f"e2e-shared-{uuid.uuid4().hex[:5]}")
    workspace.create(**{OFFERS_LABEL: "true"})
    try:
        workspace.example("backend-aer.yaml")
        workspace.wait("--for=condition=Ready", "quantumbackend/aer")
        yield workspace
    finally:
        workspace.delete()


@pytest.fixture
def workspace(cluster: ClusterAccess, shared: Workspace, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """A namespace of the test's own, beside the shared backend."""
    name = request.node.name.removeprefix("test_").partition("[")[0].replace("_", "-")
    workspace = Workspace(cluster, f"e2e-{name[:50].rstrip('-')}-{uuid.uuid4().hex[:5]}")
    workspace.create()
    try:
        yield workspace
    finally:
        workspace.delete()


@pytest.fixture
def killer(cluster: ClusterAccess) -> Iterator[Killer]:
    """What kills processes on the operator's node."""
    with Killer(cluster, operator_pods(cluster)[0]["spec"]["nodeName"]) as killer:
        yield killer
