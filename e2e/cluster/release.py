"""Qonverge on a cluster: the release of its Helm chart."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.build import Programs
from e2e.cluster.cluster import Cluster
from e2e.cluster.images import ImageReference
from e2e.cluster.node import import_images
from e2e.cluster.node_files import RELEASE_NAMESPACE
from e2e.cluster.processes import execute

RELEASE = "qonverge"
CHART = Path("charts", "qonverge")
OBJECT_STORE = "versitygw"
#: In each namespace, where programs' requirements are installed.
REQUIREMENTS_CLAIM = "requirements"
#: What programs may use in some namespaces of tests, and in no others.
_POLICY = [
    {
        "namespaces": ["e2e-bounded-*"],
        "images": [],
        "secrets": ["program-*"],
        "serviceAccounts": ["programs"],
        "resources": {"memory": "1Gi"},
    }
]
_TIMEOUT = "180s"


def install_project(cluster: Cluster, root: Path) -> ImageReference | None:
    """Build the project's images, give them to the cluster's node and install the chart with them.

    Returns None where the project has no chart.

    Raises:
        CommandFailed: an image cannot be built, or the operator did not become ready.
    """
    if not (root / CHART / "Chart.yaml").exists():
        print(f"there is no chart in {CHART}: Qonverge was not installed", file=sys.stderr)
        return None
    reference = cluster.images.project(root)
    import_images(cluster.plan.node, cluster.images, reference.images)
    install(cluster.programs, cluster.kubeconfig, root / CHART, reference)
    return reference


def provide_dev_cloud(cluster: Cluster, root: Path) -> str:
    """Build dev-cloud's image, which tests only use, give it to the cluster's node and return its name.

    Raises:
        CommandFailed: it cannot be built.
    """
    image = cluster.images.dev_cloud(root)
    import_images(cluster.plan.node, cluster.images, [image])
    return image


def provide_object_store(cluster: Cluster) -> str:
    """Build the image of an S3-compatible server, which tests only use, give it to the cluster's node; return its name.

    Raises:
        CommandFailed: it cannot be built.
    """
    image = cluster.images.program(OBJECT_STORE, cluster.programs[OBJECT_STORE])
    import_images(cluster.plan.node, cluster.images, [image])
    return image


def install(programs: Programs, kubeconfig: Path, chart: Path, images: ImageReference) -> None:
    """Install the chart, or bring the release that is there up to date, and return when it is ready.

    Raises:
        CommandFailed: Helm could not, or the operator did not become ready.
    """
    values = {
        "image.registry": images.registry,
        "image.repository": images.repository,
        "image.tag": images.tag,
        "programs.requirementsClaim": REQUIREMENTS_CLAIM,
    }
    pairs = [f"--set-string={name}={value}" for name, value in values.items()]
    arguments = ["upgrade", "--install", RELEASE, str(chart), "--create-namespace", "--wait", f"--timeout={_TIMEOUT}"]
    # Tests look at the one pod that leads, and ask for more where they need them.
    others = ["--set=replicas=1", f"--set-json=programs.policy={json.dumps(_POLICY)}"]
    helm(programs, kubeconfig, [*arguments, *pairs, *others])


def helm(programs: Programs, kubeconfig: Path, arguments: Sequence[str]) -> str:
    """Run Helm in the release's namespace and return what it prints."""
    return execute([programs["helm"], f"--kubeconfig={kubeconfig}", f"--namespace={RELEASE_NAMESPACE}", *arguments])
