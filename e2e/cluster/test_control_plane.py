"""The control plane that tests of the operator use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.cluster import CommandFailed, ControlPlane
from e2e.layers import require

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "resources": [{"resources": ["configmaps"]}]}, {"level": "None"}],
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    require("integration")
    directory = tmp_path_factory.mktemp("control-plane")
    with ControlPlane(directory, controllers=True, scheduler=True, kwok=True, audit_policy=POLICY) as plane:
        yield plane
    assert not any(plane.daemon(name).alive for name in ("etcd", "kube-apiserver", "kwok"))
    assert not (directory / "etcd").exists()


def test_a_job_completes_on_a_fake_node(plane: ControlPlane) -> None:
    plane.add_fake_nodes(2)
    plane.kubectl("create", "job", "quick", "--image=none")
    plane.kubectl("wait", "--for=condition=Complete", "job/quick", "--timeout=60s")


def test_objects_survive_a_killed_api_server(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "kept")
    plane.kill_api_server()
    with pytest.raises(CommandFailed, match="refused"):
        plane.kubectl("get", "configmap", "kept")
    plane.start_api_server()
    assert "kept" in plane.kubectl("get", "configmap", "kept")


def test_a_paused_api_server_answers_nothing_until_it_goes_on(plane: ControlPlane) -> None:
    plane.pause_api_server()
    with pytest.raises(CommandFailed, match=r"(?i)timeout"):
        plane.kubectl("get", "nodes", "--request-timeout=1s")
    plane.resume_api_server()
    plane.kubectl("get", "nodes")


def test_a_user_may_do_what_rbac_allows(plane: ControlPlane) -> None:
    kubeconfig = plane.kubeconfig_for("system:serviceaccount:default:reader", ["system:serviceaccounts"])
    read = ("get", "secrets", f"--kubeconfig={kubeconfig}")
    with pytest.raises(CommandFailed, match='"system:serviceaccount:default:reader" cannot list resource "secrets"'):
        plane.kubectl(*read)
    plane.kubectl("create", "role", "reader", "--verb=list", "--resource=secrets")
    plane.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    # The server learns of new rules from its own watch.
    _eventually(lambda: _succeeds(plane, *read))


def test_the_audit_log_has_what_the_policy_names(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "seen")
    plane.kubectl("create", "secret", "generic", "unseen")
    plane.kubectl("create", "configmap", "last")

    def created() -> set[str]:
        return {event["objectRef"].get("name") for event in plane.audit_events() if event["verb"] == "create"}

    # An event is written when the answer is out.
    _eventually(lambda: "last" in created())
    assert "seen" in created()
    assert "unseen" not in created()


def test_two_run_at_once(plane: ControlPlane, tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as other:
        other.kubectl("create", "namespace", "elsewhere")
        assert "elsewhere" not in plane.kubectl("get", "namespaces")


def _eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _succeeds(plane: ControlPlane, *arguments: str) -> bool:
    try:
        plane.kubectl(*arguments)
    except CommandFailed:
        return False
    return True
