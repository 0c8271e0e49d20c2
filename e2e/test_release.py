"""The chart's release changes, goes and comes back under jobs that run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.cluster import release
from e2e.cluster.access import ClusterAccess
from e2e.cluster.build import Programs
from e2e.test_faults import calling
from e2e.workspace import ROOT, SOME_SECONDS, Workspace, circuit, operator_pods, restarts


@pytest.fixture
def installed(cluster: ClusterAccess) -> Iterator[None]:
    """The release is as it was afterwards."""
    try:
        yield
    finally:
        release.install(Programs(), cluster.kubeconfig, ROOT / release.CHART, cluster.images)


@pytest.mark.usefixtures("installed")
def test_jobs_outlive_changes_of_the_release(cluster: ClusterAccess, workspace: Workspace, shared: Workspace) -> None:
    backends, operators = restarts(shared.backend_pods()), restarts(operator_pods(cluster))
    workspace.apply(calling("program", 200), circuit("circuit", SOME_SECONDS))
    workspace.running("program", "circuit")

    chart = str(ROOT / release.CHART)
    cluster.helm("upgrade", release.RELEASE, chart, "--reuse-values", "--set=replicas=2,logLevel=DEBUG", "--wait")
    upgraded = operator_pods(cluster)
    assert len(upgraded) == 2
    assert restarts(upgraded).keys().isdisjoint(operators)
    # Reports find the replica that leads.
    workspace.apply(calling("another", 5))
    assert workspace.completed("another")["result"]["value"]["calls"] == 5

    cluster.helm("uninstall", release.RELEASE, "--wait")
    assert operator_pods(cluster) == []
    workspace.apply(circuit("meanwhile"))
    assert workspace.status("meanwhile")["conditions"][0]["reason"] == "Unseen"
    release.install(Programs(), cluster.kubeconfig, ROOT / release.CHART, cluster.images)

    for name in ("circuit", "program"):
        assert workspace.completed(name)["attempts"] == 1
    workspace.completed("meanwhile")
    assert restarts(shared.backend_pods()) == backends
